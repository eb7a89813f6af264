//! Which system calls a process may make, by seccomp(2) (Linux 4.14 for what is used).
//!
//! Two kinds of filter, both of which a process can have at a time:
//! - [`allow_only`] names what may be called. Whatever else is answered as a kernel would that has never heard of it
//!   (`ENOSYS`): C libraries are used to that, and do without. So a C library that is newer than the list works.
//! - [`refuse`] names what must not be called, by number or by arguments. That is answered `EPERM`.
//!
//! Of two answers that refuse, the kernel takes that of the filter that was installed last: so that is to be `refuse`.
//! The kernel runs no filter for calls that all allow whatever their arguments are (Linux 5.11), so the long list costs
//! next to nothing, and arguments are looked at in `refuse` alone.

use std::{collections::BTreeMap, env::consts::ARCH, io};

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// What is known of an argument, in its lower 32 bits: those that count for flags, numbers and descriptors.
#[derive(Clone, Debug)]
pub struct Arg {
    index: u8,
    must: SeccompCmpOp,
    value: u64,
}

impl Arg {
    /// The argument of this number, from 0 on, is this.
    #[must_use]
    pub const fn is(index: u8, value: u32) -> Self {
        Self::new(index, SeccompCmpOp::Eq, value as u64)
    }

    /// It is not.
    #[must_use]
    pub const fn is_not(index: u8, value: u32) -> Self {
        Self::new(index, SeccompCmpOp::Ne, value as u64)
    }

    /// All of these bits are set.
    #[must_use]
    pub const fn has(index: u8, bits: u32) -> Self {
        Self::new(index, SeccompCmpOp::MaskedEq(bits as u64), bits as u64)
    }

    /// None of these bits is set.
    #[must_use]
    pub const fn lacks(index: u8, bits: u32) -> Self {
        Self::new(index, SeccompCmpOp::MaskedEq(bits as u64), 0)
    }

    const fn new(index: u8, must: SeccompCmpOp, value: u64) -> Self {
        Self { index, must, value }
    }
}

/// System calls by number, some of them only with certain arguments.
#[derive(Clone, Debug, Default)]
pub struct Calls(BTreeMap<i64, Vec<Vec<Arg>>>);

impl Calls {
    /// These, whatever their arguments are.
    #[must_use]
    pub fn all(mut self, calls: &[c_long]) -> Self {
        for &call in calls {
            self.0.insert(call, Vec::new());
        }
        self
    }

    /// This one where all of that holds for its arguments; said twice, where either holds.
    #[must_use]
    pub fn when(mut self, call: c_long, holds: &[Arg]) -> Self {
        self.0.entry(call).or_default().push(holds.to_vec());
        self
    }

    /// This one only where all of that holds, whatever was said about it before.
    #[must_use]
    pub fn only_when(mut self, call: c_long, holds: &[Arg]) -> Self {
        self.0.remove(&call);
        match holds {
            [] => self.all(&[call]),
            holds => self.when(call, holds),
        }
    }

    fn rules(&self) -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
        let rule = |args: &Vec<Arg>| {
            let args = args.iter().map(|arg| {
                let length = SeccompCmpArgLen::Dword;
                SeccompCondition::new(arg.index, length, arg.must.clone(), arg.value)
            });
            SeccompRule::new(args.collect::<Result<_, _>>()?)
        };
        let calls = self.0.iter().map(|(&call, ways)| {
            let ways = ways.iter().map(rule).collect::<Result<_, _>>()?;
            Ok((call, ways))
        });
        calls.collect()
    }

    fn program(&self, matching: SeccompAction, others: SeccompAction) -> io::Result<Program> {
        let arch = TargetArch::try_from(ARCH).map_err(io::Error::other)?;
        let filter = SeccompFilter::new(
            self.rules().map_err(io::Error::other)?,
            others,
            matching,
            arch,
        );
        let program = filter.and_then(BpfProgram::try_from);
        Ok(Program(program.map_err(io::Error::other)?))
    }
}

/// These may be called. What else is called is not there.
///
/// # Errors
/// On processors that the filter cannot be made for.
pub fn allow_only(calls: &Calls) -> io::Result<Program> {
    let missing = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    calls.program(SeccompAction::Allow, missing)
}

/// These are not permitted.
///
/// # Errors
/// On processors that the filter cannot be made for.
pub fn refuse(calls: &Calls) -> io::Result<Program> {
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    calls.program(refused, SeccompAction::Allow)
}

/// A filter for the processor that this runs on.
#[derive(Clone, Debug)]
pub struct Program(BpfProgram);

impl Program {
    /// Makes it hold for every thread of the process, and everything that they start. Takes `no_new_privs`. With `log`,
    /// the kernel's log (or that of auditd) has a line for each call that this refuses.
    ///
    /// # Errors
    /// What the system says, or that a thread has a filter that the others lack.
    pub fn install(&self, log: bool) -> io::Result<()> {
        let length = u16::try_from(self.0.len()).map_err(io::Error::other)?;
        let program = libc::sock_fprog {
            len: length,
            filter: self.0.as_ptr().cast_mut().cast(),
        };
        let mut flags = libc::SECCOMP_FILTER_FLAG_TSYNC;
        if log {
            flags |= libc::SECCOMP_FILTER_FLAG_LOG;
        }
        // SAFETY: the kernel copies the program, which is laid out as seccomp(2) says, and does not change it.
        let result = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        };
        match result {
            0 => Ok(()),
            1.. => Err(io::Error::other(format!(
                "the thread {result} does not take it"
            ))),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
