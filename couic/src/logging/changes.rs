//! The thread that logs rule changes: an entry of the audit log for each, and lines of the main log for many.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use couic_firewall::rules::Subscription;
use tracing::Level;

use super::{
    Fanout,
    audit::main_line,
    entries::{CHUNK, Entries},
    flood::Flood,
    outlet::Outlet,
    summary::Summary,
};

/// Changes are collected for this time and written together. The thread sleeps meanwhile, so that the firewall does not
/// wake it for each change.
const ROUND: Duration = Duration::from_millis(5);

/// The longest delay until the thread notices the shutdown, or the end of a request.
const IDLE: Duration = Duration::from_millis(100);

/// The thread that logs rule changes.
#[derive(Debug)]
pub struct ChangeLog {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl ChangeLog {
    pub(super) fn start(
        changes: Subscription,
        fanout: Fanout,
        audit: Option<Arc<Outlet>>,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let log = Changes {
            fanout,
            audit,
            entries: Entries::default(),
            flood: Flood::default(),
            summary: Summary::default(),
        };
        let thread = thread::Builder::new()
            .name("couic-changes".to_owned())
            .spawn(move || log.run(&changes, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Logs the queued changes and ends the thread.
    pub fn close(self) {
        self.stop.store(true, Ordering::Release);
        if self.thread.join().is_err() {
            tracing::error!("the thread that logs rule changes has panicked");
        }
    }
}

struct Changes {
    fanout: Fanout,
    audit: Option<Arc<Outlet>>,
    entries: Entries,
    flood: Flood,
    summary: Summary,
}

impl Changes {
    fn run(mut self, changes: &Subscription, stop: &AtomicBool) {
        loop {
            let last = stop.load(Ordering::Acquire);
            self.summary.note_answered();
            let received = changes.recv_timeout(if last { Duration::ZERO } else { IDLE });
            if received.missed > 0 {
                self.missed(received.missed);
            }
            let idle = received.events.is_empty();
            let now = Instant::now();
            for event in received.events.iter() {
                if self.audit.is_some() && self.flood.has_line(event, now) {
                    self.entries.push(event);
                }
                self.summary.count(event, now);
                if self.entries.text.len() >= CHUNK {
                    self.flush();
                }
            }
            for (actor, sum) in self.flood.sums(now, last) {
                self.entries.sum(&actor, sum);
            }
            self.flush();
            let live = &self.fanout.live;
            for entry in self.summary.due(now, last) {
                if live.has_line(Level::INFO) {
                    let line = main_line(live, Level::INFO, &entry);
                    self.fanout.line(Level::INFO, line.as_bytes());
                }
            }
            if last {
                return;
            }
            if !idle {
                thread::sleep(ROUND);
            }
        }
    }

    fn missed(&mut self, missed: u64) {
        if self.audit.is_some() {
            self.entries.missed(missed);
        }
        tracing::warn!("{missed} rule changes before this are not logged: the log was too slow");
    }

    /// The audit log may keep this thread waiting for a second, and nothing else.
    fn flush(&mut self) {
        if let Some(audit) = self.audit.as_ref().filter(|_| self.entries.count > 0) {
            audit.push(
                &self.entries.text,
                self.entries.count,
                Duration::from_secs(1),
            );
        }
        self.entries.clear();
    }
}
