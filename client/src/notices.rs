//! Notices in response headers: that the panic switch is on, changes to confirm, guard rails that were lifted, how long to
//! wait, and the daemon's clock.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use couic_common::{
    CONFIRM_ID_HEADER, CONFIRM_UNTIL_HEADER, ConfirmId, LIFTED_HEADER, PANIC_HEADER, Rail,
    unix_seconds,
};
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// How much less than this two clocks may differ: whole seconds, and the way of the response.
const SAME: i64 = 3;

/// Seconds by which the clock of a `Date` header is ahead.
fn ahead(date: &str, now: u64) -> Option<i64> {
    let date = httpdate::parse_http_date(date).ok()?;
    let theirs = date.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let ahead = i64::try_from(theirs).ok()? - i64::try_from(now).ok()?;
    Some(if ahead.abs() < SAME { 0 } else { ahead })
}

/// A change that is undone unless it is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToConfirm {
    /// The id to confirm.
    pub id: ConfirmId,
    /// The deadline in Unix seconds, by the daemon's clock.
    pub until: u64,
}

/// The notices of the responses so far.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    panic: AtomicBool,
    clock_ahead: AtomicI64,
    /// Seconds; 0 if the last response has not said.
    retry_after: AtomicU64,
    to_confirm: Mutex<Vec<ToConfirm>>,
    lifted: Mutex<BTreeSet<Rail>>,
}

impl Notices {
    pub(crate) fn read(&self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let panic = text(PANIC_HEADER) == Some("on");
        self.panic.store(panic, Ordering::Relaxed);
        if let Some(ahead) = text("date").and_then(|date| ahead(date, unix_seconds())) {
            self.clock_ahead.store(ahead, Ordering::Relaxed);
        }
        let wait = text(RETRY_AFTER.as_str()).and_then(|wait| wait.parse().ok());
        self.retry_after.store(wait.unwrap_or(0), Ordering::Relaxed);
        let id = text(CONFIRM_ID_HEADER).and_then(|id| id.parse().ok());
        let until = text(CONFIRM_UNTIL_HEADER).and_then(|until| until.parse().ok());
        if let (Some(id), Some(until)) = (id, until) {
            let mut all = self
                .to_confirm
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            all.push(ToConfirm { id, until });
        }
        let rails = text(LIFTED_HEADER).unwrap_or_default().split(',');
        // A rail of another version is left out.
        let rails = rails.filter_map(|name| name.trim().parse::<Rail>().ok());
        let mut lifted = self.lifted.lock().unwrap_or_else(PoisonError::into_inner);
        lifted.extend(rails);
    }

    pub(crate) fn drain_lifted(&self) -> Vec<Rail> {
        let mut lifted = self.lifted.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *lifted).into_iter().collect()
    }

    pub(crate) fn clock_ahead(&self) -> i64 {
        self.clock_ahead.load(Ordering::Relaxed)
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let seconds = self.retry_after.load(Ordering::Relaxed);
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    pub(crate) fn panic(&self) -> bool {
        self.panic.load(Ordering::Relaxed)
    }

    pub(crate) fn drain_to_confirm(&self) -> Vec<ToConfirm> {
        let mut all = self
            .to_confirm
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_that_of_the_last_response() {
        let notices = Notices::default();
        for (header, seconds) in [("7", Some(7)), ("soon", None), ("0", None), ("9", Some(9))] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, header.parse().unwrap());
            notices.read(&headers);
            assert_eq!(notices.retry_after(), seconds.map(Duration::from_secs));
        }
        notices.read(&HeaderMap::new());
        assert_eq!(notices.retry_after(), None);
    }

    #[test]
    fn a_date_gives_the_difference_of_the_clocks() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (now, expected) in [
            (784_111_777, 0),
            (784_111_779, 0),
            (784_111_477, 300),
            (784_112_077, -300),
        ] {
            assert_eq!(ahead(date, now), Some(expected));
        }
        assert_eq!(ahead("yesterday", 784_111_777), None);
    }
}
