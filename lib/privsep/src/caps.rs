//! Capabilities of the calling thread, by direct system calls: the `caps` crate allocates, which neither a signal
//! handler nor a forked child may do.

use std::{fmt, fs, io};

use crate::done;

/// A set of capabilities, one bit each, numbered as in the kernel.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Caps(u64);

/// Loads programs and creates links (Linux 5.8).
pub const CAP_BPF: Caps = Caps(1 << 39);
/// Signals processes of other users.
pub const CAP_KILL: Caps = Caps(1 << 5);
/// Attaches programs to interfaces.
pub const CAP_NET_ADMIN: Caps = Caps(1 << 12);
/// Makes the verifier allow pointer arithmetic (Linux 5.8).
pub const CAP_PERFMON: Caps = Caps(1 << 38);
/// Changes groups.
pub const CAP_SETGID: Caps = Caps(1 << 6);
/// Changes users.
pub const CAP_SETUID: Caps = Caps(1 << 7);
/// Nearly everything; reads the names of foreign programs.
pub const CAP_SYS_ADMIN: Caps = Caps(1 << 21);

/// Required to load and attach the XDP program (Linux 5.8).
pub const FILTERING: Caps = CAP_NET_ADMIN.and(CAP_BPF).and(CAP_PERFMON);

impl Caps {
    /// No capability.
    pub const NONE: Self = Self(0);

    /// From the kernel's representation, as in `/proc/PID/status`.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The kernel's representation.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The union.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The intersection.
    #[must_use]
    pub const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of `other` are in the set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether the set is empty.
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

/// The capability sets of a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sets {
    /// Checked by the kernel.
    pub effective: Caps,
    /// May be made effective.
    pub permitted: Caps,
    /// May be passed on through execve(2).
    pub inheritable: Caps,
}

impl Sets {
    /// No capability.
    pub const NONE: Self = Self {
        effective: Caps::NONE,
        permitted: Caps::NONE,
        inheritable: Caps::NONE,
    };

    /// Every capability that a thread has.
    pub const ALL: Self = Self {
        effective: Caps(u64::MAX),
        permitted: Caps(u64::MAX),
        inheritable: Caps(u64::MAX),
    };

    /// Restricted to `had`, since capset(2) refuses to add capabilities.
    #[must_use]
    pub const fn within(self, had: Self) -> Self {
        Self {
            effective: self.effective.within(had.permitted),
            permitted: self.permitted.within(had.permitted),
            inheritable: self.inheritable.within(had.inheritable),
        }
    }

    /// Effective and permitted, not inheritable.
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

/// `_LINUX_CAPABILITY_VERSION_3` of linux/capability.h: each set has two words.
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

/// The capability sets of the calling thread.
///
/// # Errors
/// Those of capget(2); none is expected.
pub fn sets() -> io::Result<Sets> {
    let (mut header, mut words) = (HEADER, [Word::default(); 2]);
    // SAFETY: both pointers are valid during the call, and laid out as in capget(2).
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

/// Sets the capability sets of the calling thread. Async-signal-safe, also between fork and exec.
///
/// # Errors
/// Those of capset(2): EPERM for capabilities that the thread did not have.
pub fn set_sets(sets: Sets) -> io::Result<()> {
    let low = |caps: Caps| caps.0 as u32;
    let high = |caps: Caps| (caps.0 >> 32) as u32;
    let words = [low as fn(Caps) -> u32, high].map(|part| Word {
        effective: part(sets.effective),
        permitted: part(sets.permitted),
        inheritable: part(sets.inheritable),
    });
    let header = HEADER;
    // SAFETY: both pointers are valid during the call, and laid out as in capset(2).
    done(unsafe { libc::syscall(libc::SYS_capset, &raw const header, words.as_ptr()) })
}

/// Drops everything but `keep` from the calling thread's bounding set, so that execve(2) cannot gain it either. False,
/// without a change, if the thread lacks `CAP_SETPCAP`.
///
/// # Errors
/// Other errors of prctl(2).
pub fn lower_bounding(keep: Caps) -> io::Result<bool> {
    for capability in Caps(!keep.0).numbers() {
        // SAFETY: no pointers are passed.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        match done(result.into()) {
            Ok(()) => {}
            // Above the last capability of this kernel.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => return Ok(true),
            Err(e) if e.raw_os_error() == Some(libc::EPERM) => return Ok(false),
            Err(e) => return Err(e),
        }
    }
    Ok(true)
}

pub(crate) fn clear_ambient() -> io::Result<()> {
    let (what, clear) = (libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL);
    // SAFETY: no pointers are passed.
    done(unsafe { libc::prctl(what, clear, 0, 0, 0) }.into())
}

/// They must be permitted and inheritable.
pub(crate) fn raise_ambient(caps: Caps) -> io::Result<()> {
    for capability in caps.numbers() {
        let (what, raise) = (libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE);
        // SAFETY: no pointers are passed.
        done(unsafe { libc::prctl(what, raise, capability, 0, 0) }.into())?;
    }
    Ok(())
}

/// The highest capability of this kernel: at least 39, `CAP_BPF`, from Linux 5.8 on.
///
/// # Errors
/// If `/proc/sys/kernel/cap_last_cap` cannot be read.
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
    fn a_thread_reads_and_changes_its_capabilities() {
        let thread = std::thread::spawn(|| {
            let before = sets().unwrap();
            let told = &crate::threads_of(std::process::id()).unwrap();
            // SAFETY: no pointers are passed.
            let tid = unsafe { libc::gettid() };
            let told = told.iter().find(|t| t.tid == tid).unwrap();
            assert_eq!(
                (told.effective, told.permitted),
                (before.effective, before.permitted)
            );
            set_sets(Sets::NONE).unwrap();
            assert_eq!(sets().unwrap(), Sets::NONE);
            assert!(!lower_bounding(Caps::NONE).unwrap(), "without CAP_SETPCAP");
            // Capabilities cannot be regained.
            assert!(set_sets(Sets::to_use(CAP_BPF)).is_err());
        });
        thread.join().unwrap();
    }
}
