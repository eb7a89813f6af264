//! What systemd hears as long as the daemon works (`WatchdogSec=`, sd_notify(3)).
//!
//! It is told by the thread of the heartbeat, right after that has had the lock of the rules and has written to the
//! tables, and only if the threads of the API have done something that they were asked for since it was told before. So
//! a daemon in which either hangs is ended and started again, and the filter stands meanwhile. A disk that hangs, a
//! client, a peer or an attacher that is slow are no reason: nothing here waits for them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::runtime::Handle;

use super::supervisor::Supervisor;

/// Tells systemd at half of the time that it waits.
pub(super) struct Watchdog {
    supervisor: Arc<Supervisor>,
    api: Handle,
    half: Duration,
    told: Option<Instant>,
    /// The API has answered since that.
    answered: Arc<AtomicBool>,
    asked: bool,
}

impl Watchdog {
    /// None where nobody waits to hear of it.
    pub(super) fn new(supervisor: Option<&Arc<Supervisor>>, api: &Handle) -> Option<Self> {
        let supervisor = Arc::clone(supervisor?);
        let half = supervisor.watchdog()? / 2;
        Some(Self {
            supervisor,
            api: api.clone(),
            half,
            told: None,
            answered: Arc::default(),
            asked: false,
        })
    }

    /// How often [`Watchdog::beat`] is to be called at least: what one call asks the next one tells.
    pub(super) fn period(&self) -> Duration {
        self.half / 4
    }

    /// The rules are in order: systemd is told if it is time to and the API works, too. Waits for nobody.
    pub(super) fn beat(&mut self) {
        if self.told.is_some_and(|told| told.elapsed() < self.half) {
            return;
        }
        if self.answered.swap(false, Ordering::AcqRel) {
            self.asked = false;
            self.told = Some(Instant::now());
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
    fn systemd_is_told_only_if_the_api_answers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        systemd.set_nonblocking(true).unwrap();
        let heard = || {
            let mut buffer = [0; 100];
            let got = systemd.recv(&mut buffer).unwrap_or(0);
            String::from_utf8(buffer[..got].to_vec()).unwrap()
        };
        // Its tasks run when this thread lets them.
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
