//! Large buffers go back to the kernel as soon as they are freed, and grow without a copy.
//!
//! A request's body may have 16 MiB. glibc serves what is larger than a threshold by mmap(2), but raises the threshold
//! with every such buffer that is freed: later ones then stay in the arena of the thread that happened to serve them,
//! 31 MiB an arena after one body that grew by doubling, and there are up to eight arenas a CPU. A threshold that is set
//! stays (mallopt(3)). Other C libraries do not do this.

/// Much larger than what the daemon handles all the time.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 512 * 1024;

/// For the whole process; best before it has threads.
pub(super) fn give_back_large_buffers() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: sets a number of the allocator, and may be called at any time.
        let done = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
        if done != 1 {
            tracing::warn!(
                "the C library refuses its limit: memory of large requests may stay with the daemon"
            );
        }
    }
}

/// What restoring a million rules has used and freed, 260 MiB, goes back to the kernel.
pub(super) fn give_back_freed() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: releases free memory of the allocator, and may be called at any time (malloc_trim(3)).
        unsafe {
            libc::malloc_trim(0);
        }
    }
}
