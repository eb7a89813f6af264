//! One node's view of one peer: decides the next request and processes the responses.
//!
//! The driver of a link calls [`Link::poll`], sends the request, and reports the result. There is one request in flight
//! at a time. Changes have priority over comparisons, so a long comparison does not delay them.

mod failures;
mod requests;
mod responses;

use std::collections::HashSet;

use couic_common::{Backoff, Policy};

pub use crate::check::PullOutcome;
use crate::{
    Ask, Gap, LinkSettings, LinkState, LinkStatus, Moment, Next, PeerId, RegisterId, Replica, Slot,
    backoff,
    check::{Check, KnownLeaves},
    outbox::{Changed, Outbox},
    plain::Plain,
};

/// One peer.
#[derive(Debug)]
pub struct Link {
    peer: PeerId,
    settings: LinkSettings,
    outboxes: [Outbox; 2],
    in_flight: Option<(Ask, Moment)>,
    check: Option<Check>,
    known: KnownLeaves,
    /// Whether a comparison ended whose result was not taken yet.
    compared: bool,
    plain: Plain,
    is_plain: bool,
    /// Position in a walk over all registers: a plain peer is sent all, another one is told which ended here. Digests do
    /// not cover that, and a queue that overflowed, or was lost with the process, may have held it.
    walk: Option<(Policy, u16)>,
    gap: Gap,
    backoff: Backoff,
    chance: fastrand::Rng,
    batch: usize,
    send_at: u64,
    check_at: u64,
    retry_at: u64,
    status: LinkStatus,
}

impl Link {
    /// The link to a peer. `seed` is for jitter.
    #[must_use]
    pub fn new(peer: PeerId, settings: LinkSettings, seed: u64) -> Self {
        let outbox = || Outbox::new(settings.queue);
        let batch = settings.batch.max(1);
        Self {
            peer,
            outboxes: [outbox(), outbox()],
            in_flight: None,
            check: None,
            known: KnownLeaves::new(),
            compared: false,
            plain: Plain::default(),
            is_plain: false,
            walk: settings.walk(),
            gap: Gap::default(),
            backoff: backoff::new(),
            chance: fastrand::Rng::with_seed(seed),
            batch,
            send_at: 0,
            check_at: 0,
            retry_at: 0,
            status: LinkStatus {
                state: LinkState::Connecting,
                queue: 0,
                lag: 0,
                differing: 0,
                refused_ranges: 0,
                last_error: None,
                last_answer: 0,
                last_equal: 0,
                gap: None,
                sent: 0,
                refused: 0,
                overflows: 0,
            },
            settings,
        }
    }

    /// Whether the peer supports plain jobs only.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Offset of the peer's clock from the local one in ms, positive if it is ahead; 0 if unknown.
    #[must_use]
    pub fn gap(&self) -> i64 {
        self.gap.ms().unwrap_or(0)
    }

    /// The peer.
    #[must_use]
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// Notifies the link of a local change of a register.
    pub fn changed(&mut self, id: RegisterId, now: Moment) {
        let policy = id.key.policy;
        if self.settings.policies.contains(&policy)
            && !self.outboxes[policy as usize].push((id.key.cidr, id.author), now.mono)
        {
            self.overflowed();
        }
    }

    /// After a comparison, once: whether a leaf differed in it. Those that did not are what the peer says, too.
    pub fn take_compared(&mut self) -> Option<impl Fn(Policy, u16) -> bool + use<>> {
        std::mem::take(&mut self.compared).then(|| {
            let differing: HashSet<_> = self.known.keys().copied().collect();
            move |policy, leaf| differing.contains(&(policy, leaf))
        })
    }

    fn overflowed(&mut self) {
        self.status.overflows += 1;
        self.compare_soon(0);
        self.walk = self.settings.walk();
    }

    fn compare_soon(&mut self, at: u64) {
        self.check_at = self.check_at.min(at);
        self.known.clear();
    }

    /// The next action. `tellable` selects the registers that a plain node receives.
    pub fn poll(
        &mut self,
        replica: &Replica,
        now: Moment,
        tellable: impl Fn(&Slot) -> bool,
    ) -> Next {
        if now.mono < self.retry_at {
            return Next::Wait(self.retry_at);
        }
        let ask = if self.is_plain {
            self.plain_ask(replica, now, tellable)
        } else {
            self.ask(replica, now)
        };
        match ask {
            Some(ask) => {
                self.in_flight = Some((ask.clone(), now));
                Next::Ask(ask)
            }
            None => Next::Wait(self.wake_at()),
        }
    }

    fn wake_at(&self) -> u64 {
        let walks = self.walk.is_some() && !self.is_plain && self.gap.ms().is_some();
        if !walks && self.outboxes.iter().all(Outbox::is_empty) {
            self.check_at
        } else {
            self.check_at.min(self.send_at)
        }
    }

    /// An answer came. The backoff goes on until something was exchanged, so that answers which lead nowhere slow down.
    fn succeeded(&mut self, now: Moment) {
        self.status.last_answer = now.wall;
        if matches!(
            self.status.state,
            LinkState::Connecting | LinkState::Failing | LinkState::Plain | LinkState::NotEnabled
        ) && !self.is_plain
        {
            self.status.state = LinkState::Syncing;
        }
    }

    fn put_back(&mut self, policy: Policy, all: Vec<Changed>, now: Moment) {
        if !self.outboxes[policy as usize].put_back(all, now.mono) {
            self.overflowed();
        }
    }

    /// Where a walk goes on after the last leaf of a policy.
    fn policy_after(&self, policy: Policy) -> Option<(Policy, u16)> {
        let mut policies = self.settings.policies.iter();
        policies.find(|p| **p == policy);
        policies.next().map(|policy| (*policy, 0))
    }

    /// The current status.
    #[must_use]
    pub fn status(&self, now: Moment) -> LinkStatus {
        let oldest = self.outboxes.iter().filter_map(Outbox::since).min();
        LinkStatus {
            queue: self.outboxes.iter().map(Outbox::len).sum::<usize>() + self.plain.waiting(),
            lag: oldest.map_or(0, |since| now.mono.saturating_sub(since)),
            gap: self.gap.ms(),
            ..self.status.clone()
        }
    }
}

impl LinkSettings {
    /// Where a walk over all registers begins.
    fn walk(&self) -> Option<(Policy, u16)> {
        self.policies.first().map(|policy| (*policy, 0))
    }
}
