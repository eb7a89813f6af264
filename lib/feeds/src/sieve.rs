//! What of a list is taken: neither bogons, nor what is too wide, nor what this host needs.
//!
//! Guarantees: an entry is taken or dropped as a whole, and each that is dropped is counted by its reason. What does not
//! depend on the host is dropped before a list is stored; what does, each time before it goes to the daemon, since addresses
//! and the ignore list change without the feed.

use std::sync::LazyLock;

use couic_common::{Cidr, Networks, Policy};
use serde::{Deserialize, Serialize};

use crate::config::Feed;

/// Entries that are not in force, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dropped {
    /// They cannot be read.
    pub unreadable: u64,
    /// They are there twice.
    pub duplicate: u64,
    /// Private, reserved or documentation networks, or networks that hold one.
    pub bogon: u64,
    /// Their prefix is shorter than the feed may have.
    pub wide: u64,
    /// Of policy drop: they hold an address of this host, or a gateway.
    pub own: u64,
    /// Of policy drop: the daemon's ignore list protects all of it.
    pub protected: u64,
}

impl Dropped {
    /// The reasons with their counts, for messages and metrics.
    #[must_use]
    pub const fn by_reason(&self) -> [(&'static str, u64); 6] {
        [
            ("unreadable", self.unreadable),
            ("duplicate", self.duplicate),
            ("bogon", self.bogon),
            ("wide", self.wide),
            ("own", self.own),
            ("protected", self.protected),
        ]
    }

    /// All of them in words, empty if there is none.
    #[must_use]
    pub fn told(&self) -> String {
        let some = self.by_reason().into_iter().filter(|(_, count)| *count > 0);
        let words: Vec<String> = some.map(|(why, count)| format!("{count} {why}")).collect();
        words.join(", ")
    }
}

/// Sources that no packet from the Internet has: RFC 6890 and its registries. Of IPv6, all but 2000::/3 is one.
const BOGONS: [&str; 22] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "::/3",
    "4000::/2",
    "8000::/1",
    "2001:2::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:db8::/32",
    "3fff::/20",
];

static BOGON_NETWORKS: LazyLock<Networks> = LazyLock::new(|| {
    let parsed = BOGONS.iter().filter_map(|text| text.parse::<Cidr>().ok());
    let mut all: Networks = parsed.collect();
    all.merge(0, 0);
    all
});

/// Sorts the list, and drops what no host takes from this feed.
pub(crate) fn clean(networks: &mut Networks, feed: &Feed) -> Dropped {
    let mut dropped = Dropped {
        duplicate: networks.sort() as u64,
        ..Dropped::default()
    };
    networks.retain(|cidr| {
        let widest = if cidr.is_ipv4() {
            feed.widest_v4
        } else {
            feed.widest_v6
        };
        let is_bogon = !feed.allow_bogons && BOGON_NETWORKS.touches(cidr);
        let is_wide = cidr.prefix() < widest;
        dropped.bogon += u64::from(is_bogon);
        dropped.wide += u64::from(is_wide && !is_bogon);
        !is_bogon && !is_wide
    });
    dropped
}

/// What this host and the daemon need, merged.
#[derive(Debug, Default)]
pub(crate) struct Needed {
    /// Its addresses and gateways.
    pub(crate) own: Networks,
    /// The daemon's ignore list.
    pub(crate) ignored: Networks,
}

impl Needed {
    /// Drops what a drop of would cut this host off, and what would be dropped in vain. A network that holds more than what
    /// is ignored stays: the daemon lets pass what is ignored, and drops the rest.
    pub(crate) fn spare(&self, networks: &mut Networks, policy: Policy, dropped: &mut Dropped) {
        if policy == Policy::Ignore {
            return;
        }
        networks.retain(|cidr| {
            let is_own = self.own.touches(cidr);
            let is_protected = !is_own && self.ignored.covers(cidr);
            dropped.own += u64::from(is_own);
            dropped.protected += u64::from(is_protected);
            !is_own && !is_protected
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FeedConfig;

    fn feed(json: &str) -> Feed {
        let config: FeedConfig = serde_json::from_str(json).unwrap();
        config.check().unwrap()
    }

    fn nets(texts: &[&str]) -> Networks {
        texts.iter().map(|t| t.parse::<Cidr>().unwrap()).collect()
    }

    fn shown(networks: &Networks) -> Vec<String> {
        networks.iter().map(|cidr| cidr.to_string()).collect()
    }

    #[test]
    fn bogons_and_wide_networks_are_dropped_and_counted() {
        let mut list = nets(&[
            "0.0.0.0/0",
            "0.0.0.0/2",
            "10.1.0.0/16",
            "100.64.0.1/32",
            "127.0.0.1/32",
            "169.254.169.254/32",
            "172.31.0.0/16",
            "192.0.2.1/32",
            "192.168.1.0/24",
            "198.18.0.0/16",
            "198.51.100.0/24",
            "203.0.113.9/32",
            "224.0.0.0/3",
            "255.255.255.255/32",
            "::/0",
            "::1/128",
            "::ffff:0:0/96",
            "64:ff9b::/96",
            "fe80::1/128",
            "fd00::/8",
            "ff02::1/128",
            "2001:db8::/48",
            "3fff::1/128",
            "5f00::/16",
            "192.0.0.0/12",
            // Taken.
            "1.2.3.4/32",
            "172.32.0.0/16",
            "100.128.0.0/10",
            "2606:4700::/32",
            "2002::/48",
            "1.2.3.4/32",
            // Too wide.
            "11.0.0.0/8",
            "2600::/20",
        ]);
        let dropped = clean(&mut list, &feed(r#"{"name":"x","asn":1}"#));
        let taken = [
            "1.2.3.4/32",
            "100.128.0.0/10",
            "172.32.0.0/16",
            "2002::/48",
            "2606:4700::/32",
        ];
        assert_eq!(shown(&list), taken);
        let expected = Dropped {
            duplicate: 1,
            bogon: 25,
            wide: 2,
            ..Dropped::default()
        };
        assert_eq!(dropped, expected);
        assert_eq!(dropped.told(), "1 duplicate, 25 bogon, 2 wide");
        let mut own = nets(&["10.0.0.0/8", "192.168.7.0/24"]);
        let narrow = r#"{"name":"x","asn":1,"allow_bogons":true,"widest_ipv4":16}"#;
        clean(&mut own, &feed(narrow));
        assert_eq!(shown(&own), ["192.168.7.0/24"]);
    }

    #[test]
    fn what_the_host_needs_is_spared_in_drop_alone() {
        let needed = Needed {
            own: nets(&["1.2.3.4/32"]),
            ignored: nets(&["5.0.0.0/16"]),
        };
        let list = ["1.2.3.0/24", "1.2.4.0/24", "5.0.0.0/8", "5.0.7.0/24"];
        let (mut drop, mut dropped) = (nets(&list), Dropped::default());
        needed.spare(&mut drop, Policy::Drop, &mut dropped);
        assert_eq!(shown(&drop), ["1.2.4.0/24", "5.0.0.0/8"]);
        assert_eq!((dropped.own, dropped.protected), (1, 1));
        let mut ignore = nets(&list);
        needed.spare(&mut ignore, Policy::Ignore, &mut dropped);
        assert_eq!(shown(&ignore), list);
    }
}
