//! The facade's plain model: an ordered map and a linear scan. Slow and obviously right.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use couic_common::{ActionStats, Counter, NotInspected, Policy, RuleKey, Verdict};
use parking_lot::Mutex;

use super::{Counters, Plane, PlaneError, PlaneRule, RuleUsage, TagSlot, Valve};

/// A data plane without a kernel. Clones share the same rules and counters.
#[derive(Clone, Debug, Default)]
pub struct MemoryPlane(Arc<Mutex<MemoryTables>>);

#[derive(Debug, Default)]
struct MemoryTables {
    rules: BTreeMap<RuleKey, PlaneRule>,
    tags: BTreeMap<(Policy, TagSlot), Counter>,
    /// If rules are counted one by one.
    usage: Option<BTreeMap<RuleKey, RuleUsage>>,
    actions: ActionStats,
    heartbeat: u64,
    open: bool,
    fail_next_put_after: Option<usize>,
    refuses_puts: bool,
}

impl MemoryTables {
    /// The rule that decides about packets from an address.
    fn deciding(&self, source: IpAddr) -> Option<(RuleKey, TagSlot)> {
        Policy::ALL.into_iter().find_map(|policy| {
            let covering = self
                .rules
                .iter()
                .filter(|(key, _)| key.policy == policy && key.cidr.contains(source));
            covering
                .max_by_key(|(key, _)| key.cidr.prefix())
                .map(|(key, rule)| (*key, rule.slot))
        })
    }
}

impl MemoryPlane {
    /// One that counts rules one by one. Its time is that of the last heartbeat.
    #[must_use]
    pub fn counting_rules() -> Self {
        let state = MemoryTables {
            usage: Some(BTreeMap::new()),
            ..MemoryTables::default()
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Returns the verdict of the data plane for a packet, and counts it.
    pub fn packet(&self, source: IpAddr, bytes: u64) -> Verdict {
        let mut state = self.0.lock();
        let found = (!state.open).then(|| state.deciding(source)).flatten();
        let verdict = if found.is_some_and(|(key, _)| key.policy == Policy::Drop) {
            Verdict::Drop
        } else {
            Verdict::Pass
        };
        if let Some((key, slot)) = found {
            count(state.tags.entry((key.policy, slot)).or_default(), bytes);
            let now = state.heartbeat;
            if let Some(usage) = &mut state.usage {
                let rule = usage.entry(key).or_default();
                rule.hits += 1;
                rule.last_seen = now;
            }
        }
        match verdict {
            Verdict::Drop => count(&mut state.actions.xdp_drop, bytes),
            Verdict::Pass => count(&mut state.actions.xdp_pass, bytes),
        }
        verdict
    }

    /// Refuses every put from now on, or none.
    pub fn refuse_puts(&self, all: bool) {
        self.0.lock().refuses_puts = all;
    }

    /// Changes a rule behind the firewall's back, for tests of the self-check.
    pub fn tamper(&self, key: RuleKey, rule: Option<PlaneRule>) {
        let mut state = self.0.lock();
        match rule {
            Some(rule) => state.rules.insert(key, rule),
            None => state.rules.remove(&key),
        };
    }

    /// Every rule in force.
    #[must_use]
    pub fn rules(&self) -> BTreeMap<RuleKey, PlaneRule> {
        self.0.lock().rules.clone()
    }

    /// The time of the last heartbeat, Unix seconds.
    #[must_use]
    pub fn last_heartbeat(&self) -> u64 {
        self.0.lock().heartbeat
    }

    /// Lets `n` more puts succeed and refuses the one after them, once: for tests of changes that must not half-apply.
    pub fn fail_put_after(&self, n: usize) {
        self.0.lock().fail_next_put_after = Some(n);
    }
}

fn count(counter: &mut Counter, bytes: u64) {
    counter.rx_packets += 1;
    counter.rx_bytes += bytes;
}

impl Plane for MemoryPlane {
    fn put(&mut self, key: RuleKey, rule: PlaneRule) -> Result<(), PlaneError> {
        let mut state = self.0.lock();
        if state.refuses_puts {
            return Err(PlaneError::Full { table: "memory" });
        }
        if let Some(left) = state.fail_next_put_after {
            state.fail_next_put_after = left.checked_sub(1);
            if left == 0 {
                return Err(PlaneError::Full { table: "memory" });
            }
        }
        state.rules.insert(key, rule);
        Ok(())
    }

    fn remove(&mut self, key: RuleKey) -> Result<(), PlaneError> {
        let mut state = self.0.lock();
        state.rules.remove(&key);
        if let Some(usage) = &mut state.usage {
            usage.remove(&key);
        }
        Ok(())
    }

    fn heartbeat(&mut self, now: u64) {
        self.0.lock().heartbeat = now;
    }

    fn held(&self, key: RuleKey) -> Option<PlaneRule> {
        let state = self.0.lock();
        state.rules.get(&key).map(|rule| rule.as_held())
    }

    fn decides(&self, source: IpAddr) -> Option<(Policy, TagSlot)> {
        let found = self.0.lock().deciding(source);
        found.map(|(key, slot)| (key.policy, slot))
    }

    fn erase(&mut self, key: RuleKey) {
        self.0.lock().rules.remove(&key);
    }

    fn walk(&self, from: usize, places: usize, show: &mut dyn FnMut(RuleKey)) -> Option<usize> {
        let state = self.0.lock();
        let end = from.saturating_add(places);
        state
            .rules
            .keys()
            .skip(from)
            .take(places)
            .copied()
            .for_each(show);
        (end < state.rules.len()).then_some(end)
    }

    fn valve(&self) -> Arc<dyn Valve> {
        Arc::new(self.clone())
    }

    fn usage(&self, key: RuleKey) -> Option<RuleUsage> {
        let state = self.0.lock();
        let usage = state.usage.as_ref()?;
        let known = state.rules.contains_key(&key);
        known.then(|| usage.get(&key).copied().unwrap_or_default())
    }
}

impl Counters for MemoryPlane {
    fn not_inspected(&self) -> NotInspected {
        NotInspected::default()
    }

    fn actions(&self) -> ActionStats {
        self.0.lock().actions
    }

    fn tag(&self, policy: Policy, slot: TagSlot) -> Counter {
        self.0
            .lock()
            .tags
            .get(&(policy, slot))
            .copied()
            .unwrap_or_default()
    }
}

impl Valve for MemoryPlane {
    fn set_open(&self, open: bool) {
        self.0.lock().open = open;
    }

    fn is_open(&self) -> bool {
        self.0.lock().open
    }
}
