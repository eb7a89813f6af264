//! The wall clock.

use std::time::{Duration, SystemTime};

/// Time since the Unix epoch. A clock before 1970 reads as 1970, so that nothing expires early.
#[must_use]
pub fn unix_time() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}

/// The same in whole seconds.
#[must_use]
pub fn unix_seconds() -> u64 {
    unix_time().as_secs()
}
