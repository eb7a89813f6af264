//! Waiting for conditions.

use std::{
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(5);

/// Longer than anything takes that a test awaits, on a stalled machine too.
pub const LONG: Duration = Duration::from_secs(60);

/// What `COUIC_PATIENCE` says: how many times longer than on a real processor all may take.
static PATIENCE: LazyLock<u32> = LazyLock::new(|| {
    std::env::var("COUIC_PATIENCE").map_or(1, |text| {
        text.parse()
            .ok()
            .filter(|factor| *factor > 0)
            .unwrap_or_else(|| panic!("COUIC_PATIENCE={text} is not a whole number from 1 on"))
    })
});

/// A deadline, made longer on an emulated machine. Every deadline of this library passes through here.
#[must_use]
pub fn patient(deadline: Duration) -> Duration {
    deadline * *PATIENCE
}

/// Asks `condition` until it answers something, and returns that with the time it took.
///
/// # Panics
/// When it does not within `deadline`, times `COUIC_PATIENCE`: the message says `what` was awaited.
pub fn until<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> (T, Duration) {
    let (start, deadline) = (Instant::now(), patient(deadline));
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
    couic_common::unix_time().as_secs_f64()
}
