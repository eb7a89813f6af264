//! Requests to peers, and their answers.

use std::{sync::Arc, time::Duration};

use couic_common::{Cidr, ClientName, PeerJob, Policy, RuleKey, counted};
use couic_peering::{
    Ask, DigestAnswer, DigestRequest, Face, Failure, LinkState, Next, Offer, PullAnswer,
    PullOutcome, PullRequest, PushAnswer, PushRequest, RegisterId, Slot, WireRecord, leaf_of,
};
use tokio::sync::Notify;

use super::{
    engine::Engine,
    inbound::Taken,
    status::{LEAVES, what_fails},
};
use couic_firewall::rules::Actor;

/// The next action of a peer's task.
#[derive(Debug)]
pub(super) enum Step {
    Wait(Duration),
    Digest(Policy, DigestRequest),
    Pull(Policy, PullRequest),
    Push(Policy, PushRequest),
    Plain(Policy, Vec<PeerJob>),
}

/// Whether a register is sent to a node that only knows plain jobs: as among Couic 1.0 nodes, each sends its own
/// changes.
fn is_sent_plain(slot: &Slot) -> bool {
    slot.is_own() && (slot.in_force || !slot.record.is_rule())
}

impl Engine {
    /// The next action for a peer.
    pub(super) fn step(&self, index: usize) -> Step {
        let now = self.now();
        let mut state = self.locked();
        let state = &mut *state;
        let Some(peer) = state.peers.get_mut(index) else {
            return Step::Wait(Duration::MAX);
        };
        let ask = match peer.link.poll(&state.replica, now, is_sent_plain) {
            Next::Wait(until) => {
                return Step::Wait(Duration::from_millis(until.saturating_sub(now.mono)));
            }
            Next::Ask(ask) => ask,
        };
        let gap = peer.link.gap();
        let from = Face::of(&state.replica, now);
        match ask {
            Ask::Digest(policy, of) => Step::Digest(policy, DigestRequest { from, of }),
            Ask::Pull(policy, leaves, after) => Step::Pull(
                policy,
                PullRequest {
                    from,
                    leaves,
                    after,
                },
            ),
            Ask::Plain(batch) => Step::Plain(batch.policy, batch.jobs),
            Ask::Push(policy, all) => {
                let register = |(cidr, author): &(Cidr, u32)| {
                    let (key, author) = (RuleKey::new(policy, *cidr), *author);
                    let slot = state.replica.get(RegisterId { key, author })?;
                    Some(WireRecord::new(*cidr, slot, state.replica.reason(slot)))
                };
                let records = all.iter().filter_map(register).collect();
                Step::Push(policy, PushRequest { from, gap, records })
            }
        }
    }

    /// Wakes the task of a peer when there is something to do.
    pub(super) fn wake(&self, index: usize) -> Arc<Notify> {
        let state = self.locked();
        let peer = state.peers.get(index);
        peer.map(|peer| Arc::clone(&peer.wake)).unwrap_or_default()
    }

    pub(super) fn answered_digest(&self, index: usize, answer: &DigestAnswer) {
        {
            let (now, mut state) = (self.now(), self.locked());
            let state = &mut *state;
            if let Some(peer) = state.peers.get_mut(index) {
                peer.link.digests(&mut state.replica, answer, now);
            }
        }
        self.confirm(index);
    }

    /// After a comparison, what others passed on of the peer is its own word where nothing differed.
    fn confirm(&self, index: usize) {
        let compared = {
            let mut state = self.locked();
            let state = &mut *state;
            let link = state.peers.get_mut(index).map(|peer| &mut peer.link);
            link.and_then(|link| Some((link.peer(), link.take_compared()?)))
                .filter(|(peer, _)| state.replica.take_unconfirmed(*peer))
        };
        let Some((peer, differs)) = compared else {
            return;
        };
        for policy in Policy::ALL {
            for first in (0..=u16::MAX).step_by(LEAVES) {
                let leaves = (first, first | (LEAVES as u16 - 1));
                let (now, mut state) = (self.now(), self.locked());
                for id in state.replica.relayed(policy, peer, leaves) {
                    if !differs(policy, leaf_of(id.key)) {
                        let before = state.standing(id.key);
                        state.replica.confirm(id, peer);
                        self.settle(&mut state, id.key, before, &Actor::Expiry, now);
                    }
                }
            }
        }
    }

    pub(super) fn answered_push(&self, index: usize, answer: &PushAnswer) {
        let (now, mut state) = (self.now(), self.locked());
        let state = &mut *state;
        if let Some(peer) = state.peers.get_mut(index) {
            peer.link.pushed(&mut state.replica, answer, now);
        }
    }

    pub(super) fn answered_plain(&self, index: usize) {
        let (now, mut state) = (self.now(), self.locked());
        if let Some(peer) = state.peers.get_mut(index) {
            peer.link.plain_taken(now);
        }
    }

    /// Takes the answer to a pull. Registers that are later there are to be accepted next.
    pub(super) fn answered_pull(
        &self,
        index: usize,
        answer: &PullAnswer,
    ) -> Option<(ClientName, PullOutcome)> {
        let (now, mut guard) = (self.now(), self.locked());
        let state = &mut *guard;
        let peer = state.peers.get_mut(index)?;
        let outcome = peer.link.pulled(&mut state.replica, answer, now);
        let name = peer.name.clone();
        drop(guard);
        self.confirm(index);
        Some((name, outcome))
    }

    /// Takes pulled registers. Returns how many were dealt with, and how long to wait before the rest.
    pub(super) fn accept_pulled(
        &self,
        name: &ClientName,
        policy: Policy,
        offers: &[Offer],
    ) -> (usize, Duration) {
        let mut taken = Taken::default();
        self.accept(name, policy, offers, &mut taken);
        (taken.count, Duration::from_millis(taken.wait_ms))
    }

    pub(super) fn failed(&self, index: usize, failure: Failure) {
        let (now, mut state) = (self.now(), self.locked());
        if let Some(peer) = state.peers.get_mut(index) {
            peer.link.failed(failure, now);
        }
    }

    /// Logs what peers changed, a line for each and not for each rule, and those that have stopped or begun to answer.
    pub(super) fn log_turns(&self) {
        let (now, mut state) = (self.now(), self.locked());
        if state.replica.reasons_not_kept() > 0 && !state.told_reasons {
            state.told_reasons = true;
            tracing::warn!(
                "peers sent more different reasons of rules than are kept: some rules are shared without theirs"
            );
        }
        for (name, traffic) in &mut state.traffic {
            let (taken, refused) = std::mem::take(&mut traffic.untold);
            if refused > 0 {
                let problem = traffic.problem.as_ref().map_or("", |(_, text)| text);
                tracing::warn!(
                    "the peer {name} sent {}, of which {refused} were refused, the last one because: {problem}",
                    counted(taken, "change", "changes")
                );
            }
        }
        for peer in &mut state.peers {
            let status = peer.link.status(now);
            let failing = matches!(status.state, LinkState::Failing | LinkState::NotEnabled);
            if failing {
                peer.failing_since.get_or_insert(now.wall);
            } else if status.state != LinkState::Connecting {
                peer.failing_since = None;
            }
            if failing != peer.was_failing {
                peer.was_failing = failing;
                let (name, endpoint) = (&peer.name, &peer.endpoint);
                if failing {
                    let problem = status.last_error.map(|(_, text)| text).unwrap_or_default();
                    tracing::warn!(
                        "the peer {name} ({endpoint}) {}, changes are sent later: {problem}",
                        what_fails(status.state)
                    );
                } else {
                    tracing::info!("the peer {name} ({endpoint}) answers");
                }
            }
        }
    }
}
