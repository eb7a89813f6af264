//! Watchdog notifications for systemd (`WatchdogSec=`, sd_notify(3)).
//!
//! The heartbeat thread sends them, right after it has held the rules lock and written to the tables, and only if the
//! API threads have completed a task since the previous one. So systemd restarts a daemon in which either hangs, and
//! the filter stays attached meanwhile. A disk that hangs, or a slow client, peer or attacher does not matter: nothing
//! here waits for them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use super::supervisor::Supervisor;

/// Notifies systemd at half of the watchdog's timeout.
pub(super) struct Watchdog {
    supervisor: Arc<Supervisor>,
    api: Handle,
    half: Duration,
    notified: Option<Instant>,
    /// The API has answered since then.
    answered: Arc<AtomicBool>,
    asked: bool,
}

impl Watchdog {
    /// `None` without a watchdog.
    pub(super) fn new(supervisor: Option<&Arc<Supervisor>>, api: &Handle) -> Option<Self> {
        let supervisor = Arc::clone(supervisor?);
        let half = supervisor.watchdog()? / 2;
        Some(Self {
            supervisor,
            api: api.clone(),
            half,
            notified: None,
            answered: Arc::default(),
            asked: false,
        })
    }

    /// The longest period between calls of [`Watchdog::beat`]: each probes the API for the next.
    pub(super) fn period(&self) -> Duration {
        self.half / 4
    }

    /// The rules lock and the tables work: notifies systemd if it is due and the API answers. Does not block.
    pub(super) fn beat(&mut self) {
        if self.notified.is_some_and(|at| at.elapsed() < self.half) {
            return;
        }
        if self.answered.swap(false, Ordering::AcqRel) {
            self.asked = false;
            self.notified = Some(Instant::now());
            self.supervisor.alive();
        } else if !self.asked {
            self.asked = true;
            let answered = Arc::clone(&self.answered);
            self.api
                .spawn(async move { answered.store(true, Ordering::Release) });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn systemd_is_notified_only_if_the_api_answers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        systemd.set_nonblocking(true).unwrap();
        let heard = || {
            let mut buffer = [0; 100];
            let got = systemd.recv(&mut buffer).unwrap_or(0);
            String::from_utf8(buffer[..got].to_vec()).unwrap()
        };
        // Its tasks run only in block_on.
        let runtime = Builder::new_current_thread().build().unwrap();
        let supervisor = Supervisor::at(path.to_str().unwrap(), Some(Duration::from_nanos(2)));
        let supervisor = Arc::new(supervisor.unwrap());
        supervisor.ready();
        assert!(heard().starts_with("READY=1"));
        let mut watchdog = Watchdog::new(Some(&supervisor), runtime.handle()).unwrap();
        for _ in 0..3 {
            for _ in 0..5 {
                watchdog.beat();
                assert_eq!(heard(), "");
            }
            runtime.block_on(tokio::task::yield_now());
            watchdog.beat();
            assert_eq!(heard(), "WATCHDOG=1\n");
        }
        assert!(Watchdog::new(None, runtime.handle()).is_none());
    }
}
