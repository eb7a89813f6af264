//! The jobs of a batch on their way into the firewall, and the account of what became of them.

use std::sync::Arc;

use couic_common::{
    BatchFailure, BatchJob, BatchOutcome, BatchRule, Cidr, ErrorCode, GuardRequest, PeerAction,
    Policy,
};

use super::{
    answer::{Answer, Outcome},
    call::Call,
    confirm,
    error::{Fault, code_of},
    judge,
};
use couic_firewall::{
    confirm::{Change, Draft},
    guard::GuardCheck,
    rules::{Actor, Applied, FirewallError, Job},
};

/// How many jobs are applied under one hold of the firewall's lock: well below a millisecond of work.
const SPELL: usize = 512;

/// How many failures are told one by one.
const MAX_FAILURES: usize = 1000;

/// Why a job was not done.
enum Refused {
    Rule(FirewallError),
    /// The way back cannot be kept.
    Unkept(ErrorCode, String),
}

impl Refused {
    fn of(fault: &Fault) -> Self {
        Self::Unkept(fault.body.code, fault.body.message.clone())
    }
}

/// A batch that is being worked off.
pub(super) struct Jobs<'a> {
    call: &'a Call,
    policy: Policy,
    actor: Actor,
    now: u64,
    /// The guard rails for jobs that do not ask for any.
    enforced: Option<GuardCheck>,
    /// Those that a job asked for last: mostly all jobs of a batch ask for the same.
    asked: Option<(GuardRequest, Option<GuardCheck>)>,
    seen: u64,
    /// What `seen` was when jobs were last applied.
    applied: u64,
    /// Whether the log knows that the data plane fails: once a batch will do.
    plane_failed: bool,
    waiting: Vec<Job>,
    /// Index and CIDR of each waiting job.
    names: Vec<(u64, Cidr)>,
    outcome: BatchOutcome,
    /// The way back, where the request wants one.
    draft: Option<Draft>,
}

impl<'a> Jobs<'a> {
    pub(super) fn new(call: &'a Call) -> Result<Self, Fault> {
        let (policy, actor) = (call.policy()?, call.actor()?);
        Ok(Self {
            call,
            policy,
            actor,
            now: call.firewall().now(),
            enforced: call.api().guard.for_request(policy, None),
            asked: None,
            seen: 0,
            applied: 0,
            plane_failed: false,
            waiting: Vec::with_capacity(SPELL),
            names: Vec::with_capacity(SPELL),
            outcome: BatchOutcome::default(),
            draft: confirm::draft(call, || format!("{policy} batch"))?,
        })
    }

    /// Takes the next job.
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
        let Some(rule) = judge::rule(&entry.cidr, tag, expiration, self.now, defect) else {
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
            PeerAction::Remove => Job::Remove(rule.cidr, metadata),
        });
        self.seen += 1;
    }

    fn guard(&mut self, entry: &BatchRule, cidr: Cidr) -> Result<(), Fault> {
        if entry.force {
            return Ok(());
        }
        let Some(wanted) = &entry.guard else {
            return judge::passes(self.enforced.as_ref(), cidr);
        };
        if self.asked.as_ref().is_none_or(|(known, _)| known != wanted) {
            let check = self.call.api().guard.for_request(self.policy, Some(wanted));
            self.asked = Some((wanted.clone(), check));
        }
        let check = self.asked.as_ref().and_then(|(_, check)| check.as_ref());
        judge::passes(check, cidr)
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
        // Within a spell they come out of order: the first ones are chosen at the end.
        if self.outcome.failures.len() < MAX_FAILURES + SPELL {
            self.outcome.failures.push(failure);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.seen - self.applied >= SPELL as u64
    }

    /// Applies what waits.
    pub(super) fn apply(&mut self) {
        let firewall = self.call.firewall();
        self.now = firewall.now();
        self.applied = self.seen;
        if self.waiting.is_empty() {
            return;
        }
        let waiting = std::mem::replace(&mut self.waiting, Vec::with_capacity(SPELL));
        let results = match self.draft.take() {
            None => {
                let results = firewall.apply(self.policy, waiting, &self.actor);
                results
                    .into_iter()
                    .map(|r| r.map_err(Refused::Rule))
                    .collect()
            }
            Some(mut draft) => {
                let results = self.apply_confirmably(waiting, &mut draft);
                self.draft = Some(draft);
                results
            }
        };
        let names = std::mem::replace(&mut self.names, Vec::with_capacity(SPELL));
        for ((index, cidr), result) in names.into_iter().zip(results) {
            match result {
                Ok(Applied::Added) => self.outcome.added += 1,
                Ok(Applied::Updated) => self.outcome.updated += 1,
                Ok(Applied::Unchanged) => self.outcome.unchanged += 1,
                Ok(Applied::Removed) => self.outcome.removed += 1,
                Err(refused) => {
                    let cidr = Some(cidr.to_string());
                    let (code, message) = match refused {
                        Refused::Rule(error) => (code_of(&error), self.message(error)),
                        Refused::Unkept(code, message) => (code, message),
                    };
                    self.failed(BatchFailure {
                        index,
                        cidr,
                        code,
                        message,
                    });
                }
            }
        }
    }

    /// The same with the way back. Where that cannot be kept, nothing of the spell is done.
    fn apply_confirmably(
        &mut self,
        waiting: Vec<Job>,
        draft: &mut Draft,
    ) -> Vec<Result<Applied, Refused>> {
        let (firewall, policy, actor) = (self.call.firewall(), self.policy, &self.actor);
        let foretold = waiting
            .iter()
            .flat_map(|job| firewall.foretell(policy, job, actor));
        if let Err(error) = draft.will(foretold.map(Change::Claim).collect()) {
            let fault = Fault::from(error);
            return waiting.iter().map(|_| Err(Refused::of(&fault))).collect();
        }
        let (mut results, mut done) = (Vec::with_capacity(waiting.len()), Vec::new());
        for job in waiting {
            let result = firewall.apply_seen(policy, job, actor);
            results.push(result.map_err(Refused::Rule).map(|(applied, seen)| {
                done.extend(seen.into_iter().map(Change::Claim));
                applied
            }));
        }
        draft.did(done);
        results
    }

    /// Applies what still waits, and gives the account.
    pub(super) fn finish(mut self) -> Outcome {
        self.apply();
        let mut outcome = self.outcome;
        outcome.failures.sort_by_key(|failure| failure.index);
        outcome.failures.truncate(MAX_FAILURES);
        let ticket = self.draft.and_then(Draft::finish);
        Ok(Answer::ok(&outcome)?.confirmable(ticket))
    }

    /// The client went away in the middle: the log is all that is left to tell.
    pub(super) fn broken_off(&self, fault: &Fault) {
        let (seen, policy, actor) = (self.seen, self.policy, &self.actor);
        let why = &fault.body.message;
        tracing::warn!("{actor}: a batch for {policy} ended after {seen} jobs, which stay: {why}");
    }

    fn message(&mut self, error: FirewallError) -> String {
        match error {
            // The data plane's words are for the log.
            error @ FirewallError::Plane(_) if !std::mem::replace(&mut self.plane_failed, true) => {
                Fault::from(error).body.message
            }
            FirewallError::Plane(_) => Fault::internal_logged().body.message,
            error => error.to_string(),
        }
    }
}
