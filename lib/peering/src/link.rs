//! One node's view of one peer: decides the next request and processes the responses.
//!
//! The driver of a link calls [`Link::poll`], sends the request, and reports the result. There is one request in flight
//! at a time. Changes have priority over comparisons, so a long comparison does not delay them.

use couic_common::{Backoff, Cidr, Policy, RuleKey};

pub use crate::check::PullOutcome;
use crate::{
    Ask, DigestAnswer, Face, Failure, Gap, LinkSettings, LinkState, LinkStatus, Moment, Next, Of,
    PullAnswer, PushAnswer, Record, Replica, Slot, backoff,
    check::{Check, KnownLeaves, Question},
    outbox::Outbox,
    plain::Plain,
};

/// Interval of comparisons while registers differ, in milliseconds.
const COMPARE_AGAIN: u64 = 1_000;

/// Interval of probes whether a plain node was upgraded, in milliseconds.
const PROBE: u64 = 60_000;

/// Number of comparisons after which skipped leaves are retried.
const RETRY_SKIPPED: u32 = 30;

/// Registers per step of the full transfer to a plain peer.
const TRANSFER_STEP: usize = 1_000;

/// One peer.
#[derive(Debug)]
pub struct Link {
    settings: LinkSettings,
    outboxes: [Outbox; 2],
    in_flight: Option<(Ask, Moment)>,
    check: Option<Check>,
    known: KnownLeaves,
    checks: u32,
    plain: Plain,
    is_plain: bool,
    /// Position of the full transfer to a plain peer.
    full_transfer: Option<(Policy, u16)>,
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
    /// The link to a new peer. `seed` is for jitter.
    #[must_use]
    pub fn new(settings: LinkSettings, seed: u64) -> Self {
        let outbox = || Outbox::new(settings.queue);
        let batch = settings.batch.max(1);
        Self {
            outboxes: [outbox(), outbox()],
            in_flight: None,
            check: None,
            known: KnownLeaves::new(),
            checks: 0,
            plain: Plain::default(),
            is_plain: false,
            full_transfer: None,
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

    /// Notifies the link of a local change of a register.
    pub fn changed(&mut self, key: RuleKey, now: Moment) {
        if self.settings.policies.contains(&key.policy)
            && !self.outboxes[key.policy as usize].push(key.cidr, now.mono)
        {
            self.overflowed();
        }
    }

    fn overflowed(&mut self) {
        self.status.overflows += 1;
        self.compare_soon(0);
        if self.is_plain {
            self.start_full_transfer();
        }
    }

    fn compare_soon(&mut self, at: u64) {
        self.check_at = self.check_at.min(at);
        self.known.clear();
    }

    fn start_full_transfer(&mut self) {
        self.full_transfer = self.settings.policies.first().map(|policy| (*policy, 0));
    }

    /// The next action. `tellable` selects the registers that a plain node receives.
    pub fn poll<L>(
        &mut self,
        replica: &Replica<L>,
        now: Moment,
        tellable: impl Fn(&Slot<L>) -> bool,
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
        if self.outboxes.iter().all(Outbox::is_empty) {
            self.check_at
        } else {
            self.check_at.min(self.send_at)
        }
    }

    fn ask<L>(&mut self, replica: &Replica<L>, now: Moment) -> Option<Ask> {
        // Times cannot be translated before the first clock sample.
        let may_push = self.gap.ms().is_some() && now.mono >= self.send_at;
        while may_push && let Some((policy, mut cidrs)) = self.next_changes() {
            // Registers forgotten in the meantime need not be sent.
            cidrs.retain(|cidr| replica.get(RuleKey::new(policy, *cidr)).is_some());
            if !cidrs.is_empty() {
                self.send_at = now.mono + self.settings.gather;
                return Some(Ask::Push(policy, cidrs));
            }
        }
        if self.check.is_none() && now.mono >= self.check_at {
            self.check = Some(Check::new(&self.settings.policies));
            self.checks = self.checks.wrapping_add(1);
            if self.checks.is_multiple_of(RETRY_SKIPPED) {
                self.known.clear();
            }
        }
        match self.check.as_ref()?.question() {
            Some(Question::Digest(policy, of)) => Some(Ask::Digest(policy, of)),
            Some(Question::Pull(policy, leaves)) => Some(Ask::Pull(policy, leaves)),
            None => None,
        }
    }

    fn next_changes(&mut self) -> Option<(Policy, Vec<Cidr>)> {
        let policy = Policy::ALL
            .into_iter()
            .find(|policy| !self.outboxes[*policy as usize].is_empty())?;
        Some((policy, self.outboxes[policy as usize].drain(self.batch)))
    }

    fn plain_ask<L>(
        &mut self,
        replica: &Replica<L>,
        now: Moment,
        tellable: impl Fn(&Slot<L>) -> bool,
    ) -> Option<Ask> {
        if self.plain.next().is_none() && now.mono >= self.send_at {
            if let Some((policy, cidrs)) = self.next_changes() {
                self.send_at = now.mono + self.settings.gather;
                let slots = cidrs
                    .iter()
                    .filter_map(|cidr| Some((*cidr, replica.get(RuleKey::new(policy, *cidr))?)));
                let records = slots
                    .filter(|(_, slot)| tellable(slot))
                    .map(|(cidr, slot)| (cidr, &slot.record));
                self.plain.queue(policy, records, now.wall, true);
            } else {
                self.continue_full_transfer(replica, now, tellable);
            }
        }
        if let Some(batch) = self.plain.next() {
            return Some(Ask::Plain(batch.clone()));
        }
        // Probe whether it has been upgraded.
        (now.mono >= self.check_at).then(|| Ask::Digest(Policy::Drop, Of::Root))
    }

    /// Continues the full transfer to a plain peer.
    fn continue_full_transfer<L>(
        &mut self,
        replica: &Replica<L>,
        now: Moment,
        tellable: impl Fn(&Slot<L>) -> bool,
    ) {
        let Some((policy, first)) = self.full_transfer else {
            return;
        };
        let mut found: Vec<(Cidr, &Record)> = Vec::new();
        let mut next = None;
        for (leaf, cidr, slot) in replica.in_leaves(policy, (first, u16::MAX)) {
            if found.len() >= TRANSFER_STEP && leaf > first {
                next = Some((policy, leaf));
                break;
            }
            if slot.record.is_live(now.wall) && tellable(slot) {
                found.push((cidr, &slot.record));
            }
        }
        self.full_transfer = next.or_else(|| {
            let mut policies = self.settings.policies.iter();
            policies.find(|p| **p == policy);
            policies.next().map(|policy| (*policy, 0))
        });
        self.plain.queue(policy, found.into_iter(), now.wall, false);
    }

    /// Records a response and its clock sample. None for an unexpected response, or one of this node itself.
    fn answered<L>(&mut self, replica: &mut Replica<L>, from: Face, now: Moment) -> Option<Ask> {
        let (ask, sent) = self.in_flight.take()?;
        if from.node == replica.node() {
            self.in_flight = Some((ask, sent));
            let problem = "this peer is the local node itself: remove it from [peering]";
            self.failed(Failure::Other(problem.to_owned()), now);
            return None;
        }
        if let Err(error) = replica.hlc().observe(from.clock, now) {
            self.in_flight = Some((ask, sent));
            self.failed(Failure::Other(error.to_string()), now);
            return None;
        }
        self.gap.measure(sent, now, from.wall);
        self.is_plain = false;
        self.succeeded(now);
        Some(ask)
    }

    fn succeeded(&mut self, now: Moment) {
        self.backoff.succeeded();
        self.status.last_answer = now.wall;
        if matches!(
            self.status.state,
            LinkState::Connecting | LinkState::Failing | LinkState::Plain
        ) && !self.is_plain
        {
            self.status.state = LinkState::Syncing;
        }
    }

    /// Processes the response to [`Ask::Digest`].
    pub fn digests<L>(&mut self, replica: &mut Replica<L>, answer: &DigestAnswer, now: Moment) {
        let was_plain = self.is_plain;
        let Some(Ask::Digest(..)) = self.answered(replica, answer.from, now) else {
            return;
        };
        if was_plain {
            self.plain.clear();
            self.full_transfer = None;
            self.compare_soon(now.mono);
            self.check_at = now.mono;
            return;
        }
        let Some(check) = &mut self.check else {
            return;
        };
        if !answer.accepts {
            check.declined();
        } else if !check.digests(replica, &self.known, &answer.digests) {
            let problem = "it sent digests that do not match the request".to_owned();
            return self.failed(Failure::Other(problem), now);
        }
        self.check_done(now);
    }

    /// Processes the response to [`Ask::Pull`]: returns registers that are later there, and queues those that are later
    /// here.
    pub fn pulled<L>(
        &mut self,
        replica: &mut Replica<L>,
        answer: &PullAnswer,
        now: Moment,
    ) -> PullOutcome {
        let (Some(Ask::Pull(..)), Some(mut check)) =
            (self.answered(replica, answer.from, now), self.check.take())
        else {
            return PullOutcome::nothing(Policy::Drop);
        };
        let gap = self.gap();
        let (outboxes, mut fits) = (&mut self.outboxes, true);
        let outcome = check.pulled(replica, answer, gap, now, |key| {
            fits &= outboxes[key.policy as usize].push(key.cidr, now.mono);
        });
        self.check = Some(check);
        if let Some(problem) = &outcome.problem {
            self.status.last_error =
                Some((now.wall, format!("it sent an invalid rule: {problem}")));
        }
        if !fits {
            // The next comparison finds the rest, once the queue has drained.
            self.status.overflows += 1;
        }
        self.check_done(now);
        outcome
    }

    fn check_done(&mut self, now: Moment) {
        let Some(check) = self.check.take_if(|check| check.question().is_none()) else {
            return;
        };
        self.known = check.found;
        self.status.differing = check.differing;
        self.status.refused_ranges = check.skipped;
        if check.differing == 0 {
            self.status.state = LinkState::InSync;
            if check.skipped == 0 {
                self.status.last_equal = now.wall;
            }
            let quarter = self.settings.compare / 4;
            let jitter = self.chance.u64(0..=2 * quarter);
            self.check_at = now.mono + self.settings.compare - quarter + jitter;
        } else {
            self.status.state = LinkState::Syncing;
            self.check_at = now.mono + COMPARE_AGAIN;
        }
    }

    /// Processes the response to [`Ask::Push`].
    pub fn pushed<L>(&mut self, replica: &mut Replica<L>, answer: &PushAnswer, now: Moment) {
        let Some(Ask::Push(policy, mut cidrs)) = self.answered(replica, answer.from, now) else {
            return;
        };
        let taken = usize::try_from(answer.taken).map_or(cidrs.len(), |n| n.min(cidrs.len()));
        let rest = cidrs.split_off(taken);
        self.status.sent += taken as u64;
        self.status.refused += answer.refused.min(taken as u64);
        if let Some(problem) = &answer.problem {
            let text: String = problem
                .chars()
                .filter(|c| !c.is_control())
                .take(300)
                .collect();
            self.status.last_error = Some((now.wall, format!("it rejected a rule: {text}")));
        }
        self.put_back(policy, rest, now);
        if answer.wait_ms > 0 {
            self.send_at = now.mono + answer.wait_ms.clamp(self.settings.gather, 10_000);
        }
    }

    /// Records that the jobs of [`Ask::Plain`] were accepted.
    pub fn plain_taken(&mut self, now: Moment) {
        self.in_flight = None;
        self.status.sent += self.plain.next().map_or(0, |b| b.jobs.len() as u64);
        self.plain.taken();
        self.succeeded(now);
        self.status.state = LinkState::Plain;
    }

    fn put_back(&mut self, policy: Policy, cidrs: Vec<Cidr>, now: Moment) {
        if !self.outboxes[policy as usize].put_back(cidrs, now.mono) {
            self.overflowed();
        }
    }

    /// Records that the request failed.
    pub fn failed(&mut self, failure: Failure, now: Moment) {
        let Some((ask, _)) = self.in_flight.take() else {
            return;
        };
        let (is_plain, is_digest) = (matches!(ask, Ask::Plain(_)), matches!(ask, Ask::Digest(..)));
        match failure {
            Failure::TooLarge if self.reduce_size(&ask, now) => {}
            Failure::TooLarge => {
                self.gave_up(
                    ask,
                    "it rejects even the smallest body (413)".to_owned(),
                    now,
                );
            }
            Failure::Unknown if is_digest => self.switch_to_plain(now),
            Failure::Unknown => {
                self.gave_up(ask, "it no longer supports a route (404)".to_owned(), now);
            }
            Failure::Refused(problem) if is_plain => {
                self.succeeded(now);
                let lost = self.plain.refused() as u64;
                self.status.refused += lost;
                if lost > 0 {
                    self.status.last_error = Some((now.wall, problem));
                }
            }
            Failure::Refused(problem) | Failure::Other(problem) => self.gave_up(ask, problem, now),
        }
    }

    /// Reduces the size of the next request after one was too large. False if that is not possible.
    fn reduce_size(&mut self, ask: &Ask, now: Moment) -> bool {
        match ask {
            Ask::Push(policy, cidrs) => {
                let smaller = cidrs.len() > 1;
                self.batch = (cidrs.len() / 2).max(1);
                self.put_back(*policy, cidrs.clone(), now);
                self.send_at = now.mono;
                smaller
            }
            Ask::Pull(_, leaves) if leaves.len() > 1 => {
                if let Some(check) = &mut self.check {
                    check.too_large();
                }
                true
            }
            Ask::Plain(_) => self.plain.too_large(),
            Ask::Pull(..) | Ask::Digest(..) => false,
        }
    }

    fn switch_to_plain(&mut self, now: Moment) {
        let news = !self.is_plain;
        self.is_plain = true;
        self.check = None;
        self.check_at = now.mono + PROBE;
        self.succeeded(now);
        self.status.state = LinkState::Plain;
        if news {
            self.start_full_transfer();
        }
    }

    fn gave_up(&mut self, ask: Ask, problem: String, now: Moment) {
        if let Ask::Push(policy, cidrs) = ask {
            self.put_back(policy, cidrs, now);
        }
        let pause = backoff::failed(&mut self.backoff, &mut self.chance);
        self.retry_at = now.mono + pause;
        self.check = None;
        // A comparison comes first once it is back.
        self.check_at = 0;
        self.known.clear();
        if self.is_plain && self.backoff.failures() == 1 {
            self.start_full_transfer();
        }
        self.status.state = LinkState::Failing;
        self.status.last_error = Some((now.wall, problem));
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
