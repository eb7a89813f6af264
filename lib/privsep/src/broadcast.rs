//! The same change in every thread of the process.
//!
//! The C library does that for users alone. So each thread is sent a signal, whose handler makes the change in the
//! thread that it interrupts; as the C library's own, and libcap's for capabilities (libpsx), do. A thread that is made
//! meanwhile has what the one that made it had: so rounds are made until there is none left that is not done.

use std::{
    collections::HashSet,
    fs, io, mem,
    os::fd::{AsRawFd, BorrowedFd, RawFd},
    ptr,
    sync::atomic::{AtomicPtr, AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{
    caps::{Caps, Sets, clear_ambient, lower_bounding, set_sets, sets},
    done,
};

/// What a thread gives up, in this order.
#[derive(Clone, Copy, Debug)]
pub struct ThreadStep {
    bounding: Option<Caps>,
    sets: Sets,
    no_new_privs: bool,
    domain: Option<RawFd>,
}

/// For a thread to come to its handler. It is waited for while the daemon starts; a machine may be busy then.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the handlers are to do. Never freed: one that comes too late must find it.
static STEP: AtomicPtr<ThreadStep> = AtomicPtr::new(ptr::null_mut());
/// The thread whose handler has ended, and the number of its error.
static ANSWER: AtomicU64 = AtomicU64::new(0);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

impl ThreadStep {
    /// Of its capabilities a thread keeps what `sets` has, and none is ambient.
    #[must_use]
    pub const fn sets(sets: Sets) -> Self {
        Self {
            bounding: None,
            sets,
            no_new_privs: false,
            domain: None,
        }
    }

    /// The bounding set is lowered to `keep`, where the thread may.
    #[must_use]
    pub const fn bounding(mut self, keep: Caps) -> Self {
        self.bounding = Some(keep);
        self
    }

    /// No program that the thread runs has more than it.
    #[must_use]
    pub const fn no_new_privs(mut self) -> Self {
        self.no_new_privs = true;
        self
    }

    /// Enters a Landlock domain with these rules; takes [`ThreadStep::no_new_privs`], too.
    #[must_use]
    pub fn domain(mut self, rules: BorrowedFd<'_>) -> Self {
        self.domain = Some(rules.as_raw_fd());
        self
    }

    /// In the calling thread.
    ///
    /// # Errors
    /// What the system says.
    pub fn here(&self) -> io::Result<()> {
        if let Some(keep) = self.bounding {
            lower_bounding(keep)?;
        }
        clear_ambient()?;
        set_sets(self.sets.within(sets()?))?;
        // SAFETY: neither takes a pointer.
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

    /// In every thread; answers how many there are.
    ///
    /// # Errors
    /// What the system says in any of them, or that one does not come to its handler. Then some are changed.
    pub fn on_every_thread(self) -> io::Result<usize> {
        let _alone = ONE_AT_A_TIME.lock();
        // Never freed, see STEP.
        STEP.store(Box::into_raw(Box::new(self)), SeqCst);
        self.here()?;
        // SAFETY: takes no pointer.
        let me = unsafe { libc::gettid() };
        let mut finished = HashSet::from([me]);
        let handler = Handler::install()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let all = thread_ids()?;
            let left: Vec<_> = all.iter().filter(|t| !finished.contains(t)).collect();
            if left.is_empty() {
                handler.restore()?;
                return Ok(all.len());
            }
            if Instant::now() > deadline {
                return Err(late("threads are started faster than they can be changed"));
            }
            for &thread in left {
                // Where it fails the handler stays: a signal that nobody handles would end the process.
                change(thread)?;
                finished.insert(thread);
            }
        }
    }
}

fn thread_ids() -> io::Result<Vec<libc::pid_t>> {
    let mut ids = Vec::new();
    for task in fs::read_dir("/proc/self/task")? {
        let name = task?.file_name();
        ids.extend(name.to_str().and_then(|id| id.parse::<libc::pid_t>().ok()));
    }
    Ok(ids)
}

/// Interrupts a thread, and waits until it has changed or is gone.
fn change(thread: libc::pid_t) -> io::Result<()> {
    ANSWER.store(0, SeqCst);
    if !signal(thread, libc::SIGRTMAX())? {
        return Ok(());
    }
    let deadline = Instant::now() + PATIENCE;
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
            return Err(late(&format!("the thread {thread} takes no signal")));
        }
        thread::sleep(Duration::from_micros(100));
    }
}

fn late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

/// False where the thread is gone.
fn signal(thread: libc::pid_t, number: libc::c_int) -> io::Result<bool> {
    // SAFETY: takes no pointer.
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
        // SAFETY: a sigaction of zeros is one.
        let (mut action, mut before): (libc::sigaction, libc::sigaction) =
            unsafe { (mem::zeroed(), mem::zeroed()) };
        action.sa_sigaction = handle as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: both are lent for the call, and the handler calls nothing but the system.
        let result =
            unsafe { libc::sigaction(libc::SIGRTMAX(), &raw const action, &raw mut before) };
        done(result.into())?;
        Ok(Self { before })
    }

    fn restore(self) -> io::Result<()> {
        // SAFETY: lent for the call; what was there before may be there again.
        let result =
            unsafe { libc::sigaction(libc::SIGRTMAX(), &raw const self.before, ptr::null_mut()) };
        done(result.into())
    }
}

extern "C" fn handle(_: libc::c_int) {
    // SAFETY: what STEP points to is never freed nor changed; errno is the thread's own, and left as it was, since the
    // code that was interrupted may be about to read it.
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
