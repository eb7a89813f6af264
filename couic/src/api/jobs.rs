//! Applies the jobs of a batch in chunks, and counts their results.

use std::sync::Arc;

use couic_common::{
    BatchFailure, BatchJob, BatchOutcome, BatchRule, Cidr, ErrorCode, GuardRequest, PeerAction,
    Policy, counted,
};

use super::{
    answer::{Answer, Outcome},
    call::Call,
    confirm,
    error::{Fault, code_of},
    validate,
};
use couic_firewall::{
    confirm::ChangeSession,
    guard::GuardCheck,
    rules::{Actor, Applied, ClaimRequest, ClaimScope, FirewallError, Job},
};

/// How many jobs are applied under one hold of the firewall's lock: well below a millisecond of work.
const CHUNK: usize = 512;

/// How many failures the answer lists.
const MAX_FAILURES: usize = 1000;

/// A batch in progress.
pub(super) struct Jobs<'a> {
    call: &'a Call,
    policy: Policy,
    actor: Actor,
    /// Whether removals end the claims of all clients and peers.
    all_owners: bool,
    now: u64,
    /// The guard rails for jobs that do not ask for any.
    enforced: Option<GuardCheck>,
    /// Those that the last job with its own asked for: usually all jobs of a batch ask for the same.
    asked: Option<(GuardRequest, Option<GuardCheck>)>,
    seen: u64,
    /// What `seen` was when jobs were last applied.
    applied: u64,
    /// Whether a failure of the data plane was logged: once a batch is enough.
    plane_failed: bool,
    waiting: Vec<Job>,
    /// Index and CIDR of each waiting job.
    names: Vec<(u64, Cidr)>,
    outcome: BatchOutcome,
    change: ChangeSession,
}

impl<'a> Jobs<'a> {
    pub(super) fn new(call: &'a Call) -> Result<Self, Fault> {
        let (policy, actor) = (call.policy()?, call.actor()?);
        Ok(Self {
            call,
            policy,
            actor,
            all_owners: call.all_owners()?,
            now: call.firewall().now(),
            enforced: call.api().guard.for_request(policy, None),
            asked: None,
            seen: 0,
            applied: 0,
            plane_failed: false,
            waiting: Vec::with_capacity(CHUNK),
            names: Vec::with_capacity(CHUNK),
            outcome: BatchOutcome::default(),
            change: confirm::begin(call, || format!("{policy} batch"))?,
        })
    }

    /// Queues the next job.
    pub(super) fn push(&mut self, job: BatchJob) {
        let BatchJob { action, entry } = job;
        let mut problem = None;
        let defect = |field, message: String| {
            problem.get_or_insert_with(|| format!("{field}: {message}"));
        };
        let wanted = match action {
            PeerAction::Add => {
                let (tag, expiration) = (entry.tag.as_deref(), entry.expiration);
                let rule = validate::rule(&entry.cidr, tag, expiration, self.now, defect);
                rule.map(|rule| (rule, ClaimScope::OWN))
            }
            PeerAction::Remove => self.removal(&entry, defect),
        };
        let Some((rule, scope)) = wanted else {
            let problem = problem.unwrap_or_default();
            return self.fail(Some(entry.cidr), ErrorCode::Invalid, problem);
        };
        if action == PeerAction::Add
            && let Err(fault) = self.guard(&entry, rule.cidr)
        {
            return self.fail(Some(entry.cidr), ErrorCode::Processing, fault.body.message);
        }
        self.names.push((self.seen, rule.cidr));
        let metadata = entry.metadata.map(Arc::new);
        self.waiting.push(match action {
            PeerAction::Add => Job::Add(rule, metadata),
            PeerAction::Remove => Job::Remove(rule.cidr, scope, metadata),
        });
        self.seen += 1;
    }

    /// The network of a removal, and the claims that it releases. Its expiration is ignored.
    fn removal(
        &self,
        entry: &BatchRule,
        mut defect: impl FnMut(&'static str, String),
    ) -> Option<(ClaimRequest, ClaimScope)> {
        let tag = validate::tag_of_claim(entry.tag.as_deref().unwrap_or_default());
        let tag = tag.map_err(|e| defect("tag", e.to_string())).ok();
        let rule = validate::rule(&entry.cidr, None, 0, self.now, defect)?;
        let scope = ClaimScope {
            tag: tag?,
            all_owners: self.all_owners,
        };
        Some((rule, scope))
    }

    fn guard(&mut self, entry: &BatchRule, cidr: Cidr) -> Result<(), Fault> {
        if entry.force {
            return Ok(());
        }
        let Some(wanted) = &entry.guard else {
            return validate::passes(self.enforced.as_ref(), cidr, &entry.cidr);
        };
        if self.asked.as_ref().is_none_or(|(known, _)| known != wanted) {
            let check = self.call.api().guard.for_request(self.policy, Some(wanted));
            self.asked = Some((wanted.clone(), check));
        }
        let check = self.asked.as_ref().and_then(|(_, check)| check.as_ref());
        validate::passes(check, cidr, &entry.cidr)
    }

    /// Counts a job that failed before it reached the firewall.
    pub(super) fn fail(&mut self, cidr: Option<String>, code: ErrorCode, message: String) {
        let index = self.seen;
        self.seen += 1;
        self.failed(BatchFailure {
            index,
            cidr,
            code,
            message,
        });
    }

    fn failed(&mut self, failure: BatchFailure) {
        self.outcome.failed += 1;
        // Within a chunk they arrive out of order: the first ones are selected at the end.
        if self.outcome.failures.len() < MAX_FAILURES + CHUNK {
            self.outcome.failures.push(failure);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.seen - self.applied >= CHUNK as u64
    }

    /// Applies the queued jobs.
    pub(super) fn apply(&mut self) {
        let firewall = self.call.firewall();
        self.now = firewall.now();
        self.applied = self.seen;
        if self.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::replace(&mut self.waiting, Vec::with_capacity(CHUNK));
        let names = std::mem::replace(&mut self.names, Vec::with_capacity(CHUNK));
        match self.change.apply(self.policy, waiting, &self.actor) {
            Ok(results) => {
                for (name, result) in names.into_iter().zip(results) {
                    self.count(name, result);
                }
            }
            // Without an undo record no job of the chunk was applied.
            Err(error) => {
                let fault = Fault::from(error).body;
                for name in names {
                    self.failed_at(name, fault.code, fault.message.clone());
                }
            }
        }
    }

    fn count(&mut self, name: (u64, Cidr), result: Result<Applied, FirewallError>) {
        match result {
            Ok(Applied::Added) => self.outcome.added += 1,
            Ok(Applied::Updated) => self.outcome.updated += 1,
            Ok(Applied::Unchanged) => self.outcome.unchanged += 1,
            Ok(Applied::Removed) => self.outcome.removed += 1,
            Ok(Applied::Released) => self.outcome.released += 1,
            Err(error) => {
                let code = code_of(&error);
                let message = self.message(error);
                self.failed_at(name, code, message);
            }
        }
    }

    fn failed_at(&mut self, (index, cidr): (u64, Cidr), code: ErrorCode, message: String) {
        let cidr = Some(cidr.to_string());
        self.failed(BatchFailure {
            index,
            cidr,
            code,
            message,
        });
    }

    /// Applies the remaining jobs and answers with the totals.
    pub(super) fn finish(mut self) -> Outcome {
        self.apply();
        let mut outcome = self.outcome;
        outcome.failures.sort_by_key(|failure| failure.index);
        outcome.failures.truncate(MAX_FAILURES);
        let ticket = self.change.finish();
        Ok(Answer::ok(&outcome)?.confirmable(ticket))
    }

    /// The client disconnected in the middle: the outcome can only be logged.
    pub(super) fn broken_off(&self, fault: &Fault) {
        let (seen, policy, actor) = (self.seen, self.policy, &self.actor);
        let why = &fault.body.message;
        let jobs = counted(seen, "job", "jobs");
        tracing::warn!("{actor}: a batch for {policy} ended after {jobs}, not undone: {why}");
    }

    fn message(&mut self, error: FirewallError) -> String {
        match error {
            // Errors of the data plane are logged, not answered.
            error @ FirewallError::Plane(_) if !std::mem::replace(&mut self.plane_failed, true) => {
                Fault::from(error).body.message
            }
            FirewallError::Plane(_) => Fault::internal_logged().body.message,
            error => error.to_string(),
        }
    }
}
