//! The core as a whole, over the plain data plane.

mod claims;
mod durable;
mod expiry;
mod oracle;
mod owners;
mod query;
mod reload;
mod set_apply;
mod sets;
mod shares;
mod swap;

use std::{net::IpAddr, sync::Arc, time::Duration};

use couic_common::{Cidr, Metadata, Policy, RuleKey, Tag, Verdict};

use super::*;
use crate::dataplane::MemoryPlane;

/// A firewall over a data plane that can be asked and a clock that can be turned. Starts at Unix second 1,000.
struct House {
    firewall: Firewall,
    plane: MemoryPlane,
    clock: Arc<ManualClock>,
    events: Subscription,
}

impl House {
    fn new() -> Self {
        Self::with(Limits {
            drop_entries: 1000,
            ignore_entries: 1000,
        })
    }

    fn with(limits: Limits) -> Self {
        Self::at(1000, limits)
    }

    fn at(now: u64, limits: Limits) -> Self {
        let plane = MemoryPlane::default();
        let clock = Arc::new(ManualClock::new(now));
        let (writer, reader) = (Box::new(plane.clone()), Arc::new(plane.clone()));
        let firewall = Firewall::new(writer, reader, limits, Arc::<ManualClock>::clone(&clock));
        let events = firewall.subscribe(100_000);
        Self {
            firewall,
            plane,
            clock,
            events,
        }
    }

    /// Applies one job of policy drop, which is not refused.
    fn apply(&self, actor: &Actor, job: Job) -> Applied {
        let mut results = self.firewall.apply(Policy::Drop, vec![job], actor);
        results.remove(0).unwrap()
    }

    fn verdict(&self, ip: &str) -> Verdict {
        self.plane.packet(ip.parse::<IpAddr>().unwrap(), 60)
    }

    /// `+ drop 10.0.0.0/8 tag=x until=0 by client c` and so on, since the last call.
    fn heard(&self) -> Vec<String> {
        let received = self.events.recv_timeout(Duration::ZERO);
        assert_eq!(received.missed, 0);
        received.events.iter().map(describe).collect()
    }
}

fn describe(event: &RuleEvent) -> String {
    let sign = match event.kind {
        EventKind::Added => '+',
        EventKind::Updated => '~',
        EventKind::Released => '/',
        EventKind::Removed => '-',
    };
    let Entry {
        cidr,
        tag,
        expiration,
        ..
    } = &event.entry;
    let tag = tag.as_ref().map_or("none", Tag::as_str);
    format!(
        "{sign} {} {cidr} tag={tag} until={expiration} by {}",
        event.policy, event.origin.actor
    )
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn drop_key(network: &str) -> RuleKey {
    RuleKey::new(Policy::Drop, cidr(network))
}

fn rule(network: &str, tag: &str, expiration: u64) -> ClaimRequest {
    ClaimRequest {
        cidr: cidr(network),
        tag: Tag::parse(tag).unwrap(),
        expiration,
    }
}

/// The metadata that gives this reason.
fn because(why: &str) -> Option<Arc<Metadata>> {
    Some(Arc::new(Metadata {
        kind: "test".to_owned(),
        detail: why.to_owned(),
        extra: None,
    }))
}

fn client() -> Origin {
    Origin {
        actor: Actor::Client("c".parse().unwrap()),
        metadata: None,
    }
}

fn peer() -> Origin {
    Origin {
        actor: Actor::Peer("p".parse().unwrap()),
        metadata: None,
    }
}

fn catalog(sets: &[(Policy, &str, &[&str])]) -> SetCatalog {
    let set = |(policy, name, entries): &(Policy, &str, &[&str])| super::reload::LoadedSet {
        is_suspect: false,
        is_cut: false,
        policy: *policy,
        name: name.parse().unwrap(),
        entries: entries.iter().map(|text| cidr(text)).collect(),
    };
    SetCatalog(sets.iter().map(set).collect())
}
