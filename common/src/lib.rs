//! Domain types of Couic, shared by the daemon, its clients and third-party programs.
//!
//! Values are validated once, on construction: a [`Cidr`] is always a network address, a [`Tag`] always fits the wire
//! format and the metrics, a [`SetName`] is always safe as a file name. The other types are the wire format of the REST
//! API, version 1, next to what every crate needs: [`Backoff`], [`counted`], [`error_chain`], [`glob_matches`],
//! [`unix_time`]. No I/O, no async runtime, no kernel interface.
//!
//! ```
//! use couic_common::{Cidr, Tag, TagError};
//!
//! let cidr: Cidr = "192.0.2.77/24".parse()?;
//! assert_eq!(cidr.to_string(), "192.0.2.0/24");
//! assert!(cidr.contains("192.0.2.1".parse()?));
//!
//! assert_eq!(Tag::parse("ssh_scan")?.map(|tag| tag.to_string()), Some("ssh_scan".to_owned()));
//! assert_eq!(Tag::parse("a b"), Err(TagError::Character));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod audit;
mod backoff;
mod batch;
mod by_name;
mod change;
mod cidr;
mod client;
mod clock;
mod confirm;
mod count;
mod entry;
mod error;
mod glob;
mod health;
mod json;
mod kernel;
mod limits;
mod list;
mod lookup;
mod names;
mod notifier;
mod owner;
mod panic;
mod peers;
mod policy;
mod problem;
mod rail;
mod reason;
mod report;
mod rule_key;
mod sets;
mod stats;
mod status;
mod tag;

pub use audit::{
    AuditActor, AuditActorKind, AuditEntry, LOG_READ_DOWN_TO_HEADER, REQUEST_ID_HEADER,
};
pub use backoff::Backoff;
pub use batch::{BatchFailure, BatchJob, BatchOutcome, BatchRule, RemovedByTag};
pub use by_name::ByName;
pub use change::{ChangeAction, EventGap, EventId, EventIdError, RuleChange};
pub use cidr::{Cidr, CidrError, Extent, Networks, V4Net, V6Net};
pub use client::{ClientInfo, ClientRequest, Group, ROTATE_GRACE_MAX, RotateRequest};
pub use clock::{unix_seconds, unix_time};
pub use confirm::{
    CONFIRM_ID_HEADER, CONFIRM_UNTIL_HEADER, CONFIRM_WITHIN_HEADER, CONFIRM_WITHIN_MAX, ConfirmId,
    ConfirmIdError, Confirmations, Confirmed, PendingChange, RevertedChange,
};
pub use count::{counted, grouped};
pub use entry::{
    Entry, EntryRequest, FORCE_HINT, GuardRequest, LIFTED_HEADER, Metadata, PeerAction, PeerJob,
};
pub use error::{ApiError, ErrorCode, ErrorDetail, error_chain};
pub use glob::glob_matches;
pub use health::{
    Health, HealthStatus, InterfaceHealth, Live, NotifierProblem, SetProblem, StateProblem, XdpMode,
};
pub use json::{JsonPlace, json_strings};
pub use kernel::{KernelVersion, KernelVersionError};
pub use limits::ClientLimits;
pub use list::{list_entries, list_entry, list_networks, quotable, without_mark};
pub use lookup::{Lookup, LookupRule, Verdict};
pub use names::{ClientName, NameError, NotifierName, SetName};
pub use notifier::{
    DeadLetter, Discarded, NotifierBackend, NotifierFailure, NotifierInfo, NotifierMode,
    NotifierSpool, NotifierState, NotifierTest, Replayed,
};
pub use owner::{ALL_OWNERS_HINT, HELD_BY_HEADER, OwnerKind, RuleOwner, time_left};
pub use panic::{PANIC_HEADER, PanicRequest, PanicStatus};
pub use peers::{PeerForgotten, PeerHealth, PeerInfo, PeerProblem, PeerState};
pub use policy::{Policy, PolicyError};
pub use problem::{Area, Problem};
pub use rail::{Rail, RailError};
pub use reason::{Reason, ReasonId, ReasonOf, Reasons};
pub use report::{Report, ReportOwner};
pub use rule_key::RuleKey;
pub use sets::{
    RefusedSetEntry, ReloadStatus, SetBody, SetDeleted, SetSummary, SetUpdate, SetWritten,
};
pub use stats::{ActionStats, Counter, Metrics, NotInspected, Stats, TagStats};
pub use status::{DaemonStatus, DiskStatus};
pub use tag::{Tag, TagError, TagPattern, UNTAGGED};
