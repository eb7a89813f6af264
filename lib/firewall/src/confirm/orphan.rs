//! Set files that undoing left alone, and that differ from the rules in force.

use couic_common::{Cidr, Policy, SetName};

use super::record::Head;

/// A set file that differs from the rules in force.
#[derive(Debug)]
pub(super) struct OrphanFile {
    pub(super) policy: Policy,
    pub(super) set: SetName,
    /// Which change left it alone.
    pub(super) of: Head,
    /// Its rules in force.
    pub(super) rules: Vec<Cidr>,
    pub(super) says: FileState,
}

/// How a set file compares with the rules in force.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FileState {
    /// It has the entries in force.
    Loaded,
    Differs,
    /// It cannot be loaded: why.
    Invalid(String),
}

impl OrphanFile {
    pub(super) fn is(&self, policy: Policy, set: &SetName) -> bool {
        (self.policy, &self.set) == (policy, set)
    }

    pub(super) fn text(&self) -> String {
        let Self {
            policy,
            set,
            of,
            says,
            ..
        } = self;
        let (id, client, summary) = (of.id, &of.client, &of.summary);
        let then = match says {
            FileState::Invalid(why) => format!("the next reload will refuse it: {why}"),
            _ if self.rules.is_empty() => format!(
                "the next reload or start will follow it. To follow it now: couicctl sets reload. To stay without: couicctl sets delete {policy} {set}"
            ),
            _ => format!(
                "the next reload or start will follow it. To follow it now: couicctl sets reload. To keep the rules: couicctl sets update {policy} {set}, with what couicctl {policy} list -t {set}.couic -q shows"
            ),
        };
        format!(
            "sets/{policy}/{set}.couic is NOT in force: it was changed before {client}'s change {id} ({summary}) was undone, so it was left alone; {then}"
        )
    }
}
