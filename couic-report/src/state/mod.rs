//! The state that survives: what was accepted and not yet handed on.
//!
//! What holds, whatever ends the process:
//! - A batch that was answered with 200 is counted, once; one that was refused is not.
//! - An interval becomes one summary with one id, figures and all, however often its end is replayed.
//! - A summary leaves the state only after the dispatcher has it on disk.
//!
//! One thread owns the state ([`Journal`]). What waits while it writes is written together next time, with one
//! fdatasync for all (group commit). While the disk refuses, nothing is accepted, so that senders keep what they have
//! and try again; the figures of the open interval stay, and it goes on by itself once there is room. Files and frames
//! are those of `couic_durable`; here are the records, and what they make of the state.

mod committer;
mod ledger;
mod old;
mod record;
mod recover;
mod store;
#[cfg(test)]
mod tests;

pub(crate) use self::{
    committer::{Accepted, Journal, Overview, Refused},
    ledger::Sealed,
    record::{Batch, BatchWriter, Seal},
};
pub use recover::StateError;
#[cfg(test)]
pub(crate) use {committer::Committer, ledger::Ledger};
