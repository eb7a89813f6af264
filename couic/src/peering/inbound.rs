//! Registers that peers send, and their requests.

use couic_common::{Cidr, ClientName, Policy, RuleKey};
use couic_peering::{
    DigestAnswer, DigestRequest, Face, Limits, Merge, Moment, PullAnswer, PullRequest, PushAnswer,
    PushRequest, Record, RecordState, TooFarAhead,
};

use super::{
    engine::{Engine, actor_of},
    state::{Local, SharedRules, claim_of, seconds},
};
use couic_firewall::{
    guard::{Change, Guard},
    rules::{Actor, Claim, FirewallError, Owner, Swapped},
};

/// How many registers are taken before others get their turn.
const CHUNK: usize = 256;

/// How many rules that did not fit are tried again at a time.
const RETRIES: usize = 1_024;

/// The outcome of registers that were sent.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// How many were dealt with, from the first one.
    pub(super) count: usize,
    /// How long to wait before sending the rest, in milliseconds.
    pub(super) wait_ms: u64,
    pub(super) refused: u64,
    pub(super) problem: Option<String>,
}

impl Taken {
    fn refuse(&mut self, problem: String) {
        self.refused += 1;
        self.problem.get_or_insert(problem);
    }
}

impl Engine {
    /// Answers `digest`.
    ///
    /// # Errors
    /// [`TooFarAhead`].
    pub fn digests(
        &self,
        name: &ClientName,
        policy: Policy,
        request: &DigestRequest,
    ) -> Result<DigestAnswer, TooFarAhead> {
        let (now, mut state) = (self.now(), self.locked());
        let state = &mut *state;
        let accepts = self.heard_from(state, (name, policy), request.from, now)?;
        Ok(if accepts {
            DigestAnswer::of(&mut state.replica, policy, &request.of, now)
        } else {
            DigestAnswer::declined(&mut state.replica, now)
        })
    }

    /// Answers `pull`.
    ///
    /// # Errors
    /// [`TooFarAhead`].
    pub fn pull(
        &self,
        name: &ClientName,
        policy: Policy,
        request: &PullRequest,
    ) -> Result<PullAnswer, TooFarAhead> {
        let (now, mut state) = (self.now(), self.locked());
        let state = &mut *state;
        let accepts = self.heard_from(state, (name, policy), request.from, now)?;
        let leaves: &[_] = if accepts { &request.leaves } else { &[] };
        let replica = &mut state.replica;
        Ok(PullAnswer::of(replica, policy, leaves, now, |_| true))
    }

    /// Answers `push`.
    ///
    /// # Errors
    /// [`TooFarAhead`].
    pub fn push(
        &self,
        name: &ClientName,
        policy: Policy,
        request: &PushRequest,
    ) -> Result<PushAnswer, TooFarAhead> {
        let now = self.now();
        self.heard_from(&mut self.locked(), (name, policy), request.from, now)?;
        let mut taken = Taken::default();
        let mut records = Vec::with_capacity(request.records.len());
        for record in &request.records {
            match record.read(request.gap) {
                Ok(read) => records.push(read),
                Err(problem) => taken.refuse(problem),
            }
        }
        let unreadable = taken.refused;
        self.accept(name, policy, &records, &mut taken);
        // If not all were taken, the unreadable ones are sent once more and refused once more: no harm.
        let all = taken.count == records.len();
        let from = Face::of(&mut self.locked().replica, self.now());
        if unreadable > 0 {
            let (mut state, problem) = (self.locked(), taken.problem.clone());
            let traffic = self.traffic(&mut state, name, now);
            traffic.not_accepted += unreadable;
            traffic.problem = problem.map(|p| (now.wall, p));
        }
        Ok(PushAnswer {
            from,
            taken: if all {
                request.records.len() as u64
            } else {
                taken.count as u64
            },
            wait_ms: taken.wait_ms,
            refused: taken.refused,
            problem: taken.problem,
        })
    }

    /// Notes that a peer spoke. Whether a policy is shared with it.
    fn heard_from(
        &self,
        state: &mut SharedRules,
        (name, policy): (&ClientName, Policy),
        from: Face,
        now: Moment,
    ) -> Result<bool, TooFarAhead> {
        let observed = state.replica.hlc().observe(from.clock, now);
        let traffic = self.traffic(state, name, now);
        traffic.last = now.wall;
        traffic.spoken(from.node);
        if let Err(error) = observed {
            traffic.refuse(error.to_string(), now);
            return Err(error);
        }
        Ok(policy == Policy::Drop || traffic.limits.ignore)
    }

    /// The limits of a peer that sends plain jobs, after taking `adds` out of its allowance. False if it has used
    /// that up.
    pub fn admit(&self, name: &ClientName, adds: usize) -> (Limits, bool) {
        let (now, mut state) = (self.now(), self.locked());
        let traffic = self.traffic(&mut state, name, now);
        traffic.last = now.wall;
        let (taken, _) = traffic.tokens.acquire(adds, now.mono);
        traffic.received += taken as u64;
        (traffic.limits.clone(), taken == adds)
    }

    /// Takes registers that a peer sent: those within its limits that are later than ours, until its allowance is
    /// used up.
    pub(super) fn accept(
        &self,
        name: &ClientName,
        policy: Policy,
        records: &[(Cidr, Record)],
        taken: &mut Taken,
    ) {
        for chunk in records.chunks(CHUNK) {
            let now = self.now();
            let mut state = self.locked();
            let traffic = self.traffic(&mut state, name, now);
            let (allowed, wait) = traffic.tokens.acquire(chunk.len(), now.mono);
            traffic.received += allowed as u64;
            for (cidr, record) in &chunk[..allowed] {
                let refused =
                    self.accept_one(&mut state, name, RuleKey::new(policy, *cidr), record, now);
                if let Err(problem) = refused {
                    self.traffic(&mut state, name, now)
                        .refuse(problem.clone(), now);
                    taken.refuse(problem);
                }
            }
            taken.count += allowed;
            if allowed < chunk.len() {
                taken.wait_ms = wait;
                return;
            }
        }
    }

    fn accept_one(
        &self,
        state: &mut SharedRules,
        name: &ClientName,
        key: RuleKey,
        record: &Record,
        now: Moment,
    ) -> Result<(), String> {
        let limits = &self.traffic(state, name, now).limits;
        limits
            .validate_record(key, record)
            .map_err(|e| e.to_string())?;
        // A local change of the rule that was not looked at yet comes first.
        let seen = self.absorb(state, key, now);
        let guard = self.firewall.guard();
        let guard = guard.filter(|_| is_news(state, key, record));
        let rails = guard.map(Guard::for_sets_and_peers);
        let judged = rails
            .as_ref()
            .map(|r| r.judge(&self.firewall, change_of(key, record)));
        // Held until the rule is in force.
        let _permit = judged
            .transpose()
            .map_err(|refusal| refusal.reason_alone())?;
        let local = Local {
            owner: Owner::Peer(name.clone()),
            in_force: false,
        };
        match state.replica.merge(key, record.clone(), local, now) {
            Merge::Newer => {
                let actor = Actor::Peer(name.clone());
                self.enforce(state, key, seen, &actor, now);
                Ok(())
            }
            Merge::Same | Merge::Older | Merge::Over => Ok(()),
            Merge::Ahead => Err(format!(
                "{}: it was written by a clock that is more than an hour ahead",
                key.cidr
            )),
            Merge::Full => Err(format!(
                "{}: there are too many rules and tombstones",
                key.cidr
            )),
        }
    }

    /// Puts a register that came from a peer in force, in place of the claims that were seen.
    pub(super) fn enforce(
        &self,
        state: &mut SharedRules,
        key: RuleKey,
        mut seen: Vec<Claim>,
        actor: &Actor,
        now: Moment,
    ) {
        let register = |state: &SharedRules| state.replica.get(key).map(|s| s.record.stamp);
        let stamp = register(state);
        // By the firewall's clock: the rule that the register replaces has no claim to outlive it.
        let mut ended = false;
        // A local change of the rule meanwhile is seen at once, and is the later write.
        while register(state) == stamp {
            let wanted = state.wanted(key).filter(|_| !ended);
            if seen.is_empty() && wanted.is_none() {
                return state.is_in_force(key, false);
            }
            let is_rule = wanted.is_some();
            let by = if ended { &Actor::Expiry } else { actor };
            match self.replace(key, seen.clone(), wanted, by) {
                Some(Swapped::Moved) => seen = self.absorb(state, key, now),
                Some(Swapped::Refused(FirewallError::Expired { .. })) => ended = true,
                Some(Swapped::Refused(_)) => return state.is_refused(key, seen),
                Some(Swapped::Done(_)) | None => return state.is_in_force(key, is_rule),
            }
        }
    }

    /// Tries the rules again that the firewall did not take.
    pub(super) fn try_again(&self) {
        let now = self.now();
        let mut state = self.locked();
        let some: Vec<_> = state.waiting.keys().take(RETRIES).copied().collect();
        for key in some {
            let Some(slot) = state.replica.get(key) else {
                state.waiting.remove(&key);
                continue;
            };
            let actor = actor_of(&slot.local.owner);
            let seen = self.absorb(&mut state, key, now);
            self.enforce(&mut state, key, seen, &actor, now);
        }
    }
}

/// Whether a register would replace ours.
fn is_news(state: &SharedRules, key: RuleKey, record: &Record) -> bool {
    let ours = state.replica.get(key);
    ours.is_none_or(|slot| record.stamp > slot.record.stamp)
}

/// What a register does to the rule, for the guard rails.
const fn change_of(key: RuleKey, record: &Record) -> Change<'static> {
    Change::Replace(
        key,
        match record.state {
            RecordState::Live { until, .. } => Some(seconds(until)),
            RecordState::Deleted => None,
        },
    )
}

impl SharedRules {
    /// The firewall agrees with a register, which is a rule or none.
    pub(super) fn is_in_force(&mut self, key: RuleKey, is_rule: bool) {
        self.waiting.remove(&key);
        if let Some(local) = self.replica.local_mut(key) {
            local.in_force = is_rule;
        }
    }

    /// The firewall does not take a register, and keeps `left`.
    pub(super) fn is_refused(&mut self, key: RuleKey, left: Vec<Claim>) {
        self.waiting.insert(key, left);
        if let Some(local) = self.replica.local_mut(key) {
            local.in_force = false;
        }
    }

    /// The claim that the firewall is to have for a register.
    pub(super) fn wanted(&self, key: RuleKey) -> Option<Claim> {
        claim_of(self.replica.get(key)?)
    }
}
