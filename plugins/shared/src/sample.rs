//! Shared by the tests of chat notifiers: a notification to render, and the expected error per HTTP status.

use couic_plugin_api::{Kind, Notification, Severity, Summary, TagCount};

/// A summary of 120 bans in 15 minutes, with these tags, each with the highest count possible.
#[must_use]
pub fn summary(tags: &[String], severity: Severity, source: &str) -> Notification {
    let top_tags = tags.iter().map(|tag| TagCount {
        tag: tag.clone(),
        count: u64::MAX,
    });
    let summary = Summary {
        from: 1_700_000_000,
        until: 1_700_000_900,
        total: 120,
        distinct_cidrs: 80,
        top_tags: top_tags.collect(),
        sources: tags.to_vec(),
        ..Summary::default()
    };
    Notification::new(Kind::Summary(summary), severity, source)
}
