//! The same credential change in every thread of the process.
//!
//! The C library does that for user and group only. Here, each thread is sent a signal whose handler changes the thread
//! that it interrupts, as the C library itself and libcap's libpsx do. A thread that is created meanwhile inherits the
//! credentials of its creator, so rounds repeat until every thread has changed.

use std::{
    collections::HashSet,
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    path::Path,
    ptr,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    caps::{Caps, Sets, clear_ambient, lower_bounding, set_sets, sets},
    done,
    status::thread_ids,
};

/// The privileges that a thread drops, in this order.
#[derive(Clone, Copy, Debug)]
pub struct ThreadStep {
    bounding: Option<Caps>,
    sets: Sets,
    no_new_privs: bool,
    domain: Option<RawFd>,
}

/// For a thread to run its handler. Long, since the machine may be busy while the daemon starts.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Read by the handlers. Never freed: a late handler still reads it.
static STEP: AtomicPtr<ThreadStep> = AtomicPtr::new(ptr::null_mut());
/// The thread whose handler has finished (upper half), and its errno (lower half).
static ANSWER: AtomicU64 = AtomicU64::new(0);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

impl ThreadStep {
    /// Reduces the capabilities of a thread to those in `sets`, and clears the ambient set.
    #[must_use]
    pub const fn sets(sets: Sets) -> Self {
        Self {
            bounding: None,
            sets,
            no_new_privs: false,
            domain: None,
        }
    }

    /// Reduces the bounding set to `keep` if the thread has `CAP_SETPCAP`.
    #[must_use]
    pub const fn bounding(mut self, keep: Caps) -> Self {
        self.bounding = Some(keep);
        self
    }

    /// Sets `no_new_privs`: no program that the thread executes gains privileges.
    #[must_use]
    pub const fn no_new_privs(mut self) -> Self {
        self.no_new_privs = true;
        self
    }

    /// Enters a Landlock domain with these rules; requires [`ThreadStep::no_new_privs`].
    #[must_use]
    pub fn domain(mut self, rules: BorrowedFd<'_>) -> Self {
        self.domain = Some(rules.as_raw_fd());
        self
    }

    /// Changes the calling thread.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn here(&self) -> io::Result<()> {
        if let Some(keep) = self.bounding {
            lower_bounding(keep)?;
        }
        clear_ambient()?;
        set_sets(self.sets.within(sets()?))?;
        // SAFETY: no pointers are passed.
        unsafe {
            if self.no_new_privs {
                done(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into())?;
            }
            if let Some(rules) = self.domain {
                done(libc::syscall(libc::SYS_landlock_restrict_self, rules, 0))?;
            }
        }
        Ok(())
    }

    /// Changes every thread and returns their number.
    ///
    /// # Errors
    /// Those of the system calls in any thread, or `TimedOut` if a thread does not run its handler. Some threads may
    /// have changed by then.
    pub fn on_every_thread(self) -> io::Result<usize> {
        let _alone = ONE_AT_A_TIME.lock();
        // Never freed, see STEP.
        STEP.store(Box::into_raw(Box::new(self)), SeqCst);
        self.here()?;
        // SAFETY: no pointers are passed.
        let me = unsafe { libc::gettid() };
        let mut finished = HashSet::from([me]);
        let handler = Handler::install()?;
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let all = thread_ids(Path::new("/proc/self/task"))?;
            let left: Vec<_> = all.iter().filter(|t| !finished.contains(t)).collect();
            if left.is_empty() {
                handler.restore()?;
                return Ok(all.len());
            }
            if Instant::now() > deadline {
                return Err(timed_out(
                    "threads are created faster than they can be changed",
                ));
            }
            for &thread in left {
                // On error the handler stays installed: the default action of a late signal would be to terminate.
                change(thread)?;
                finished.insert(thread);
            }
        }
    }
}

/// Interrupts a thread, and waits until it has changed or exited.
fn change(thread: libc::pid_t) -> io::Result<()> {
    ANSWER.store(0, SeqCst);
    if !signal(thread, libc::SIGRTMAX())? {
        return Ok(());
    }
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let answer = ANSWER.load(SeqCst);
        if answer >> 32 == u64::from(thread.cast_unsigned()) {
            return match answer as i32 {
                0 => Ok(()),
                number => Err(io::Error::from_raw_os_error(number)),
            };
        }
        if !signal(thread, 0)? {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(timed_out(&format!(
                "thread {thread} does not handle its signal"
            )));
        }
        thread::sleep(Duration::from_micros(100));
    }
}

fn timed_out(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// False if the thread has exited.
fn signal(thread: libc::pid_t, number: libc::c_int) -> io::Result<bool> {
    // SAFETY: no pointers are passed.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, number) };
    match done(sent) {
        Ok(()) => Ok(true),
        Err(e) if e.raw_os_error() == Some(libc::ESRCH) => Ok(false),
        Err(e) => Err(e),
    }
}

struct Handler {
    before: libc::sigaction,
}

impl Handler {
    fn install() -> io::Result<Self> {
        // SAFETY: an all-zero sigaction is valid.
        let (mut action, mut before): (libc::sigaction, libc::sigaction) =
            unsafe { (mem::zeroed(), mem::zeroed()) };
        action.sa_sigaction = handle as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: both pointers are valid during the call, and the handler is async-signal-safe.
        let result =
            unsafe { libc::sigaction(libc::SIGRTMAX(), &raw const action, &raw mut before) };
        done(result.into())?;
        Ok(Self { before })
    }

    fn restore(self) -> io::Result<()> {
        // SAFETY: the pointer is valid during the call, and the previous action was installed before.
        let result =
            unsafe { libc::sigaction(libc::SIGRTMAX(), &raw const self.before, ptr::null_mut()) };
        done(result.into())
    }
}

extern "C" fn handle(_: libc::c_int) {
    // SAFETY: the target of STEP is neither freed nor changed; errno is per thread, and restored because the
    // interrupted code may be about to read it.
    unsafe {
        let errno = libc::__errno_location();
        let before = *errno;
        if let Some(step) = STEP.load(SeqCst).as_ref() {
            let number = step
                .here()
                .map_or_else(|e| e.raw_os_error().unwrap_or(libc::EIO), |()| 0);
            let thread = u64::from(libc::gettid().cast_unsigned());
            ANSWER.store(thread << 32 | u64::from(number.cast_unsigned()), SeqCst);
        }
        *errno = before;
    }
}
