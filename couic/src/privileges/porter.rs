//! The process that goes on being root: it makes one directory of the bpf filesystem when the keeper asks for it, and
//! must be good for nothing else.

use std::{os::fd::AsFd, path::Path};

use couic_privsep::{
    CAP_CHOWN, Caps, Sets, ThreadStep,
    files::Files,
    hide_memory,
    seccomp::{self, Calls},
};
use libc::c_long;

use super::PrivilegeError;

/// Answering, making and removing directories, giving them away; memory, and an end.
const CALLS: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fchownat,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_futex,
    libc::SYS_geteuid,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mkdirat,
    libc::SYS_mmap,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_read,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sendmsg,
    libc::SYS_statx,
    libc::SYS_unlinkat,
    libc::SYS_write,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lstat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_open,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
];

/// Confines this process for good: `CAP_CHOWN` alone, no file but below `top`, no system call but those above. A kernel
/// without Landlock or seccomp is no error: the keeper and the daemon tell of that.
///
/// # Errors
/// [`PrivilegeError`] where it keeps more capabilities than it should.
pub fn confine_porter(top: &Path) -> Result<(), PrivilegeError> {
    let step = ThreadStep::sets(Sets::to_use(CAP_CHOWN)).no_new_privs();
    step.bounding(Caps::NONE)
        .here()
        .map_err(PrivilegeError::doing("give up capabilities"))?;
    hide_memory().map_err(PrivilegeError::doing("hide the memory"))?;
    if let Ok(Some(domain)) = Files::default().write(top).domain() {
        let _ = step.domain(domain.as_fd()).here();
    }
    let filter = seccomp::allow_only(&Calls::default().all(CALLS));
    let _ = filter.and_then(|filter| filter.install(false));
    Ok(())
}
