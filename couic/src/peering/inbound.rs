//! Registers that peers send, and their requests.

use couic_common::{ClientName, Policy, RuleKey};
use couic_peering::{
    DigestAnswer, DigestRequest, Face, Limits, Merge, Moment, Offer, PeerId, PullAnswer,
    PullRequest, PushAnswer, PushRequest, RecordState, Refusal, RegisterId, Unfit,
};

use super::{
    engine::Engine,
    state::{SharedRules, seconds},
};
use couic_firewall::{
    guard::{Change, Guard},
    rules::{Actor, ClaimScope},
};

/// How many registers are taken before others get their turn.
const CHUNK: usize = 256;

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
    /// [`Unfit`].
    pub fn digests(
        &self,
        name: &ClientName,
        policy: Policy,
        request: &DigestRequest,
    ) -> Result<DigestAnswer, Unfit> {
        let (now, mut state) = (self.now(), self.locked());
        let accepts = self.heard_from(&mut state, (name, policy), request.from, now)?;
        Ok(if accepts {
            DigestAnswer::of(&state.replica, policy, &request.of, now)
        } else {
            DigestAnswer::declined(&state.replica, now)
        })
    }

    /// Answers `pull`: a page, for which the lock is held a millisecond or two.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn pull(
        &self,
        name: &ClientName,
        policy: Policy,
        request: &PullRequest,
    ) -> Result<PullAnswer, Unfit> {
        let (now, mut state) = (self.now(), self.locked());
        let accepts = self.heard_from(&mut state, (name, policy), request.from, now)?;
        Ok(if accepts {
            PullAnswer::of(&state.replica, policy, request, now)
        } else {
            PullAnswer::declined(&state.replica, now)
        })
    }

    /// Answers `push`.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn push(
        &self,
        name: &ClientName,
        policy: Policy,
        request: &PushRequest,
    ) -> Result<PushAnswer, Unfit> {
        let now = self.now();
        self.heard_from(&mut self.locked(), (name, policy), request.from, now)?;
        let mut taken = Taken::default();
        let mut offers = Vec::with_capacity(request.records.len());
        for record in &request.records {
            match record.read(request.gap) {
                Ok(read) => offers.push(read),
                Err(problem) => taken.refuse(problem),
            }
        }
        let unreadable = taken.refused;
        self.accept(name, policy, &offers, &mut taken);
        // If not all were taken, the unreadable ones are sent once more and refused once more: no harm.
        let all = taken.count == offers.len();
        let mut state = self.locked();
        let from = Face::of(&state.replica, self.now());
        if unreadable > 0 {
            let problem = taken.problem.clone();
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
    ) -> Result<bool, Unfit> {
        let me = state.replica.node();
        let traffic = self.traffic(state, name, now);
        traffic.last = now.wall;
        if let Err(unfit) = from.check(me, now) {
            if unfit == Unfit::Copied {
                traffic.copied = Some((now.wall, "this node".to_owned()));
            }
            traffic.refuse(format!("its {unfit}"), now);
            return Err(unfit);
        }
        let (id, accepts) = (traffic.id, policy == Policy::Drop || traffic.limits.ignore);
        if let Some(peer) = state.peers.iter_mut().find(|peer| peer.name == *name)
            && peer.link.peer_spoke(now)
        {
            peer.wake.notify_one();
        }
        if !state.replica.heard(id, from.node, now) {
            let text = "it has the machine number of another peer: its rules count as passed on";
            let owner = state.replica.owner_of(from.node.machine());
            let owner = owner.and_then(|owner| state.name_of(owner)).cloned();
            let traffic = self.traffic(state, name, now);
            traffic.copied = owner.map(|owner| (now.wall, format!("the peer {owner}")));
            traffic.problem = Some((now.wall, text.to_owned()));
        }
        Ok(accepts)
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

    /// Whether plain jobs stay within a peer's share of the address space. Returns the first rule that does not.
    #[must_use]
    pub fn beyond_share(&self, name: &ClientName, adds: &[RuleKey]) -> Option<Refusal> {
        let (now, mut state) = (self.now(), self.locked());
        let traffic = self.traffic(&mut state, name, now);
        let (id, limits) = (traffic.id, traffic.limits.clone());
        let is_held = |key: &&RuleKey| {
            let own = state.replica.own(**key);
            own.is_some_and(|own| own.from == id && own.record.is_rule())
        };
        let new: Vec<RuleKey> = adds.iter().filter(|key| !is_held(key)).copied().collect();
        state.replica.exceeds_addresses(id, &new, &limits)
    }

    /// Takes registers that a peer sent: those within its limits that are later than ours, until its allowance is
    /// used up.
    pub(super) fn accept(
        &self,
        name: &ClientName,
        policy: Policy,
        offers: &[Offer],
        taken: &mut Taken,
    ) {
        for chunk in offers.chunks(CHUNK) {
            let now = self.now();
            let mut state = self.locked();
            let traffic = self.traffic(&mut state, name, now);
            let (allowed, wait) = traffic.tokens.acquire(chunk.len(), now.mono);
            traffic.received += allowed as u64;
            traffic.untold.0 += allowed as u64;
            let (id, limits) = (traffic.id, traffic.limits.clone());
            for offer in &chunk[..allowed] {
                let key = RuleKey::new(policy, offer.cidr);
                let refused = self.accept_one(&mut state, (name, id), key, offer, &limits, now);
                if let Err(refusal) = refused {
                    let problem = refusal.to_string();
                    let traffic = self.traffic(&mut state, name, now);
                    if refusal == Refusal::Full {
                        traffic.full = Some((now.wall, problem.clone()));
                    }
                    traffic.refuse(problem.clone(), now);
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
        (name, id): (&ClientName, PeerId),
        key: RuleKey,
        offer: &Offer,
        limits: &Limits,
        now: Moment,
    ) -> Result<(), Refusal> {
        limits.validate_record(key, &offer.record)?;
        // A local change of the rule that was not looked at yet comes first.
        self.absorb(state, key, now);
        let actor = Actor::Peer(name.clone());
        let guard = self.firewall.guard();
        let guard = guard.filter(|_| is_news(state, key, offer));
        let rails = guard.map(Guard::for_sets_and_peers);
        let judged = rails
            .as_ref()
            .map(|rails| rails.judge(&self.firewall, &[change_of(key, offer, &actor, limits)]));
        // Held until the rule is in force.
        let _permit = judged
            .transpose()
            .map_err(|refusal| Refusal::Guard(refusal.reason_alone()))?;
        let before = state.standing(key);
        match state.replica.merge(id, key, offer, limits, now) {
            Merge::Newer | Merge::TakenBack => {
                self.settle(state, key, before, &actor, now);
                Ok(())
            }
            Merge::Refuted => {
                state.changed(key, now);
                Ok(())
            }
            Merge::Same | Merge::Older | Merge::Over => Ok(()),
            Merge::Refused(refusal) => Err(refusal),
        }
    }
}

/// Whether a register would replace the one that is here.
fn is_news(state: &SharedRules, key: RuleKey, offer: &Offer) -> bool {
    let author = offer.record.author();
    let held = state.replica.get(RegisterId { key, author });
    held.is_none_or(|slot| offer.record > slot.record)
}

/// What a register does to the rule, for the guard rails.
const fn change_of<'a>(
    key: RuleKey,
    offer: &Offer,
    actor: &'a Actor,
    limits: &Limits,
) -> Change<'a> {
    match offer.record.state {
        RecordState::Live { until, .. } if !offer.ended => {
            Change::Add(key, &ClaimScope::OWN, actor, seconds(until))
        }
        RecordState::Deleted if limits.ends_others && offer.record.revokes > 0 => {
            Change::Remove(key, &ClaimScope::ALL, actor)
        }
        _ => Change::Remove(key, &ClaimScope::OWN, actor),
    }
}
