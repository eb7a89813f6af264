//! What the history answers with. Everything serializes to JSON as it is; texts come from senders: treat them as
//! hostile.

use std::net::IpAddr;

use couic_common::{Cidr, OwnerKind, PeerAction, Policy};
use couic_plugin_api::Severity;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The most changes of a [`ChangePage`].
pub const MOST_CHANGES: usize = 500;

/// How far back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Range {
    /// 60 steps of a minute.
    Hour,
    /// 288 steps of 5 minutes.
    Day,
    /// 168 steps of an hour.
    Week,
    /// 120 steps of 6 hours: 30 days.
    Month,
}

/// A firewall that has reported.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FirewallStatus {
    /// The name that it sent (`Couic-Instance`), else its address.
    pub name: String,
    /// When the history heard of it first, Unix seconds.
    pub first_heard: u64,
    /// When it was heard of last, Unix seconds.
    pub last_heard: u64,
    /// Rules added in the last 24 hours.
    pub adds_24h: u64,
    /// Packets dropped in the last 24 hours; None if it reported no traffic in them.
    pub dropped_packets_24h: Option<u64>,
    /// What it last told about itself; None if it reports no traffic.
    pub status: Option<ReportedStatus>,
}

/// What a firewall tells about itself, with its traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReportedStatus {
    /// When it was told, Unix seconds.
    pub at: u64,
    /// The version of the daemon.
    pub version: String,
    /// `ok`, `degraded` or `down`; another word from a newer daemon.
    pub health: String,
    /// The configured interfaces.
    pub interfaces: Vec<InterfaceStatus>,
    /// The rules in force and their limits, by policy and family.
    pub rules: Vec<RuleTotals>,
}

/// An interface of a firewall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Whether packets that arrive on it are filtered.
    pub attached: bool,
}

/// The rules of one policy and address family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleTotals {
    /// `drop` or `ignore`.
    pub policy: Policy,
    /// 4 or 6.
    pub family: u8,
    /// Rules in force.
    pub rules: u64,
    /// The most that fit.
    pub limit: u64,
}

/// Figures over time. Points are contiguous, the oldest first; the last one is the step that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Series {
    /// When the first step starts, Unix seconds.
    pub from: u64,
    /// The length of a step, in seconds.
    pub step_secs: u64,
    /// One per step.
    pub points: Vec<Point>,
}

/// The figures of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Rules added.
    pub adds: u64,
    /// Rules removed.
    pub removes: u64,
    /// None if no firewall reported its traffic.
    pub traffic: Option<TrafficPoint>,
}

/// The traffic of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrafficPoint {
    /// Packets that were let through, including those of `ignore` rules.
    pub passed_packets: u64,
    /// Their bytes.
    pub passed_bytes: u64,
    /// Packets that were dropped.
    pub dropped_packets: u64,
    /// Their bytes.
    pub dropped_bytes: u64,
}

/// The totals of a tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TagTotals {
    /// The tag; `(others)` sums what a firewall did not list by tag.
    pub tag: String,
    /// Rules added with it.
    pub adds: u64,
    /// Packets dropped by its rules, if traffic is reported.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The totals of a network that was added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SourceTotals {
    /// The network.
    pub cidr: Cidr,
    /// How often a rule for it was added.
    pub adds: u64,
    /// The tag that the latest had; None if it had none.
    pub last_tag: Option<String>,
}

/// Which changes are wanted: those that meet every condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeQuery {
    /// Of rules that cover this address.
    pub address: Option<IpAddr>,
    /// Reported by this firewall.
    pub firewall: Option<String>,
    /// With this tag.
    pub tag: Option<String>,
    /// Not before, Unix seconds.
    pub since: Option<u64>,
    /// Before, Unix seconds.
    pub until: Option<u64>,
    /// At most this many; 0 and more than [`MOST_CHANGES`] mean [`MOST_CHANGES`].
    pub limit: usize,
}

/// Changes, the newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ChangePage {
    /// At most the limit.
    pub changes: Vec<Change>,
    /// The search ended at the limit of what a search reads: there may be older ones.
    pub truncated: bool,
}

/// One change of a rule, as reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// When, as the firewall says, Unix seconds; when it was received if it does not say.
    pub at: u64,
    /// The firewall.
    pub firewall: String,
    /// Added (or renewed) or removed.
    pub action: PeerAction,
    /// None from Couic 1.0.
    pub policy: Option<Policy>,
    /// The network.
    pub cidr: Cidr,
    /// The tag.
    pub tag: Option<String>,
    /// When the rule ends, Unix seconds; None if never.
    pub expiration: Option<u64>,
    /// The reason: `metadata.detail` of the report.
    pub reason: Option<String>,
    /// Whose claim it was; None from Couic 1.0.
    pub owner: Option<ChangeOwner>,
}

/// Whose claim changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChangeOwner {
    /// A client, a set or a peer.
    pub kind: OwnerKind,
    /// Its name, if it is known.
    pub name: Option<String>,
}

/// A rule that a firewall is known to have: the last add, without a later remove or expiration.
///
/// As the reports tell: rules older than the kept history, and changes that were not reported, are not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KnownRule {
    /// The add.
    pub added: Change,
    /// Whether a search over all kept changes found it. If not, an older rule may exist as well.
    pub complete: bool,
}

/// A summary of an interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SentSummary {
    /// Its id, the same in every notification.
    pub id: Uuid,
    /// Start of the interval, Unix seconds.
    pub from: u64,
    /// End of the interval, Unix seconds.
    pub until: u64,
    /// Rules added.
    pub total: u64,
    /// Its colour, by the present thresholds.
    pub colour: Severity,
    /// Whether the notifiers have it.
    pub state: SummaryState,
}

/// Where a summary is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SummaryState {
    /// Not yet passed to the notifiers.
    Pending,
    /// Passed to the notifiers, which deliver it.
    Sent,
    /// Not sent: its colour is below `threshold_min`.
    BelowThreshold,
}
