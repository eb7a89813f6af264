//! Requests are bounded in size: a long list of reports is delivered in parts.
//!
//! Every attempt at the same part carries the same id, across restarts, too: it is derived from the notification's id
//! and the index of the part's first report.

use std::borrow::Cow;

use twox_hash::XxHash3_64;
use uuid::{Builder, Uuid};

use couic_plugin_api::{Kind, Notification, Report};

/// The limits of one part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) reports: usize,
    pub(super) bytes: usize,
}

/// The next part of a notification whose first `done` reports are done, and how many are done after it.
pub(super) fn next(
    notification: &Notification,
    done: u64,
    limits: Limits,
) -> (Cow<'_, Notification>, u64) {
    let Kind::Reports(reports) = &notification.kind else {
        return (Cow::Borrowed(notification), done + 1);
    };
    let start = usize::try_from(done)
        .unwrap_or(usize::MAX)
        .min(reports.len());
    let count = fitting(&reports[start..], limits);
    if start == 0 && count == reports.len() {
        return (Cow::Borrowed(notification), count as u64);
    }
    let part = Notification {
        id: part_id(notification.id, start as u64),
        kind: Kind::Reports(reports[start..start + count].to_vec()),
        severity: notification.severity,
        created: notification.created,
        source: notification.source.clone(),
    };
    (Cow::Owned(part), (start + count) as u64)
}

/// The number of reports, or 1 for other kinds.
pub(super) fn total(notification: &Notification) -> u64 {
    match &notification.kind {
        Kind::Reports(reports) => reports.len() as u64,
        _ => 1,
    }
}

/// How many of the first reports fit into one part; at least one.
fn fitting(reports: &[Report], limits: Limits) -> usize {
    if limits.bytes == usize::MAX {
        // No need to serialize them for their size.
        return limits.reports.clamp(1.min(reports.len()), reports.len());
    }
    // The brackets of the array; each report adds a comma.
    let mut bytes = 2;
    let fits = |report: &&Report| {
        bytes += json_len(report) + 1;
        bytes <= limits.bytes
    };
    let count = reports.iter().take(limits.reports).take_while(fits).count();
    count.clamp(1.min(reports.len()), reports.len())
}

fn json_len(report: &Report) -> usize {
    struct Count(usize);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, report) {
        Ok(()) => count.0,
        // Reports can always be serialized. If not, it would be a part of its own.
        Err(_) => usize::MAX / 4,
    }
}

fn part_id(id: Uuid, start: u64) -> Uuid {
    let mut input = id.as_bytes().to_vec();
    input.extend_from_slice(&start.to_le_bytes());
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&XxHash3_64::oneshot_with_seed(0, &input).to_le_bytes());
    bytes[8..].copy_from_slice(&XxHash3_64::oneshot_with_seed(1, &input).to_le_bytes());
    Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::report;
    use couic_plugin_api::Severity;

    proptest! {
        /// The parts put together are the whole, in order, each within its limits or one report.
        #[test]
        fn parts_add_up(
            tags in prop::collection::vec("[a-z]{0,60}", 0..60),
            reports in 1_usize..20,
            bytes in 0_usize..4_000,
        ) {
            let list: Vec<_> = tags.iter().map(|tag| report(tag)).collect();
            let whole = Notification::new(Kind::Reports(list.clone()), Severity::Green, "here");
            let limits = Limits { reports, bytes };
            let (mut done, mut seen, mut ids) = (0, Vec::new(), Vec::new());
            while done < total(&whole) {
                let (part, after) = next(&whole, done, limits);
                prop_assert!(after > done);
                prop_assert_eq!(&next(&whole, done, limits).0, &part, "the same each time");
                let id = part.id;
                let Kind::Reports(some) = part.into_owned().kind else { panic!("not reports") };
                let size = serde_json::to_vec(&some).unwrap().len();
                prop_assert!(some.len() == 1 || (some.len() <= reports && size <= bytes));
                seen.extend(some);
                ids.push(id);
                done = after;
            }
            prop_assert_eq!(seen, list);
            let count = ids.len();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), count);
        }
    }

    #[test]
    fn what_fits_goes_as_it_is() {
        let whole = Notification::new(Kind::Reports(vec![report("a")]), Severity::Green, "here");
        let limits = Limits {
            reports: 1,
            bytes: 1 << 20,
        };
        assert_eq!(next(&whole, 0, limits), (Cow::Borrowed(&whole), 1));
        let empty = Notification::new(Kind::Reports(Vec::new()), Severity::Green, "here");
        assert_eq!(next(&empty, 0, limits), (Cow::Borrowed(&empty), 0));
    }
}
