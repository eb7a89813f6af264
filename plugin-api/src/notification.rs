//! Notifications.

use couic_common::{PeerAction, Report, unix_seconds};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Traffic;

/// One message to be delivered.
///
/// Its JSON form crosses the plugin ABI and is stored in the spool: a field `version`, `kind` and, under the name of
/// the kind, its content. `text` is a line for notifiers that do not know a kind. Unknown fields are ignored; an unknown
/// kind is received as [`Kind::Other`].
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    /// The same in every attempt to deliver it, so receivers can recognize duplicates.
    pub id: Uuid,
    /// What happened.
    pub kind: Kind,
    /// The severity. A full queue drops the least severe first.
    pub severity: Severity,
    /// When it was created, in Unix seconds.
    pub created: u64,
    /// The name of the server that sends it.
    pub source: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Kind {
    /// The totals of an interval.
    Summary(Summary),
    /// Every change of the rules, complete and in order.
    Reports(Vec<Report>),
    /// The totals of several notifications that were merged because the queue was nearly full.
    Digest(Digest),
    /// A message about Couic itself, for example that notifications were dropped.
    Notice(Notice),
    /// What the firewall passed and dropped in the last minute, for collectors that draw it. Not for people: there is one
    /// each minute.
    Traffic(Traffic),
    /// A sample that an operator requested.
    Test,
    /// A kind of a newer host. [`Notification::text`] still describes it.
    Other {
        /// The name of the kind.
        name: String,
        /// Its text.
        text: String,
    },
}

/// The severity, lowest first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Informational.
    #[default]
    Green,
    /// Worth attention.
    Orange,
    /// An attack, or a failure of Couic itself.
    Red,
}

impl Severity {
    /// The name, as in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Green => "green",
            Self::Orange => "orange",
            Self::Red => "red",
        }
    }
}

/// The totals of an interval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Start of the interval, in Unix seconds.
    pub from: u64,
    /// End of the interval, in Unix seconds.
    pub until: u64,
    /// How many rules were added.
    pub total: u64,
    /// How many distinct networks they have.
    pub distinct_cidrs: u64,
    /// True if there were too many networks to count them exactly.
    #[serde(default)]
    pub distinct_is_estimate: bool,
    /// The most frequent tags, the most frequent one first.
    #[serde(default)]
    pub top_tags: Vec<TagCount>,
    /// The names of the Couic instances that reported, if they have any.
    #[serde(default)]
    pub sources: Vec<String>,
}

/// A tag and how often it occurred. The text comes from clients: treat it as hostile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagCount {
    /// The tag.
    pub tag: String,
    /// How often.
    pub count: u64,
}

/// The totals of merged notifications.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// When the first of them was created, in Unix seconds.
    pub from: u64,
    /// When the last of them was created, in Unix seconds.
    pub until: u64,
    /// How many notifications were merged.
    pub merged: u64,
    /// How many added rules they reported.
    pub added: u64,
    /// How many removed rules they reported.
    pub removed: u64,
    /// The most frequent tags among the added, the most frequent one first.
    #[serde(default)]
    pub top_tags: Vec<TagCount>,
}

/// A message about Couic itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// A name for programs, for example `dropped`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

impl Notification {
    /// A notification created now, with a new id.
    #[must_use]
    pub fn new(kind: Kind, severity: Severity, source: impl Into<String>) -> Self {
        Self {
            id: Uuid::new_v4(),
            kind,
            severity,
            created: unix_seconds(),
            source: source.into(),
        }
    }

    /// One plain line, for notifiers without a format of their own.
    #[must_use]
    pub fn text(&self) -> String {
        self.kind.text()
    }
}

impl Kind {
    /// The name in JSON.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Summary(_) => "summary",
            Self::Reports(_) => "reports",
            Self::Digest(_) => "digest",
            Self::Notice(_) => "notice",
            Self::Traffic(_) => "traffic",
            Self::Test => "test",
            Self::Other { name, .. } => name,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Summary(summary) => summary.text(),
            Self::Reports(reports) => match reports.as_slice() {
                [one] => change(one),
                all => format!("{} changes of the rules", all.len()),
            },
            Self::Digest(digest) => digest.text(),
            Self::Notice(notice) => notice.message.clone(),
            Self::Traffic(traffic) => traffic.text(),
            Self::Test => "Test notification: delivery works.".to_owned(),
            Self::Other { text, .. } => text.clone(),
        }
    }
}

impl Summary {
    fn text(&self) -> String {
        let Self {
            total,
            distinct_cidrs,
            ..
        } = self;
        let about = if self.distinct_is_estimate {
            "about "
        } else {
            ""
        };
        let seconds = self.until.saturating_sub(self.from);
        let mut text =
            format!("{total} added in {seconds} s, {about}{distinct_cidrs} distinct CIDRs");
        push_top(&mut text, &self.top_tags);
        text
    }
}

impl Digest {
    fn text(&self) -> String {
        let Self {
            merged,
            added,
            removed,
            ..
        } = self;
        let mut text = format!("{merged} notifications merged: {added} added, {removed} removed");
        push_top(&mut text, &self.top_tags);
        text
    }
}

fn change(report: &Report) -> String {
    let policy = report.policy.map_or("rule", |policy| policy.as_str());
    let done = match report.action {
        PeerAction::Add => "added",
        PeerAction::Remove => "removed",
    };
    format!("{policy} {} {done}", report.entry.cidr)
}

fn push_top(text: &mut String, tags: &[TagCount]) {
    if let Some(TagCount { tag, count }) = tags.first() {
        text.push_str(&format!(", top tag {tag} ({count})"));
    }
}
