//! A notification in human-readable form: title, text, fields, all sanitized plain text. Escaping and truncating for a
//! particular receiver is left to its notifier.

use std::collections::{BTreeSet, HashMap};

use couic_common::PeerAction;
use couic_plugin_api::{Digest, Kind, Notification, Report, Severity, Summary, TagCount};
use time::{OffsetDateTime, macros::format_description};

use crate::text::clean;

/// Most tags shown.
const TOP: usize = 5;
/// Most distinct networks counted in one list of reports. Senders split lists long before.
const MAX_DISTINCT: usize = 100_000;

/// See the [module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The kind of notification.
    pub title: String,
    /// A sentence, if the kind has one. Never empty.
    pub text: Option<String>,
    /// Names and values.
    pub fields: Vec<Field>,
    /// The severity of the notification.
    pub severity: Severity,
    /// Creation time, in Unix seconds.
    pub created: u64,
}

/// A name and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name, a constant.
    pub name: &'static str,
    /// The value, often untrusted text. Never empty.
    pub value: String,
}

impl Message {
    /// Renders a notification.
    #[must_use]
    pub fn new(notification: &Notification) -> Self {
        let server = notification.source.as_str();
        let (title, text, fields) = match &notification.kind {
            Kind::Summary(summary) => ("Couic: summary", None, of_summary(summary)),
            Kind::Digest(digest) => ("Couic: several summaries in one", None, of_digest(digest)),
            Kind::Reports(reports) => ("Couic: rules changed", None, of_reports(reports)),
            Kind::Notice(_) => ("Couic: notice", Some(notification.text()), Vec::new()),
            Kind::Test => ("Couic: test", Some(notification.text()), Vec::new()),
            _ => ("Couic", Some(notification.text()), Vec::new()),
        };
        let mut message = Self {
            title: title.to_owned(),
            // Receivers refuse empty texts.
            text: text
                .map(|text| clean(&text))
                .filter(|text| !text.trim().is_empty()),
            fields,
            severity: notification.severity,
            created: notification.created,
        };
        message.fields.push(field("Server", clean(server)));
        message
    }

    /// The whole message on one line, for previews.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = self.title.clone();
        if let Some(text) = &self.text {
            line.push_str(". ");
            line.push_str(text);
        }
        for Field { name, value } in &self.fields {
            line.push_str(&format!("; {name}: {value}"));
        }
        line
    }
}

fn field(name: &'static str, value: String) -> Field {
    // Receivers refuse empty values.
    let value = if value.trim().is_empty() {
        "none".to_owned()
    } else {
        value
    };
    Field { name, value }
}

fn of_summary(summary: &Summary) -> Vec<Field> {
    let about = if summary.distinct_is_estimate {
        "about "
    } else {
        ""
    };
    let mut fields = vec![
        field("Total", summary.total.to_string()),
        field(
            "Distinct CIDRs",
            format!("{about}{}", summary.distinct_cidrs),
        ),
        field("Top tags", tags(&summary.top_tags)),
        field("Interval", interval(summary.from, summary.until)),
    ];
    if !summary.sources.is_empty() {
        let names: Vec<_> = summary.sources.iter().map(|name| clean(name)).collect();
        fields.push(field("Reported by", names.join(", ")));
    }
    fields
}

fn of_digest(digest: &Digest) -> Vec<Field> {
    vec![
        field("Total", digest.added.to_string()),
        field("Removed", digest.removed.to_string()),
        field("Top tags", tags(&digest.top_tags)),
        field("Notifications merged", digest.merged.to_string()),
        field("Interval", interval(digest.from, digest.until)),
    ]
}

fn of_reports(reports: &[Report]) -> Vec<Field> {
    let mut networks = BTreeSet::new();
    let mut counts: HashMap<&str, u64> = HashMap::new();
    let (mut added, mut removed) = (0_u64, 0_u64);
    for report in reports {
        if report.action != PeerAction::Add {
            removed += 1;
            continue;
        }
        added += 1;
        if networks.len() < MAX_DISTINCT {
            networks.insert(report.entry.cidr);
        }
        if let Some(tag) = &report.entry.tag {
            *counts.entry(tag.as_str()).or_default() += 1;
        }
    }
    let mut top: Vec<_> = (counts.into_iter())
        .map(|(tag, count)| TagCount {
            tag: tag.to_owned(),
            count,
        })
        .collect();
    top.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.tag.cmp(&b.tag)));
    let more = if networks.len() == MAX_DISTINCT {
        "at least "
    } else {
        ""
    };
    let times = reports
        .iter()
        .map(|report| report.timestamp)
        .filter(|&at| at > 0);
    let (from, until) = (times.clone().min(), times.max());
    let mut fields = vec![
        field("Total", added.to_string()),
        field("Removed", removed.to_string()),
        field("Distinct CIDRs", format!("{more}{}", networks.len())),
        field("Top tags", tags(&top)),
    ];
    if let (Some(from), Some(until)) = (from, until) {
        fields.push(field("Interval", interval(from, until)));
    }
    fields
}

fn tags(top: &[TagCount]) -> String {
    let named = top.iter().take(TOP);
    let named: Vec<_> = named
        .map(|top| format!("{} ({})", clean(&top.tag), top.count))
        .collect();
    named.join(", ")
}

/// `2026-11-21 12:00:00 to 12:15:00 UTC (15 min)`.
fn interval(from: u64, until: u64) -> String {
    let seconds = until.saturating_sub(from);
    let length = match seconds {
        0..60 => format!("{seconds} s"),
        60..7200 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60..7200 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    };
    format!("{} to {} UTC ({length})", moment(from), moment(until))
}

fn moment(unix: u64) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let seconds = i64::try_from(unix).unwrap_or(i64::MAX);
    let moment = OffsetDateTime::from_unix_timestamp(seconds).ok();
    // `time` has no year beyond 9999: show the number.
    moment
        .and_then(|at| at.format(format).ok())
        .unwrap_or_else(|| unix.to_string())
}

#[cfg(test)]
mod tests;
