//! The change of one request: made at once, or confirmable. Its caller makes both in the same way.

use std::sync::Arc;

use couic_common::{Entry, Policy, RemovedByTag, TagPattern};

use super::{Change, ConfirmError, ConfirmableChange, Ticket};
use crate::rules::{Actor, Applied, Firewall, FirewallError, Job, Origin};

/// A change in progress.
pub enum ChangeSession {
    /// Needs no confirmation, and has no undo record.
    Immediate(Arc<Firewall>),
    /// Is undone if it is not confirmed.
    Confirmable(ConfirmableChange),
}

impl ChangeSession {
    /// Makes one change of a rule: [`Firewall::execute`].
    ///
    /// # Errors
    /// Those of [`ConfirmableChange::execute`], if confirmable.
    pub fn execute(
        &mut self,
        policy: Policy,
        job: Job,
        actor: Actor,
    ) -> Result<Result<Entry, FirewallError>, ConfirmError> {
        match self {
            Self::Immediate(firewall) => Ok(firewall.execute(policy, job, actor)),
            Self::Confirmable(change) => change.execute(policy, job, actor),
        }
    }

    /// Applies jobs, each validated separately: [`Firewall::apply`].
    ///
    /// # Errors
    /// Those of [`ConfirmableChange::apply`], if confirmable: no job is applied then.
    pub fn apply(
        &mut self,
        policy: Policy,
        jobs: Vec<Job>,
        actor: &Actor,
    ) -> Result<Vec<Result<Applied, FirewallError>>, ConfirmError> {
        match self {
            Self::Immediate(firewall) => Ok(firewall.apply(policy, jobs, actor)),
            Self::Confirmable(change) => change.apply(policy, jobs, actor),
        }
    }

    /// Releases claims by tag: [`Firewall::remove_by_tag`].
    ///
    /// # Errors
    /// Those of [`ConfirmableChange::remove_by_tag`], if confirmable.
    pub fn remove_by_tag(
        &mut self,
        policy: Policy,
        pattern: &TagPattern,
        all_owners: bool,
        origin: &Origin,
    ) -> Result<RemovedByTag, ConfirmError> {
        match self {
            Self::Immediate(firewall) => {
                Ok(firewall.remove_by_tag(policy, pattern, all_owners, origin))
            }
            Self::Confirmable(change) => change.remove_by_tag(policy, pattern, all_owners, origin),
        }
    }

    /// Makes a change of sets that happens as planned or not at all. The plan is made only if it is recorded.
    ///
    /// # Errors
    /// Those of `plan`, `work` and [`ConfirmableChange::make`]. Nothing has changed then.
    pub fn make<T, E, F: From<E> + From<ConfirmError>>(
        &mut self,
        plan: impl FnOnce() -> Result<Vec<Change>, F>,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, F> {
        match self {
            Self::Immediate(_) => Ok(work()?),
            Self::Confirmable(change) => Ok(change.make(plan()?, work)??),
        }
    }

    /// Ends the change. If it is to be confirmed, that time starts now; `None` if not, or if nothing has changed.
    #[must_use]
    pub fn finish(self) -> Option<Ticket> {
        match self {
            Self::Immediate(_) => None,
            Self::Confirmable(change) => change.finish(),
        }
    }
}
