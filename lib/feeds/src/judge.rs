//! Whether a new list may take the place of the last good one.
//!
//! Guarantees: a list that lost, or gained, more than the feed's share of its networks or addresses is held back, and so is
//! one whose last line is cut off where it was not before; one with fewer entries than the feed's least, or that covers a
//! part of the Internet that no feed covers, is refused. Both leave the last good list in force.

use couic_common::{Extent, Networks, Policy, counted};
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
    /// With the measure that has the largest share.
    pub(crate) fn between(old: &Networks, new: &Networks) -> (Self, Measure) {
        let (before, after) = (old.extent(), new.extent());
        let (lost, gained) = (old.beyond(new), new.beyond(old));
        let (lost_most, gained_most) = (
            Measure::largest(lost, before, "gone"),
            Measure::largest(gained, before, "new"),
        );
        let most = lost_most.larger(gained_most);
        let change = Self {
            before: before.networks,
            after: after.networks,
            lost: lost.networks,
            gained: gained.networks,
            share: most.share,
        };
        (change, most)
    }
}

/// How much of a list changed, by one measure: its networks, or the addresses of a family that they cover.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measure {
    share: f64,
    part: u128,
    whole: u128,
    of: &'static str,
    became: &'static str,
}

impl Measure {
    fn new(part: u128, whole: u128, of: &'static str, became: &'static str) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a share in percent")]
        let share = match whole {
            // A first network of a family counts among the networks.
            0 => 0.0,
            whole => part as f64 / whole as f64,
        };
        Self {
            share,
            part,
            whole,
            of,
            became,
        }
    }

    fn largest(part: Extent, whole: Extent, became: &'static str) -> Self {
        let networks = Self::new(
            part.networks.into(),
            whole.networks.into(),
            "networks",
            became,
        );
        let v4 = Self::new(part.v4.into(), whole.v4.into(), "IPv4 addresses", became);
        let v6 = Self::new(part.v6, whole.v6, "IPv6 addresses", became);
        networks.larger(v4).larger(v6)
    }

    fn larger(self, other: Self) -> Self {
        if other.share > self.share {
            other
        } else {
            self
        }
    }

    /// Such as `256 of 257 IPv4 addresses are gone`.
    fn told(&self) -> String {
        let Self {
            part,
            whole,
            of,
            became,
            ..
        } = self;
        match whole >> 64 {
            0 if *became == "new" => format!("{part} {of} are new, to {whole} before"),
            0 => format!("{part} of {whole} {of} are {became}"),
            // Numbers of twenty digits and more tell nothing.
            _ => format!("{:.0} % of the {of} are {became}", self.share * 100.0),
        }
    }
}

/// Judges a merged list, of which so many entries are taken.
pub(crate) fn judge(
    feed: &Feed,
    new: &Networks,
    entries: u64,
    is_terminated: bool,
    last: Option<&Baseline>,
) -> (Verdict, Option<Change>) {
    let compared = last.map(|last| Change::between(&last.networks, new));
    let change = compared.map(|(change, _)| change);
    if let Some(refused) = refusal(feed, new.extent(), entries) {
        return (Verdict::Refused(refused), change);
    }
    let verdict = match (last, compared) {
        (Some(_), Some((change, most))) if change.share > feed.most_change => {
            Verdict::Held(format!(
                "{}, more than {:.0} %; {} before, {} now, {} gone, {} new",
                most.told(),
                feed.most_change * 100.0,
                format::networks(change.before),
                change.after,
                change.lost,
                change.gained
            ))
        }
        (Some(last), _) if last.is_terminated && !is_terminated => Verdict::Held(
            "its last line does not end, as that of the last list did: it may be cut off"
                .to_owned(),
        ),
        _ => Verdict::Good,
    };
    (verdict, change)
}

fn refusal(feed: &Feed, extent: Extent, entries: u64) -> Option<String> {
    if entries < feed.min_entries {
        return Some(format!(
            "it has {} that can be taken, fewer than min_entries = {}",
            counted(entries, "entry", "entries"),
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
        judge(&feed(Policy::Drop), new, 100, true, Some(&last)).0
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
    fn entries_that_merge_count_each_and_the_measure_that_holds_back_is_told() {
        let one = nets(["9.0.0.0/24".to_owned()]);
        let whole = judge(&feed(Policy::Drop), &one, 256, true, None).0;
        assert_eq!(whole, Verdict::Good);
        let two = nets(["9.0.0.0/24", "9.1.0.1/32"].map(str::to_owned));
        let held = verdict(&nets(["9.1.0.1/32".to_owned()]), two);
        let Verdict::Held(why) = held else {
            panic!("{held:?}");
        };
        assert!(
            why.starts_with("256 of 257 IPv4 addresses are gone, more than 50 %; 2 networks"),
            "{why}"
        );
    }

    #[test]
    fn few_networks_much_of_the_internet_and_a_cut_line() {
        let few = judge(&feed(Policy::Drop), &nets(hosts(0..1)), 1, true, None).0;
        assert!(matches!(few, Verdict::Refused(text) if text.starts_with("it has 1 entry that")));
        let much = nets((0..80).map(|n| format!("{}.0.0.0/8", n + 20)));
        for (policy, share) in [(Policy::Drop, "1/4"), (Policy::Ignore, "1/16")] {
            let verdict = judge(&feed(policy), &much, 80, true, None).0;
            assert!(matches!(verdict, Verdict::Refused(text) if text.contains(share)));
        }
        let last = Baseline {
            networks: nets(hosts(0..9)),
            is_terminated: true,
        };
        let cut = judge(
            &feed(Policy::Drop),
            &nets(hosts(0..9)),
            9,
            false,
            Some(&last),
        )
        .0;
        assert!(matches!(cut, Verdict::Held(_)));
    }
}
