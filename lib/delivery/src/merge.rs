//! Merges neighbours of a queue that is nearly full.

use std::collections::HashMap;

use couic_common::PeerAction;
use uuid::Uuid;

use super::policy::Merge;
use couic_plugin_api::{Digest, Kind, Notification, TagCount};

/// How many tags a digest keeps.
const TOP: usize = 10;

/// Whether this kind may be merged this way: numbers and reports, never texts.
pub(super) fn is_mergeable(kind: &Kind, how: Merge) -> bool {
    match how {
        Merge::Batches => matches!(kind, Kind::Reports(_)),
        Merge::Digest => matches!(kind, Kind::Reports(_) | Kind::Summary(_) | Kind::Digest(_)),
    }
}

/// One notification for all of these, which are mergeable, in order. `None` for none.
pub(super) fn merge(parts: Vec<Notification>, how: Merge) -> Option<Notification> {
    let first = parts.first()?;
    let severity = parts.iter().map(|part| part.severity).max()?;
    let (created, source) = (first.created, first.source.clone());
    let kind = match how {
        Merge::Batches => Kind::Reports(parts.into_iter().flat_map(reports).collect()),
        Merge::Digest => Kind::Digest(digest(&parts)),
    };
    Some(Notification {
        id: Uuid::new_v4(),
        kind,
        severity,
        created,
        source,
    })
}

fn reports(notification: Notification) -> Vec<couic_plugin_api::Report> {
    match notification.kind {
        Kind::Reports(reports) => reports,
        _ => Vec::new(),
    }
}

fn digest(parts: &[Notification]) -> Digest {
    let mut digest = Digest {
        from: u64::MAX,
        ..Digest::default()
    };
    let mut tags = HashMap::new();
    for part in parts {
        let (from, until) = match &part.kind {
            Kind::Summary(summary) => (summary.from, summary.until),
            Kind::Digest(other) => (other.from, other.until),
            _ => (part.created, part.created),
        };
        digest.from = digest.from.min(from);
        digest.until = digest.until.max(until);
        add(&mut digest, &mut tags, &part.kind);
    }
    let mut tags: Vec<_> = (tags.into_iter())
        .map(|(tag, count)| TagCount {
            tag: tag.to_owned(),
            count,
        })
        .collect();
    tags.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.tag.cmp(&b.tag)));
    tags.truncate(TOP);
    digest.top_tags = tags;
    digest
}

fn add<'a>(digest: &mut Digest, tags: &mut HashMap<&'a str, u64>, kind: &'a Kind) {
    let top = match kind {
        Kind::Summary(summary) => {
            digest.merged += 1;
            digest.added += summary.total;
            &summary.top_tags[..]
        }
        Kind::Digest(other) => {
            digest.merged += other.merged;
            digest.added += other.added;
            digest.removed += other.removed;
            &other.top_tags[..]
        }
        Kind::Reports(reports) => {
            digest.merged += 1;
            for report in reports {
                if report.action != PeerAction::Add {
                    digest.removed += 1;
                    continue;
                }
                digest.added += 1;
                if let Some(tag) = &report.entry.tag {
                    *tags.entry(tag.as_str()).or_default() += 1;
                }
            }
            &[]
        }
        _ => &[],
    };
    for TagCount { tag, count } in top {
        *tags.entry(tag).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::report;
    use couic_plugin_api::{Severity, Summary};

    fn batch(tags: &[&str], created: u64, severity: Severity) -> Notification {
        let reports = tags.iter().map(|tag| report(tag)).collect();
        Notification {
            created,
            ..Notification::new(Kind::Reports(reports), severity, "here")
        }
    }

    #[test]
    fn a_digest_adds_up() {
        let summary = Summary {
            from: 50,
            until: 60,
            total: 7,
            top_tags: vec![TagCount {
                tag: "ssh".to_owned(),
                count: 5,
            }],
            ..Summary::default()
        };
        let parts = vec![
            batch(&["ssh", "web", "ssh"], 70, Severity::Green),
            Notification::new(Kind::Summary(summary), Severity::Red, "here"),
        ];
        let first = merge(parts, Merge::Digest).unwrap();
        assert_eq!((first.severity, first.created), (Severity::Red, 70));
        let more = vec![first, batch(&["web"], 80, Severity::Green)];
        let Kind::Digest(digest) = merge(more, Merge::Digest).unwrap().kind else {
            panic!("not a digest");
        };
        let top: Vec<_> = digest
            .top_tags
            .iter()
            .map(|t| (t.tag.as_str(), t.count))
            .collect();
        assert_eq!(top, [("ssh", 7), ("web", 2)]);
        assert_eq!((digest.from, digest.until), (50, 80));
        assert_eq!((digest.merged, digest.added, digest.removed), (3, 11, 0));
    }

    #[test]
    fn batches_lose_nothing() {
        let parts = vec![
            batch(&["a", "b"], 1, Severity::Green),
            batch(&["c"], 2, Severity::Orange),
        ];
        let merged = merge(parts, Merge::Batches).unwrap();
        assert_eq!(
            merged.kind,
            Kind::Reports(["a", "b", "c"].map(report).to_vec())
        );
        assert_eq!((merged.severity, merged.created), (Severity::Orange, 1));
        assert_eq!(merge(Vec::new(), Merge::Batches), None);
    }
}
