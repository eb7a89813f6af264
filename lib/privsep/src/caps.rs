//! Capabilities of the calling thread, by the system calls themselves: the well-known crate for them collects sets on
//! the heap, which neither a signal handler nor a forked child may do.

use std::{fmt, fs, io};

use crate::done;

/// A set of capabilities, a bit each, as the kernel numbers them.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps(u64);

/// Loads programs and makes links (Linux 5.8).
pub const CAP_BPF: Caps = Caps(1 << 39);
/// Giving files away.
pub const CAP_CHOWN: Caps = Caps(1);
/// Signals processes of other users.
pub const CAP_KILL: Caps = Caps(1 << 5);
/// Attaches programs to interfaces.
pub const CAP_NET_ADMIN: Caps = Caps(1 << 12);
/// Lets the verifier allow arithmetic on pointers (Linux 5.8).
pub const CAP_PERFMON: Caps = Caps(1 << 38);
/// Changes groups.
pub const CAP_SETGID: Caps = Caps(1 << 6);
/// Changes users.
pub const CAP_SETUID: Caps = Caps(1 << 7);
/// Nearly everything; names the programs of others.
pub const CAP_SYS_ADMIN: Caps = Caps(1 << 21);

/// What it takes to load the XDP program and to attach it (Linux 5.8).
pub const FILTERING: Caps = CAP_NET_ADMIN.and(CAP_BPF).and(CAP_PERFMON);

impl Caps {
    /// No capability.
    pub const NONE: Self = Self(0);

    /// Of the kernel's number for a set, as `/proc/PID/status` shows it.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The kernel's number for the set.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are in both.
    #[must_use]
    pub const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of `other` are in it.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn numbers(self) -> impl Iterator<Item = u32> {
        (0..64).filter(move |n| self.0 >> n & 1 == 1)
    }
}

impl fmt::Debug for Caps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a thread can do, could do, and hands on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    /// What counts now.
    pub effective: Caps,
    /// What may be made effective.
    pub permitted: Caps,
    /// What may be handed on to other programs.
    pub inheritable: Caps,
}

impl Sets {
    /// Nothing.
    pub const NONE: Self = Self {
        effective: Caps::NONE,
        permitted: Caps::NONE,
        inheritable: Caps::NONE,
    };

    /// All that a thread has.
    pub const ALL: Self = Self {
        effective: Caps(u64::MAX),
        permitted: Caps(u64::MAX),
        inheritable: Caps(u64::MAX),
    };

    /// What of it `had` has, too: nobody gets what they did not have.
    #[must_use]
    pub const fn within(self, had: Self) -> Self {
        Self {
            effective: self.effective.within(had.permitted),
            permitted: self.permitted.within(had.permitted),
            inheritable: self.inheritable.within(had.inheritable),
        }
    }

    /// To use, and not to hand on.
    #[must_use]
    pub const fn to_use(caps: Caps) -> Self {
        Self {
            effective: caps,
            permitted: caps,
            inheritable: Caps::NONE,
        }
    }
}

#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h: each set is two words long.
const HEADER: Header = Header {
    version: 0x2008_0522,
    pid: 0,
};

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Word {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// What the calling thread has.
///
/// # Errors
/// What the system says; it has no reason to.
pub fn sets() -> io::Result<Sets> {
    let (mut header, mut words) = (HEADER, [Word::default(); 2]);
    // SAFETY: both are lent for the call, and laid out as capget(2) says.
    done(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, words.as_mut_ptr()) })?;
    let join = |part: fn(&Word) -> u32| {
        Caps(u64::from(part(&words[0])) | u64::from(part(&words[1])) << 32)
    };
    Ok(Sets {
        effective: join(|w| w.effective),
        permitted: join(|w| w.permitted),
        inheritable: join(|w| w.inheritable),
    })
}

/// Sets what the calling thread has. May be called between fork and exec, and by a signal handler.
///
/// # Errors
/// What the system says: nobody gets what they did not have.
pub fn set_sets(sets: Sets) -> io::Result<()> {
    let low = |caps: Caps| caps.0 as u32;
    let high = |caps: Caps| (caps.0 >> 32) as u32;
    let words = [low as fn(Caps) -> u32, high].map(|part| Word {
        effective: part(sets.effective),
        permitted: part(sets.permitted),
        inheritable: part(sets.inheritable),
    });
    let header = HEADER;
    // SAFETY: both are lent for the call, and laid out as capset(2) says.
    done(unsafe { libc::syscall(libc::SYS_capset, &raw const header, words.as_ptr()) })
}

/// Takes from the calling thread's bounding set what is not in `keep`: what is not there is not gained by running a
/// program either. Does nothing, and says so, where the thread lacks `CAP_SETPCAP`.
///
/// # Errors
/// What the system says other than that.
pub fn lower_bounding(keep: Caps) -> io::Result<bool> {
    for capability in Caps(!keep.0).numbers() {
        // SAFETY: takes no pointer.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        match done(result.into()) {
            Ok(()) => {}
            // The kernel does not know so many.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => return Ok(true),
            Err(e) if e.raw_os_error() == Some(libc::EPERM) => return Ok(false),
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

pub(crate) fn clear_ambient() -> io::Result<()> {
    let (what, clear) = (libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL);
    // SAFETY: takes no pointer.
    done(unsafe { libc::prctl(what, clear, 0, 0, 0) }.into())
}

/// They must be permitted and inheritable.
pub(crate) fn raise_ambient(caps: Caps) -> io::Result<()> {
    for capability in caps.numbers() {
        let (what, raise) = (libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE);
        // SAFETY: takes no pointer.
        done(unsafe { libc::prctl(what, raise, capability, 0, 0) }.into())?;
    }
    Ok(())
}

/// The highest capability that this kernel knows: 39, `CAP_BPF`'s, or more from Linux 5.8 on.
///
/// # Errors
/// Where `/proc` does not tell.
pub fn last_known() -> io::Result<u32> {
    let text = fs::read_to_string("/proc/sys/kernel/cap_last_cap")?;
    text.trim().parse().map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_linux_capability_h() {
        let named = [
            (CAP_KILL, 5),
            (CAP_SETGID, 6),
            (CAP_SETUID, 7),
            (CAP_NET_ADMIN, 12),
            (CAP_SYS_ADMIN, 21),
            (CAP_PERFMON, 38),
            (CAP_BPF, 39),
        ];
        for (caps, number) in named {
            assert_eq!(caps.numbers().collect::<Vec<_>>(), [number]);
        }
        let both = CAP_BPF.and(CAP_KILL);
        assert!(both.has(CAP_KILL) && !both.has(CAP_SETUID));
        assert_eq!(both.within(CAP_KILL.and(CAP_SETUID)), CAP_KILL);
        assert!(last_known().unwrap() >= 37);
    }

    #[test]
    fn a_thread_tells_and_changes_what_it_has() {
        let thread = std::thread::spawn(|| {
            let before = sets().unwrap();
            let told = &crate::threads_of(std::process::id()).unwrap();
            // SAFETY: takes no pointer.
            let tid = unsafe { libc::gettid() };
            let told = told.iter().find(|t| t.tid == tid).unwrap();
            assert_eq!(
                (told.effective, told.permitted),
                (before.effective, before.permitted)
            );
            set_sets(Sets::NONE).unwrap();
            assert_eq!(sets().unwrap(), Sets::NONE);
            assert!(!lower_bounding(Caps::NONE).unwrap(), "without CAP_SETPCAP");
            // Nobody gets what they did not have.
            assert!(set_sets(Sets::to_use(CAP_BPF)).is_err());
        });
        thread.join().unwrap();
    }
}
