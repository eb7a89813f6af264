//! The end of all sources: one event that every thread polls.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};

/// Asks sources to stop. Clones share one state.
#[derive(Clone, Debug)]
pub struct Stop(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    asked: AtomicBool,
    /// Written once and never read: it stays readable for everybody who polls it.
    event: EventFd,
}

impl Stop {
    /// A new one that has not been asked.
    ///
    /// # Errors
    /// Those of eventfd(2): no descriptors left.
    pub fn new() -> io::Result<Self> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let event = EventFd::from_flags(flags)?;
        let asked = AtomicBool::new(false);
        Ok(Self(Arc::new(Inner { asked, event })))
    }

    /// Asks all sources that have this one to stop.
    pub fn stop(&self) {
        self.0.asked.store(true, Ordering::Release);
        // Fails only when the counter is full: then it is readable.
        let _ = self.0.event.write(1);
    }

    /// Whether the sources are to stop.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::Acquire)
    }

    /// Waits until one of `others` is readable, at the longest `timeout`, and tells which are. Returns at once when asked
    /// to stop.
    pub(crate) fn wait<const N: usize>(
        &self,
        others: [BorrowedFd<'_>; N],
        timeout: Duration,
    ) -> io::Result<[bool; N]> {
        let mut fds: Vec<PollFd<'_>> = vec![PollFd::new(self.0.event.as_fd(), PollFlags::POLLIN)];
        fds.extend(others.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        // Rounded up: a wait of half a millisecond must not become a busy loop.
        let millis = u32::try_from(timeout.as_micros().div_ceil(1_000)).unwrap_or(u32::MAX);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = [false; N];
        for (ready, fd) in ready.iter_mut().zip(fds.iter().skip(1)) {
            *ready = fd.any().unwrap_or(false);
        }
        Ok(ready)
    }

    /// Sleeps until `until`, less when asked to stop.
    pub(crate) fn sleep_until(&self, until: Instant) -> io::Result<()> {
        while !self.is_asked() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.wait([], left)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_once_ends_the_waits_of_all_clones() {
        let stop = Stop::new().unwrap();
        stop.wait([], Duration::ZERO).unwrap();
        assert!(!stop.is_asked());
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let stop = stop.clone();
                std::thread::spawn(move || {
                    stop.sleep_until(Instant::now() + Duration::from_secs(3_600))
                })
            })
            .collect();
        stop.stop();
        for waiter in waiters {
            waiter.join().unwrap().unwrap();
        }
        assert!(stop.is_asked());
    }
}
