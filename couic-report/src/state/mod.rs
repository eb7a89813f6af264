//! The persistent state: reports that are accepted and not yet handed on.
//!
//! What holds, however the process ends:
//! - A batch that was answered with 200 is counted, once; one that was refused is not.
//! - An interval becomes one summary with one id and the same counts, however often its end is replayed.
//! - A summary leaves the state only after the dispatcher has it on disk.
//!
//! One thread owns the state ([`Journal`]). Requests that wait while it writes are written together next, with one
//! fdatasync (group commit). While the disk fails, nothing is accepted, so that senders keep their reports and retry; the
//! counts of the open interval stay, and writing resumes once there is room. Files and frames are those of
//! `couic_durable`; this module has the records, and their effect on the state.

mod committer;
mod ledger;
mod old;
mod record;
mod recover;
mod store;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use self::{
    committer::{Accepted, Committer, Journal, Overview, Refused},
    ledger::Sealed,
    record::{Batch, BatchRecord, BatchWriter, Record, Row, Seal, TrafficRecord},
    store::FORMAT,
};
#[cfg(test)]
pub(crate) use ledger::Ledger;
pub use recover::StateError;
