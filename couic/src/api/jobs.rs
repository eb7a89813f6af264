//! Applies the jobs of a batch in chunks, and counts their results.

use std::sync::Arc;

use couic_common::{
    ApiError, BatchFailure, BatchJob, BatchOutcome, BatchRule, Cidr, ErrorCode, GuardRequest,
    PeerAction, Policy, Rail, RuleKey, counted,
};

mod refused;

use super::{
    answer::{Answer, Outcome},
    call::Call,
    confirm,
    error::{Fault, code_of},
    guard::{self, Asked},
    scope, validate,
};
use couic_firewall::{
    confirm::ChangeSession,
    guard::{Change, GuardCheck, Rails},
    rules::{Actor, Applied, ClaimRequest, ClaimScope, FirewallError, Job},
};
use refused::Refused;

/// How many jobs are applied under one hold of the firewall's lock: well below a millisecond of work.
const CHUNK: usize = 512;

/// How many failures the answer lists.
const MAX_FAILURES: usize = 1000;

/// The same with the first failures, in the order of the jobs.
fn sorted(mut outcome: BatchOutcome) -> BatchOutcome {
    outcome.failures.sort_by_key(|failure| failure.index);
    outcome.failures.truncate(MAX_FAILURES);
    outcome
}

/// The claim that a job renews: that under its tag.
fn renewal(rules: &[ClaimRequest]) -> ClaimScope {
    ClaimScope {
        tag: rules.first().map(|rule| rule.tag.clone()),
        all_owners: false,
    }
}

/// A batch in progress.
pub(super) struct Jobs<'a> {
    call: &'a Call,
    policy: Policy,
    actor: Actor,
    /// Whether removals end the claims of all clients and peers.
    all_owners: bool,
    now: u64,
    /// What the last job said about the guard rails, and those: usually all jobs of a batch say the same.
    rails: Option<(bool, Option<GuardRequest>, Option<Arc<GuardCheck<'a>>>)>,
    /// The rails that forced jobs went over.
    lifted: Rails,
    /// Jobs that the rails refused.
    guarded: Refused,
    /// Jobs that the client's limits refused.
    forbidden: Refused,
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
            rails: None,
            lifted: Rails::default(),
            guarded: Refused::default(),
            forbidden: Refused::default(),
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
        let (rules, scope) = match self.validated(action, &entry) {
            Ok(valid) => valid,
            Err(problem) => return self.fail(Some(entry.cidr), ErrorCode::Invalid, problem),
        };
        if let Err(fault) = self.within_limits(&entry, action, &rules, &scope) {
            return self.beyond_limits(entry.cidr, fault);
        }
        let check = self.check(Asked::of_job(&entry));
        let actor = self.actor.clone();
        let change = |rule: &ClaimRequest| {
            let key = RuleKey::new(self.policy, rule.cidr);
            match action {
                PeerAction::Add => {
                    let until = guard::judged_until(self.policy, rule.expiration, entry.longer);
                    Change::Add(key, &scope, &actor, until)
                }
                PeerAction::Remove => Change::Remove(key, &scope, &actor),
            }
        };
        let changes: Vec<_> = rules.iter().map(change).collect();
        let concerns = (check.as_ref()).is_some_and(|c| changes.iter().any(|one| c.concerns(*one)));
        if concerns {
            // The judgement depends on the jobs before it, and holds until this one is made.
            self.apply();
        }
        let judged = guard::judge(self.call, check.as_deref(), &changes, Some(&entry.cidr));
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
        let metadata = entry.metadata.map(Arc::new);
        for rule in rules {
            self.names.push((self.seen, rule.cidr));
            self.waiting.push(match action {
                PeerAction::Add if entry.longer => Job::Extend(rule, metadata.clone()),
                PeerAction::Add => Job::Add(rule, metadata.clone()),
                PeerAction::Remove => Job::Remove(rule.cidr, scope.clone(), metadata.clone()),
            });
        }
        self.seen += 1;
        if concerns {
            self.apply();
        }
        drop(permit);
    }

    /// The rules of a job, and the claims that it renews or releases. The error is the first defect.
    fn validated(
        &self,
        action: PeerAction,
        entry: &BatchRule,
    ) -> Result<(Vec<ClaimRequest>, ClaimScope), String> {
        let mut problem = None;
        let mut defect = |field, message: String| {
            problem.get_or_insert_with(|| format!("{field}: {message}"));
        };
        let (tag, expiration) = match action {
            PeerAction::Add => {
                let expiration = validate::expires(entry.expiration, entry.ttl, self.now);
                (entry.tag.as_deref(), expiration)
            }
            PeerAction::Remove => (None, 0),
        };
        let rules = validate::rules(&entry.cidr, tag, expiration, self.now, &mut defect);
        let scope = match action {
            PeerAction::Add => renewal(&rules),
            PeerAction::Remove => self.removal(entry, defect),
        };
        problem.map_or(Ok((rules, scope)), Err)
    }

    /// The claims that a removal releases.
    fn removal(
        &self,
        entry: &BatchRule,
        mut defect: impl FnMut(&'static str, String),
    ) -> ClaimScope {
        let tag = validate::tag_of_claim(entry.tag.as_deref().unwrap_or_default());
        ClaimScope {
            tag: tag.unwrap_or_else(|error| {
                defect("tag", error.to_string());
                None
            }),
            all_owners: self.all_owners,
        }
    }

    /// Whether the limits of the client allow a job.
    fn within_limits(
        &self,
        entry: &BatchRule,
        action: PeerAction,
        rules: &[ClaimRequest],
        claims: &ClaimScope,
    ) -> Result<(), Fault> {
        scope::rails(self.call, Asked::of_job(entry))?;
        match action {
            PeerAction::Add => scope::add(self.call, rules, self.now),
            PeerAction::Remove => rules.iter().try_for_each(|rule| {
                let key = RuleKey::new(self.policy, rule.cidr);
                scope::remove(self.call, key, claims.tag.as_ref())
            }),
        }
    }

    fn beyond_limits(&mut self, cidr: String, fault: Fault) {
        let ApiError { code, message, .. } = fault.body;
        // A client that is too fast is no affair of the audit log.
        if code == ErrorCode::Forbidden {
            self.forbidden.note(&message);
        }
        self.fail(Some(cidr), code, message);
    }

    fn check(&mut self, asked: Asked<'_>) -> Option<Arc<GuardCheck<'a>>> {
        let is_same = |(force, guard, _): &(bool, Option<GuardRequest>, _)| {
            *force == asked.force && guard.as_ref() == asked.guard
        };
        if !self.rails.as_ref().is_some_and(is_same) {
            let check = guard::check(self.call, asked).map(Arc::new);
            self.rails = Some((asked.force, asked.guard.cloned(), check));
        }
        self.rails.as_ref().and_then(|(_, _, check)| check.clone())
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
        if rail.is_some() {
            self.guarded.note(&message);
        }
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
        // A range is one job and many rules.
        self.waiting.len() >= CHUNK || self.seen - self.applied >= CHUNK as u64
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
            rail: None,
        });
    }

    /// Applies the remaining jobs, and has those that the rails refused in the audit log.
    fn end(&mut self) {
        self.apply();
        self.guarded.audit(self.policy, "guard rails");
        self.forbidden.audit(self.policy, "the client's limits");
    }

    /// Applies the remaining jobs and answers with the totals.
    pub(super) fn finish(mut self) -> Outcome {
        self.end();
        let outcome = sorted(self.outcome);
        let ticket = self.change.finish();
        Ok(Answer::ok(&outcome)?.confirmable(ticket).over(self.lifted))
    }

    /// The body broke off: applies the jobs that came, and answers with what was done and what stopped the rest.
    pub(super) fn broken_off(mut self, mut fault: Fault) -> Fault {
        self.end();
        let (policy, actor) = (self.policy, &self.actor);
        let outcome = sorted(self.outcome);
        let came = counted(self.seen, "job", "jobs");
        let BatchOutcome {
            added,
            updated,
            unchanged,
            removed,
            failed,
            ..
        } = &outcome;
        let done = format!(
            "{came} came before that and stay applied ({added} added, {updated} updated, {unchanged} unchanged, {removed} removed, {failed} failed)"
        );
        tracing::warn!(
            "{actor}: a batch for {policy} was cut: {}; {done}",
            fault.body.message
        );
        fault.body.message +=
            &format!("; {done}; nothing behind them was read: send the whole batch again");
        fault.body.outcome = Some(Box::new(outcome));
        fault
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
