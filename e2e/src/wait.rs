//! Waiting for conditions.

use std::{
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(5);

/// Asks `condition` until it answers something, and returns that with the time it took.
///
/// # Panics
/// Where it does not within `deadline`: the message says `what` was awaited.
pub fn until<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> (T, Duration) {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return (value, start.elapsed());
        }
        assert!(
            start.elapsed() < deadline,
            "not within {deadline:?}: {what}"
        );
        thread::sleep(INTERVAL);
    }
}

/// The wall clock in Unix seconds, with its fraction.
#[must_use]
pub fn unix_now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64())
}
