//! A notification that the tests of chat notifiers render.

use couic_plugin_api::{Kind, Notification, Severity, Summary, TagCount};

/// A quarter of an hour with 120 bans, with these tags, each as often as can be.
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
