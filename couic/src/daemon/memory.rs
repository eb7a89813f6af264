//! Large buffers are returned to the kernel as soon as they are freed, and grow without a copy.
//!
//! A request's body may have 16 MiB. glibc allocates buffers above a threshold by mmap(2), but raises the threshold
//! when such a buffer is freed: later ones then stay in the arena of their thread, 31 MiB per arena after one body
//! that grew by doubling, with up to eight arenas per CPU. A threshold set by mallopt(3) stays. Other C libraries do
//! not do this.

/// Much larger than the usual allocations of the daemon.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 512 * 1024;

/// For the whole process; call it before threads are started.
pub(super) fn give_back_large_buffers() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: sets a number of the allocator, and may be called at any time.
        let done = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
        if done != 1 {
            tracing::warn!(
                "mallopt failed: the daemon may not return the memory of large requests to the kernel"
            );
        }
    }
}

/// Returns freed memory to the kernel: 260 MiB after restoring a million rules.
pub(super) fn give_back_freed() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: releases free memory of the allocator, and may be called at any time (malloc_trim(3)).
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
