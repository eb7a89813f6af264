//! The thread that turns the firewall's events into registers.

use std::{
    collections::HashSet,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use couic_common::{Policy, RuleKey};

use couic_peering::{PeerId, RecordState};

use super::{
    engine::Engine,
    state::{SharedRules, Terms, milliseconds, union},
};
use couic_firewall::rules::{Actor, Claim, Owner, Received, Subscription};

/// Maximum number of events that wait for the thread. After more, all rules are scanned.
const QUEUE: usize = 1 << 16;

/// How long the thread sleeps while nothing happens.
const IDLE: Duration = Duration::from_millis(100);

/// Changes within this time are handled together. Between two rounds the thread does not wait on the stream, so that
/// the firewall does not wake it for each change.
const ROUND: Duration = Duration::from_millis(5);

/// Registers whose time is over are forgotten, and rules tried again that the firewall did not take.
const TIDY: Duration = Duration::from_secs(1);

/// How many rules are looked at before others get their turn.
const CHUNK: usize = 256;

pub(super) fn start(
    engine: Arc<Engine>,
    stop: Arc<AtomicBool>,
) -> io::Result<thread::JoinHandle<()>> {
    // Before the first look, so that nothing falls in between.
    let shown = engine.firewall.subscribe(QUEUE);
    let hidden = engine.firewall.subscribe_hidden(QUEUE);
    // Scan before connecting to peers, so that existing rules are shared.
    engine.register_existing();
    thread::Builder::new()
        .name("couic-peering".to_owned())
        .spawn(move || run(&engine, [&shown, &hidden], &stop))
}

fn run(engine: &Engine, [shown, hidden]: [&Subscription; 2], stop: &AtomicBool) {
    let mut tidied = Instant::now();
    while !stop.load(Ordering::Acquire) {
        let first = shown.recv_timeout(IDLE);
        let second = hidden.recv_timeout(Duration::ZERO);
        let idle = first.events.is_empty() && second.events.is_empty();
        engine.absorb_events(&[first, second]);
        if tidied.elapsed() >= TIDY {
            engine.tidy();
            tidied = Instant::now();
        }
        if !idle {
            thread::sleep(ROUND);
        }
    }
}

impl Engine {
    /// Absorbs the rules that events refer to.
    fn absorb_events(&self, received: &[Received]) {
        if received.iter().any(|r| r.missed > 0) {
            tracing::debug!("peering missed events: scanning all rules");
            self.scan();
            return;
        }
        let events = received.iter().flat_map(|r| r.events.iter());
        let meant = events.filter(|e| !matches!(e.origin.actor, Actor::Set(_)));
        let mut seen = HashSet::new();
        let keys: Vec<_> = meant
            .map(|e| RuleKey::new(e.policy, e.entry.cidr))
            .filter(|key| seen.insert(*key))
            .collect();
        self.absorb_keys(&keys);
    }

    pub(super) fn absorb_keys(&self, keys: &[RuleKey]) {
        for chunk in keys.chunks(CHUNK) {
            let now = self.now();
            let mut state = self.locked();
            for key in chunk {
                self.absorb(&mut state, *key, now);
            }
        }
    }

    /// Registers the existing rules, before connecting to peers, with their creation time: later writes of other nodes
    /// win.
    pub(super) fn register_existing(&self) {
        let now = self.now();
        self.walk_rules(|state, key, held, creation| {
            let is_client = |claim: &&Claim| !matches!(claim.owner, Owner::Peer(_));
            let Some(Terms { tag, end, reason }) = union(held.iter().filter(is_client)) else {
                // What came by plain jobs is found by the scan, which tells it from what registers ask for.
                return self.absorb(state, key, now);
            };
            let until = milliseconds(end);
            let ms = creation.saturating_mul(1_000);
            let live = (RecordState::Live { tag, until }, reason.as_ref());
            state.replica.write_past(key, live, PeerId::SELF, ms);
            self.end_own(state, key, &Actor::Expiry, now);
        });
    }

    fn walk_rules(&self, mut each: impl FnMut(&mut SharedRules, RuleKey, &[Claim], u64)) {
        for policy in Policy::ALL {
            let mut after = None;
            loop {
                let page = self.firewall.claims_page(policy, after, CHUNK);
                let Some((last, ..)) = page.last() else { break };
                after = Some(*last);
                let mut state = self.locked();
                for (cidr, held, creation) in &page {
                    each(&mut state, RuleKey::new(policy, *cidr), held, *creation);
                }
            }
        }
    }

    /// Absorbs every rule, and every register that should be in force.
    pub fn scan(&self) {
        let mut keys = Vec::new();
        self.walk_rules(|_, key, held, _| {
            if !held.is_empty() {
                keys.push(key);
            }
        });
        self.absorb_keys(&keys);
        for policy in Policy::ALL {
            for first in (0..=u16::MAX).step_by(CHUNK) {
                let range = (first, first | (CHUNK as u16 - 1));
                let state = self.locked();
                let slots = state.replica.in_leaves(policy, range);
                let in_force = slots.filter(|(.., slot)| slot.in_force);
                let mut keys: Vec<_> = in_force.map(|(_, id, _)| id.key).collect();
                keys.dedup();
                drop(state);
                self.absorb_keys(&keys);
            }
        }
    }

    /// Periodic work, once per [`TIDY`].
    pub(super) fn tidy(&self) {
        let now = self.now();
        while self.locked().replica.bury(now, CHUNK) == CHUNK {}
        self.try_again();
        self.log_turns();
    }
}
