//! Applies the jobs of a batch in chunks, and counts their results.

use std::sync::Arc;

use couic_common::{
    BatchFailure, BatchJob, BatchOutcome, Cidr, ErrorCode, GuardRequest, PeerAction, Policy, Rail,
    RuleKey, counted,
};

use super::{
    answer::{Answer, Outcome},
    call::Call,
    confirm,
    error::{Fault, code_of},
    guard::{self, Asked},
    validate,
};
use couic_firewall::{
    confirm::ChangeSession,
    guard::{Change, GuardCheck, Rails},
    rules::{Actor, Applied, FirewallError, Job},
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
    now: u64,
    /// What the last job said about the guard rails, and those: usually all jobs of a batch say the same.
    rails: Option<(bool, Option<GuardRequest>, Arc<GuardCheck<'a>>)>,
    /// The rails that forced jobs went over.
    lifted: Rails,
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
            now: call.firewall().now(),
            rails: None,
            lifted: Rails::default(),
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
        let (tag, expiration) = match action {
            PeerAction::Add => (entry.tag.as_deref(), entry.expiration),
            PeerAction::Remove => (None, 0),
        };
        let Some(rule) = validate::rule(&entry.cidr, tag, expiration, self.now, defect) else {
            let problem = problem.unwrap_or_default();
            return self.fail(Some(entry.cidr), ErrorCode::Invalid, problem);
        };
        let check = self.check(Asked::of_job(&entry));
        let key = RuleKey::new(self.policy, rule.cidr);
        let actor = self.actor.clone();
        let change = match action {
            PeerAction::Add => Change::Add(key, &actor, rule.expiration),
            PeerAction::Remove => Change::Remove(key, &actor),
        };
        let concerns = check.as_ref().is_some_and(|check| check.concerns(change));
        if concerns {
            // The judgement depends on the jobs before it, and holds until this one is made.
            self.apply();
        }
        let judged = guard::judge(self.call, check.as_deref(), change, Some(&entry.cidr));
        let permit = match judged {
            Ok((permit, lifted)) => {
                self.lifted = self.lifted.with(lifted);
                permit
            }
            Err(fault) => {
                let rail = guard::rail_of(&fault);
                let message = fault.body.message;
                return self.refuse(Some(entry.cidr), ErrorCode::Processing, message, rail);
            }
        };
        self.names.push((self.seen, rule.cidr));
        let metadata = entry.metadata.map(Arc::new);
        self.waiting.push(match action {
            PeerAction::Add => Job::Add(rule, metadata),
            PeerAction::Remove => Job::Remove(rule.cidr, metadata),
        });
        self.seen += 1;
        if concerns {
            self.apply();
        }
        drop(permit);
    }

    fn check(&mut self, asked: Asked<'_>) -> Option<Arc<GuardCheck<'a>>> {
        let is_same = |(force, guard, _): &(bool, Option<GuardRequest>, _)| {
            *force == asked.force && guard.as_ref() == asked.guard
        };
        if !self.rails.as_ref().is_some_and(is_same) {
            let check = Arc::new(guard::check(self.call, asked)?);
            self.rails = Some((asked.force, asked.guard.cloned(), check));
        }
        self.rails.as_ref().map(|(_, _, check)| Arc::clone(check))
    }

    /// Counts a job that failed before it reached the firewall.
    pub(super) fn fail(&mut self, cidr: Option<String>, code: ErrorCode, message: String) {
        self.refuse(cidr, code, message, None);
    }

    fn refuse(
        &mut self,
        cidr: Option<String>,
        code: ErrorCode,
        message: String,
        rail: Option<Rail>,
    ) {
        let index = self.seen;
        self.seen += 1;
        self.failed(BatchFailure {
            index,
            cidr,
            code,
            message,
            rail,
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
        // A stream may last for hours: the host's addresses are not those of its beginning.
        self.rails = None;
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
            rail: None,
        });
    }

    /// Applies the remaining jobs and answers with the totals.
    pub(super) fn finish(mut self) -> Outcome {
        self.apply();
        let mut outcome = self.outcome;
        outcome.failures.sort_by_key(|failure| failure.index);
        outcome.failures.truncate(MAX_FAILURES);
        let ticket = self.change.finish();
        Ok(Answer::ok(&outcome)?.confirmable(ticket).over(self.lifted))
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
