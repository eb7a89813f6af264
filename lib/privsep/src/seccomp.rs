//! The system calls that a process may make, by seccomp(2) (Linux 4.14 for the features used).
//!
//! Two kinds of filter, which a process can combine:
//! - [`allow_only`] lists the allowed calls. Others fail with `ENOSYS`, as on a kernel without them: C libraries fall
//!   back, so one that is newer than the list works.
//! - [`refuse`] lists forbidden calls, by number or by arguments. They fail with `EPERM`.
//!
//! If both refuse, the kernel returns the error of the filter installed last: that must be `refuse`. The kernel skips
//! filters for calls that they allow whatever the arguments (Linux 5.11), so the long list is nearly free, and only
//! `refuse` checks arguments.

use std::{collections::BTreeMap, env::consts::ARCH, io};

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// A condition on the lower 32 bits of an argument: those that matter for flags, numbers and descriptors.
#[derive(Clone, Debug)]
pub struct Arg {
    index: u8,
    must: SeccompCmpOp,
    value: u64,
}

impl Arg {
    /// The argument at this index, from 0, equals `value`.
    #[must_use]
    pub const fn is(index: u8, value: u32) -> Self {
        Self::new(index, SeccompCmpOp::Eq, value as u64)
    }

    /// The argument differs from `value`.
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
    /// Adds these calls, whatever their arguments.
    #[must_use]
    pub fn all(mut self, calls: &[c_long]) -> Self {
        for &call in calls {
            self.0.insert(call, Vec::new());
        }
        self
    }

    /// Adds this call if all conditions hold; several `when` for one call are alternatives.
    #[must_use]
    pub fn when(mut self, call: c_long, holds: &[Arg]) -> Self {
        self.0.entry(call).or_default().push(holds.to_vec());
        self
    }

    fn rules(&self) -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
        let rule = |args: &Vec<Arg>| {
            let args = args.iter().map(|arg| {
                let length = SeccompCmpArgLen::Dword;
                SeccompCondition::new(arg.index, length, arg.must.clone(), arg.value)
            });
            SeccompRule::new(args.collect::<Result<_, _>>()?)
        };
        let calls = self.0.iter().map(|(&call, alternatives)| {
            let rules = alternatives.iter().map(rule).collect::<Result<_, _>>()?;
            Ok((call, rules))
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

/// Allows these calls; others fail with `ENOSYS`.
///
/// # Errors
/// On architectures without support in seccompiler.
pub fn allow_only(calls: &Calls) -> io::Result<Program> {
    let missing = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    calls.program(SeccompAction::Allow, missing)
}

/// Refuses these calls with `EPERM`.
///
/// # Errors
/// On architectures without support in seccompiler.
pub fn refuse(calls: &Calls) -> io::Result<Program> {
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    calls.program(refused, SeccompAction::Allow)
}

/// Fails these calls with `ENOSYS`, as on a kernel without them.
///
/// # Errors
/// On architectures without support in seccompiler.
pub fn deny_as_missing(calls: &Calls) -> io::Result<Program> {
    let missing = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    calls.program(missing, SeccompAction::Allow)
}

/// A compiled filter for this architecture.
#[derive(Clone, Debug)]
pub struct Program(BpfProgram);

impl Program {
    /// Installs the filter on every thread of the process; children inherit it. Requires `no_new_privs`. With `log`,
    /// the kernel (or auditd) logs each refused call.
    ///
    /// # Errors
    /// Those of seccomp(2), or that a thread has a filter that the others lack.
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
        // SAFETY: the kernel copies the program, which is laid out as in seccomp(2), and does not change it.
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
                "thread {result} has a seccomp filter of its own"
            ))),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
