//! Tags and the slots under which their packets are counted.
//!
//! A slot belongs to one tag as long as any claim carries the tag, and goes on showing its figures afterwards. Only
//! when all slots are taken is the one given away whose tag has been without a claim for the longest time.
//!
//! A pattern over tags is matched once a request, and without the lock: [`TagFilter`].

use std::collections::{BTreeMap, HashMap, VecDeque};

use couic_common::{Counter, Policy, Tag, TagPattern, UNTAGGED};

use super::shares::{Held, Holder, Places, Shared};
use crate::dataplane::{Counters, MAX_TAGS, TagSlot};

/// The tags of one policy.
#[derive(Debug)]
pub(super) struct TagTable {
    policy: Policy,
    by_name: HashMap<Tag, TagSlot>,
    slots: Vec<Slot>,
    /// Slots that were without a claim at some time, the longest first. Some may have found claims again.
    idle: VecDeque<TagSlot>,
    /// Tags with a claim.
    used: usize,
    /// Who brought in the tags in use.
    held: Held,
    /// How many times a tag got a slot.
    given: u64,
}

#[derive(Debug, Default)]
struct Slot {
    /// None for rules without a tag.
    name: Option<Tag>,
    claims: usize,
    /// The owner of its first claim.
    holder: Option<Holder>,
    /// [`TagTable::given`] when this tag got it.
    given: u64,
    /// The slot's counters when this tag got it.
    base: Counter,
    queued: bool,
}

impl TagTable {
    pub(super) fn new(policy: Policy) -> Self {
        let untagged = Slot::default();
        Self {
            policy,
            by_name: HashMap::new(),
            slots: vec![untagged],
            idle: VecDeque::new(),
            used: 0,
            held: Held::default(),
            given: 0,
        }
    }

    /// The slot of a tag, a new one if need be. None if all are in use.
    ///
    /// A new slot counts as idle until [`Self::hold`] is called.
    pub(super) fn slot(&mut self, tag: Option<&Tag>, counters: &dyn Counters) -> Option<TagSlot> {
        let Some(tag) = tag else {
            return Some(TagSlot::UNTAGGED);
        };
        if let Some(slot) = self.by_name.get(tag) {
            return Some(*slot);
        }
        let slot = if self.slots.len() < MAX_TAGS {
            self.slots.push(Slot::default());
            TagSlot::new(self.slots.len() - 1)?
        } else {
            self.reclaim()?
        };
        self.given += 1;
        let entry = &mut self.slots[slot.index()];
        *entry = Slot {
            name: Some(tag.clone()),
            given: self.given,
            base: counters.tag(self.policy, slot),
            ..Slot::default()
        };
        self.by_name.insert(tag.clone(), slot);
        self.queue(slot);
        Some(slot)
    }

    fn reclaim(&mut self) -> Option<TagSlot> {
        while let Some(slot) = self.idle.pop_front() {
            let entry = &mut self.slots[slot.index()];
            entry.queued = false;
            if entry.claims == 0 {
                if let Some(name) = entry.name.take() {
                    self.by_name.remove(&name);
                }
                return Some(slot);
            }
        }
        None
    }

    fn queue(&mut self, slot: TagSlot) {
        let entry = &mut self.slots[slot.index()];
        if !entry.queued && slot != TagSlot::UNTAGGED {
            entry.queued = true;
            self.idle.push_back(slot);
        }
    }

    /// What a tag would take a place of; None if it is in use.
    pub(super) fn places_for(&self, tag: &Tag) -> Option<Places<'_>> {
        let slot = self.by_name.get(tag);
        if slot.is_some_and(|slot| self.slots[slot.index()].claims > 0) {
            return None;
        }
        Some(Places {
            policy: self.policy,
            what: Shared::Tags,
            used: self.used,
            limit: MAX_TAGS - 1,
            held: &self.held,
        })
    }

    /// How many tags are in use.
    pub(super) const fn used(&self) -> usize {
        self.used
    }

    /// One more claim carries the tag.
    pub(super) fn hold(&mut self, slot: TagSlot, holder: Holder) {
        let entry = &mut self.slots[slot.index()];
        entry.claims += 1;
        if entry.claims == 1 && slot != TagSlot::UNTAGGED {
            entry.holder = Some(holder);
            self.used += 1;
            self.held.add(holder);
        }
    }

    /// One claim less carries the tag.
    pub(super) fn release(&mut self, slot: TagSlot) {
        let entry = &mut self.slots[slot.index()];
        entry.claims = entry.claims.saturating_sub(1);
        if entry.claims == 0 {
            if let Some(holder) = entry.holder.take() {
                self.used -= 1;
                self.held.take(holder);
            }
            self.queue(slot);
        }
    }

    /// The tag of a slot.
    pub(super) fn name(&self, slot: TagSlot) -> Option<&Tag> {
        self.slots[slot.index()].name.as_ref()
    }

    /// The tags of all slots as they are now.
    pub(super) fn names(&self) -> TagNames {
        TagNames {
            names: self.slots.iter().map(|slot| slot.name.clone()).collect(),
            given: self.given,
        }
    }

    /// The figures of every tag that has a claim or has counted something.
    pub(super) fn figures(&self, counters: &dyn Counters) -> BTreeMap<String, Counter> {
        let mut figures = BTreeMap::new();
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(id) = TagSlot::new(index) else { break };
            let total = counters.tag(self.policy, id);
            let figure = Counter {
                rx_packets: total.rx_packets.saturating_sub(slot.base.rx_packets),
                rx_bytes: total.rx_bytes.saturating_sub(slot.base.rx_bytes),
            };
            if slot.claims > 0 || figure.rx_packets > 0 {
                let name = slot.name.as_ref().map_or(UNTAGGED, Tag::as_str);
                figures.insert(name.to_owned(), figure);
            }
        }
        figures
    }
}

/// The tags of all slots at some time.
pub(super) struct TagNames {
    names: Vec<Option<Tag>>,
    given: u64,
}

/// The tags that a pattern meant at some time. A tag that got its slot later is not meant.
#[derive(Clone, Debug)]
pub struct TagFilter {
    /// By slot.
    meant: Vec<bool>,
    given: u64,
}

impl TagFilter {
    /// Takes the time of thousands of comparisons: not for under the lock.
    pub(super) fn new(pattern: &TagPattern, tags: &TagNames) -> Self {
        let matches = |name: &Option<Tag>| pattern.matches(name.as_ref().map(Tag::as_str));
        Self {
            meant: tags.names.iter().map(matches).collect(),
            given: tags.given,
        }
    }

    pub(super) fn means(&self, tags: &TagTable, slot: TagSlot) -> bool {
        let is_meant = self.meant.get(slot.index()).copied().unwrap_or(false);
        is_meant && tags.slots[slot.index()].given <= self.given
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use couic_common::RuleKey;

    use super::{
        super::{Owner, packed::Owners},
        *,
    };
    use crate::dataplane::{MemoryPlane, Plane, PlaneRule};

    fn web() -> Holder {
        let owner = Owner::Peer("web".parse().unwrap());
        Holder::new(Owners::default().id(&owner), &owner)
    }

    fn tag(text: &str) -> Tag {
        Tag::parse(text).unwrap().unwrap()
    }

    #[test]
    fn figures_outlive_the_last_claim() {
        let mut plane = MemoryPlane::default();
        let mut tags = TagTable::new(Policy::Drop);
        let slot = tags.slot(Some(&tag("ssh")), &plane).unwrap();
        tags.hold(slot, web());
        plane
            .put(
                RuleKey::new(Policy::Drop, "10.0.0.0/8".parse().unwrap()),
                PlaneRule { slot, deadline: 0 },
            )
            .unwrap();
        plane.packet(IpAddr::from([10, 0, 0, 1]), 60);
        tags.release(slot);
        assert_eq!(
            tags.figures(&plane)["ssh"],
            Counter {
                rx_packets: 1,
                rx_bytes: 60
            }
        );
        assert_eq!(tags.slot(Some(&tag("ssh")), &plane), Some(slot));
    }

    #[test]
    fn a_full_table_gives_away_the_longest_idle_and_starts_it_at_zero() {
        let mut plane = MemoryPlane::default();
        let mut tags = TagTable::new(Policy::Drop);
        for i in 1..MAX_TAGS {
            let slot = tags.slot(Some(&tag(&format!("t{i}"))), &plane).unwrap();
            tags.hold(slot, web());
        }
        assert_eq!(tags.slot(Some(&tag("one-more")), &plane), None);
        let second = tags.slot(Some(&tag("t2")), &plane).unwrap();
        plane
            .put(
                RuleKey::new(Policy::Drop, "10.0.0.0/8".parse().unwrap()),
                PlaneRule {
                    slot: second,
                    deadline: 0,
                },
            )
            .unwrap();
        plane.packet(IpAddr::from([10, 0, 0, 1]), 60);
        let first = tags.slot(Some(&tag("t1")), &plane).unwrap();
        tags.release(second);
        tags.release(first);
        // In use again: must not be given away although it was idle once.
        tags.hold(first, web());
        let given = tags.slot(Some(&tag("one-more")), &plane).unwrap();
        assert_eq!(given, second);
        tags.hold(given, web());
        let figures = tags.figures(&plane);
        assert_eq!(figures["one-more"], Counter::default());
        assert!(!figures.contains_key("t2") && figures.contains_key("t1"));
        assert_eq!(tags.slot(Some(&tag("yet-another")), &plane), None);
    }

    #[test]
    fn a_filter_means_no_tag_that_came_later() {
        let plane = MemoryPlane::default();
        let mut tags = TagTable::new(Policy::Drop);
        let old = tags.slot(Some(&tag("ssh-1")), &plane).unwrap();
        let other = tags.slot(Some(&tag("web")), &plane).unwrap();
        let pattern = "ssh*".parse().unwrap();
        let filter = TagFilter::new(&pattern, &tags.names());
        assert!(filter.means(&tags, old) && !filter.means(&tags, other));
        assert!(!filter.means(&tags, TagSlot::UNTAGGED));
        for i in 0..MAX_TAGS - 3 {
            let slot = tags.slot(Some(&tag(&format!("t{i}"))), &plane).unwrap();
            tags.hold(slot, web());
        }
        tags.hold(other, web());
        let again = tags.slot(Some(&tag("ssh-2")), &plane).unwrap();
        assert_eq!(again, old, "the same slot for another tag");
        assert!(!filter.means(&tags, again));
        let filter = TagFilter::new(&pattern, &tags.names());
        assert!(filter.means(&tags, again));
    }
}
