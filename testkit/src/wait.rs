//! Waiting for conditions.

use std::{
    fmt::Debug,
    sync::LazyLock,
    thread,
    time::{Duration, Instant},
};

/// How often a condition is checked.
const INTERVAL: Duration = Duration::from_millis(5);

/// The deadline of awaited conditions: long enough for a stalled machine.
pub const LONG: Duration = Duration::from_secs(60);

/// The value of `COUIC_PATIENCE`: the factor of all deadlines, for emulated processors.
static PATIENCE: LazyLock<u32> = LazyLock::new(|| {
    std::env::var("COUIC_PATIENCE").map_or(1, |text| {
        text.parse()
            .ok()
            .filter(|factor| *factor > 0)
            .unwrap_or_else(|| panic!("COUIC_PATIENCE={text} is not a whole number from 1 on"))
    })
});

/// A deadline, multiplied by `COUIC_PATIENCE`. Applied to every deadline of this library.
#[must_use]
pub fn patient(deadline: Duration) -> Duration {
    deadline * *PATIENCE
}

/// Polls `condition` until it returns a value, and returns that with the elapsed time.
///
/// # Panics
/// If it does not within `deadline`, times `COUIC_PATIENCE`: the message says `what` was awaited.
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

/// Polls `condition` every `interval` until it is Ok, and returns its value. The deadline is [`LONG`] by the real clock;
/// the pauses are tokio's, so that hours of virtual time pass at once.
///
/// # Panics
/// With the last error, if the deadline, times `COUIC_PATIENCE`, has passed.
pub async fn until_ok<T, E: Debug>(
    interval: Duration,
    mut condition: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let (start, deadline) = (Instant::now(), patient(LONG));
    loop {
        match condition().await {
            Ok(value) => return value,
            Err(error) if start.elapsed() >= deadline => {
                panic!("not within {deadline:?}: {error:?}")
            }
            Err(_) => tokio::time::sleep(interval).await,
        }
    }
}

/// The wall clock in Unix seconds, with its fraction.
#[must_use]
pub fn unix_now() -> f64 {
    couic_common::unix_time().as_secs_f64()
}
