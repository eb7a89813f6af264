//! Log lines of plugins, under the name of their notifier, with a rate limit.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::loaded::LogSink;

/// Lines per window.
const LINES: u32 = 100;
const WINDOW: Duration = Duration::from_secs(10);

/// Limits the lines in a window, and counts the rest.
#[derive(Debug, Default)]
pub(crate) struct Budget(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    since: Option<Instant>,
    lines: u32,
    suppressed: u64,
}

impl Budget {
    /// Whether a line may pass, and how many were suppressed in the window that has just ended.
    pub(crate) fn take(&self, now: Instant) -> (bool, u64) {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut suppressed = 0;
        if window
            .since
            .is_none_or(|since| now.duration_since(since) >= WINDOW)
        {
            suppressed = window.suppressed;
            *window = Window {
                since: Some(now),
                ..Window::default()
            };
        }
        window.lines = window.lines.saturating_add(1);
        let passes = window.lines <= LINES;
        window.suppressed += u64::from(!passes);
        (passes, suppressed)
    }
}

/// A sink that writes to this process' log.
pub(super) fn sink(notifier: &str) -> LogSink {
    let (notifier, budget) = (notifier.to_owned(), Budget::default());
    Box::new(move |level, text| {
        let (passes, suppressed) = budget.take(Instant::now());
        if suppressed > 0 {
            tracing::warn!(target: "couic::notifier", notifier, suppressed, "too many lines from a plugin");
        }
        if passes {
            write(&notifier, level, text);
        }
    })
}

/// Writes a line of a plugin: levels are those of the header, unknown ones are debug.
fn write(notifier: &str, level: u32, text: &str) {
    match level {
        1 => tracing::error!(target: "couic::notifier", notifier, "{text}"),
        2 => tracing::warn!(target: "couic::notifier", notifier, "{text}"),
        3 => tracing::info!(target: "couic::notifier", notifier, "{text}"),
        _ => tracing::debug!(target: "couic::notifier", notifier, "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let (budget, start) = (Budget::default(), Instant::now());
        let passed = (0..250).filter(|_| budget.take(start).0).count();
        assert_eq!(passed, 100);
        assert_eq!(budget.take(start + WINDOW), (true, 150));
        assert_eq!(budget.take(start + WINDOW), (true, 0));
    }
}
