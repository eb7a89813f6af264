//! Resource limits, raised before root is dropped.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use couic_firewall::dataplane::counts_locked_memory;

/// Each connection is a file descriptor, and the usual soft limit of 1024 is a quarter of the connections that the API
/// allows.
pub(super) fn raise_descriptors() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536), hard));
    if let Err(error) = raised {
        tracing::warn!(
            "cannot raise the limit of open files: {error}; the API accepts fewer connections"
        );
    }
}

/// Before Linux 5.11, BPF maps count as locked memory, of which a process may have 64 KiB by default. An error is only
/// logged, since the kernel may still accept the maps.
pub(super) fn raise_locked_memory() {
    if !counts_locked_memory() {
        return;
    }
    let unlimited = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
    let raised = unlimited.or_else(|_| {
        let (_, hard) = getrlimit(Resource::RLIMIT_MEMLOCK)?;
        setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard)?;
        (hard == RLIM_INFINITY)
            .then_some(())
            .ok_or(nix::Error::EPERM)
    });
    if let Err(error) = raised {
        tracing::warn!(
            "cannot raise the limit of locked memory (RLIMIT_MEMLOCK), which tables count against before Linux 5.11: {error}; \
             if the tables are refused, set LimitMEMLOCK=infinity in the unit, or start couic as root with CAP_SYS_RESOURCE"
        );
    }
}
