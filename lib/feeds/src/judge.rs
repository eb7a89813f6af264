//! Whether a new list may take the place of the last good one.
//!
//! Guarantees: a list that lost, or gained, more than the feed's share of its networks or addresses is held back, and so is
//! one whose last line is cut off where it was not before; one with fewer networks than the feed's least, or that covers a
//! part of the Internet that no feed covers, is refused. Both leave the last good list in force.

use couic_common::{Extent, Networks, Policy};
use serde::{Deserialize, Serialize};

use crate::{config::Feed, format};

/// The most of the IPv4 address space that a feed may cover, as a power of two: a quarter to drop, a sixteenth to ignore.
const MOST_V4: (u32, u32) = (30, 28);

/// The same of 2000::/3.
const MOST_V6: (u32, u32) = (123, 121);

/// From one list to the next, each merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Networks before.
    pub before: u64,
    /// Networks now.
    pub after: u64,
    /// Networks before that are not all covered now.
    pub lost: u64,
    /// Networks now that were not all covered before.
    pub gained: u64,
    /// The largest share that was lost or gained, of networks, IPv4 addresses or IPv6 addresses; 1 is all of it.
    pub share: f64,
}

/// The verdict.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    Good,
    /// The operator may accept it.
    Held(String),
    /// It is no list.
    Refused(String),
}

/// What a list is compared with.
#[derive(Debug)]
pub(crate) struct Baseline {
    /// The last good list, merged.
    pub(crate) networks: Networks,
    pub(crate) is_terminated: bool,
}

impl Change {
    pub(crate) fn between(old: &Networks, new: &Networks) -> Self {
        let (before, after) = (old.extent(), new.extent());
        let (lost, gained) = (old.beyond(new), new.beyond(old));
        let share = share(lost, before).max(share(gained, before));
        Self {
            before: before.networks,
            after: after.networks,
            lost: lost.networks,
            gained: gained.networks,
            share,
        }
    }
}

fn share(part: Extent, whole: Extent) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a share in percent")]
    let of = |part: u128, whole: u128| match whole {
        // A first network of a family counts among the networks.
        0 => 0.0,
        whole => part as f64 / whole as f64,
    };
    of(part.networks.into(), whole.networks.into())
        .max(of(part.v4.into(), whole.v4.into()))
        .max(of(part.v6, whole.v6))
}

/// Judges a merged list.
pub(crate) fn judge(
    feed: &Feed,
    new: &Networks,
    is_terminated: bool,
    last: Option<&Baseline>,
) -> (Verdict, Option<Change>) {
    let change = last.map(|last| Change::between(&last.networks, new));
    if let Some(refused) = refusal(feed, new.extent()) {
        return (Verdict::Refused(refused), change);
    }
    let verdict = match (last, change) {
        (Some(_), Some(change)) if change.share > feed.most_change => Verdict::Held(format!(
            "{} of it changed, more than {:.0} %: {} before, {} now, {} gone, {} new",
            percent(change.share),
            feed.most_change * 100.0,
            format::networks(change.before),
            change.after,
            change.lost,
            change.gained
        )),
        (Some(last), _) if last.is_terminated && !is_terminated => Verdict::Held(
            "its last line does not end, as that of the last list did: it may be cut off"
                .to_owned(),
        ),
        _ => Verdict::Good,
    };
    (verdict, change)
}

/// A list of one network that becomes a million has not changed by a share that tells anything.
fn percent(share: f64) -> String {
    if share > 10.0 {
        "more than 1000 %".to_owned()
    } else {
        format!("{:.0} %", share * 100.0)
    }
}

fn refusal(feed: &Feed, extent: Extent) -> Option<String> {
    if extent.networks < feed.min_entries {
        return Some(format!(
            "it has {} that can be taken, fewer than min_entries = {}",
            format::networks(extent.networks),
            feed.min_entries
        ));
    }
    let pick = |(drop, ignore)| match feed.policy {
        Policy::Drop => drop,
        Policy::Ignore => ignore,
    };
    let (v4, v6): (u32, u32) = (pick(MOST_V4), pick(MOST_V6));
    let is_much = extent.v4 > 1 << v4 || extent.v6 > 1 << v6;
    is_much.then(|| {
        let share = 1_u64 << (32 - v4);
        format!(
            "it covers more than 1/{share} of the Internet's addresses, which no list to {} does",
            feed.policy
        )
    })
}

#[cfg(test)]
mod tests {
    use couic_common::Cidr;

    use super::*;
    use crate::config::FeedConfig;

    fn feed(policy: Policy) -> Feed {
        let config = FeedConfig {
            name: "x".to_owned(),
            asn: Some(1),
            policy: Some(policy),
            min_entries: Some(2),
            ..FeedConfig::default()
        };
        config.check().unwrap()
    }

    fn nets(texts: impl IntoIterator<Item = String>) -> Networks {
        let parsed = texts.into_iter().map(|t| t.parse::<Cidr>().unwrap());
        let mut all: Networks = parsed.collect();
        all.merge(8, 19);
        all
    }

    fn hosts(range: std::ops::Range<u8>) -> impl Iterator<Item = String> {
        range.map(|n| format!("9.{n}.0.1/32"))
    }

    fn verdict(new: &Networks, last: Networks) -> Verdict {
        let last = Baseline {
            networks: last,
            is_terminated: true,
        };
        judge(&feed(Policy::Drop), new, true, Some(&last)).0
    }

    #[test]
    fn half_of_the_networks_may_change_either_way() {
        let last = || nets(hosts(0..100));
        for good in [0..100, 0..50, 0..150, 40..100] {
            assert_eq!(
                verdict(&nets(hosts(good.clone())), last()),
                Verdict::Good,
                "{good:?}"
            );
        }
        for held in [0..49, 0..151, 51..151, 100..200] {
            let verdict = verdict(&nets(hosts(held.clone())), last());
            assert!(matches!(verdict, Verdict::Held(_)), "{held:?}: {verdict:?}");
        }
    }

    #[test]
    fn addresses_count_where_networks_hardly_change() {
        let with = |wide: &str| nets(hosts(0..100).chain([wide.to_owned()]));
        let (lost, gained) = (
            verdict(&nets(hosts(0..100)), with("8.0.0.0/12")),
            verdict(&with("8.0.0.0/12"), with("8.0.0.0/14")),
        );
        assert!(matches!(lost, Verdict::Held(_)), "{lost:?}");
        assert!(matches!(gained, Verdict::Held(_)), "{gained:?}");
        let split = nets(hosts(0..100).chain(["8.0.0.0/13", "8.8.0.0/13"].map(str::to_owned)));
        assert_eq!(verdict(&split, with("8.0.0.0/12")), Verdict::Good);
    }

    #[test]
    fn few_networks_much_of_the_internet_and_a_cut_line() {
        let few = judge(&feed(Policy::Drop), &nets(hosts(0..1)), true, None).0;
        assert!(matches!(few, Verdict::Refused(text) if text.starts_with("it has 1 network that")));
        let much = nets((0..80).map(|n| format!("{}.0.0.0/8", n + 20)));
        for (policy, share) in [(Policy::Drop, "1/4"), (Policy::Ignore, "1/16")] {
            let verdict = judge(&feed(policy), &much, true, None).0;
            assert!(matches!(verdict, Verdict::Refused(text) if text.contains(share)));
        }
        let last = Baseline {
            networks: nets(hosts(0..9)),
            is_terminated: true,
        };
        let cut = judge(&feed(Policy::Drop), &nets(hosts(0..9)), false, Some(&last)).0;
        assert!(matches!(cut, Verdict::Held(_)));
    }
}
