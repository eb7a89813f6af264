//! The log: files that it goes to, and a bound on the lines that offenders cause.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use couic_common::counted;
use parking_lot::Mutex;
use tracing::{info, warn};

/// Lines about decisions in a burst.
const BURST: f64 = 100.0;

/// Lines about decisions a second after that.
const PER_SECOND: f64 = 10.0;

/// The files that this process logs to, which must not be sources.
pub(crate) fn own_files() -> Vec<PathBuf> {
    let of = |fd: &str| {
        let path = fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
        path.is_file().then_some(path)
    };
    ["1", "2"].into_iter().filter_map(of).collect()
}

/// Writes lines about decisions as long as they are few; the others are counted, and told once a second.
#[derive(Debug)]
pub(crate) struct Decisions(Mutex<Bucket>);

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
    left_out: u64,
    told: Instant,
}

impl Default for Decisions {
    fn default() -> Self {
        let at = Instant::now();
        Self(Mutex::new(Bucket {
            tokens: BURST,
            at,
            left_out: 0,
            told: at,
        }))
    }
}

impl Decisions {
    /// Logs a line at level info, or counts it.
    pub(crate) fn line(&self, text: impl FnOnce() -> String) {
        let (is_fine, left_out) = self.0.lock().take(Instant::now());
        if let Some(left_out) = left_out {
            told(left_out);
        }
        if is_fine {
            info!("{}", text());
        }
    }

    /// Tells what was left out and not told yet. Call it now and then.
    pub(crate) fn flush(&self) {
        let left_out = self.0.lock().due(Instant::now());
        if let Some(left_out) = left_out {
            told(left_out);
        }
    }
}

fn told(left_out: u64) {
    let lines = counted(left_out, "more decision has", "more decisions have");
    warn!(
        "{lines} no line here: the log is bounded; the daemon's audit log and the metrics have them all"
    );
}

impl Bucket {
    /// Whether a line may be written, and the number of those left out, if it is time to tell.
    fn take(&mut self, now: Instant) -> (bool, Option<u64>) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * PER_SECOND).min(BURST);
        self.at = now;
        let is_fine = self.tokens >= 1.0;
        if is_fine {
            self.tokens -= 1.0;
        } else {
            self.left_out += 1;
        }
        (is_fine, self.due(now))
    }

    fn due(&mut self, now: Instant) -> Option<u64> {
        const ROUND: Duration = Duration::from_secs(1);
        let is_due = self.left_out > 0 && now.saturating_duration_since(self.told) >= ROUND;
        is_due.then(|| {
            self.told = now;
            std::mem::take(&mut self.left_out)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_what_is_left_out_is_told_once_a_second() {
        let start = Instant::now();
        let mut bucket = Bucket {
            tokens: BURST,
            at: start,
            left_out: 0,
            told: start,
        };
        let (mut written, mut told) = (0, 0);
        for ms in 0..10_000 {
            let (is_fine, left_out) = bucket.take(start + Duration::from_millis(ms));
            written += u64::from(is_fine);
            told += left_out.unwrap_or(0);
            assert!(left_out.is_none() || ms % 1_000 == 0, "{ms}");
        }
        assert!((199..=200).contains(&written), "{written}");
        let last = bucket.due(start + Duration::from_secs(60)).unwrap();
        assert_eq!(written + told + last, 10_000);
        assert_eq!(bucket.due(start + Duration::from_secs(120)), None);
    }
}
