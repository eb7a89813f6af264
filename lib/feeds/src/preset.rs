//! Lists that Couic knows: where they are, how they are written, how often their publishers want to be asked.

use couic_common::Policy;

use crate::config::{FeedConfig, FeedUrl, OneOrMore};

/// A list that Couic knows.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the fields are those of FeedConfig")]
pub struct Preset {
    pub name: &'static str,
    pub url: &'static str,
    pub format: &'static str,
    pub pointers: &'static [&'static str],
    pub policy: Policy,
    pub every: &'static str,
    /// About half of what the list has had for years.
    pub min_entries: u64,
    pub widest_v4: u8,
    pub widest_v6: u8,
}

/// A list to drop.
const DROP: Preset = Preset {
    name: "",
    url: "",
    format: "text",
    pointers: &[],
    policy: Policy::Drop,
    every: "1h",
    min_entries: 1,
    widest_v4: 10,
    widest_v6: 24,
};

/// A list of networks that are never dropped.
const IGNORE: Preset = Preset {
    format: "json",
    policy: Policy::Ignore,
    every: "12h",
    widest_v4: 16,
    widest_v6: 32,
    ..DROP
};

/// All presets.
pub const PRESETS: [Preset; 9] = [
    Preset {
        name: "spamhaus-drop",
        url: "https://www.spamhaus.org/drop/drop_v4.json",
        format: "ndjson",
        pointers: &["/cidr"],
        every: "12h",
        min_entries: 500,
        ..DROP
    },
    Preset {
        name: "spamhaus-drop-v6",
        url: "https://www.spamhaus.org/drop/drop_v6.json",
        format: "ndjson",
        pointers: &["/cidr"],
        every: "12h",
        min_entries: 20,
        ..DROP
    },
    Preset {
        name: "firehol-level1",
        url: "https://iplists.firehol.org/files/firehol_level1.netset",
        every: "6h",
        min_entries: 1_000,
        ..DROP
    },
    Preset {
        name: "tor-exits",
        url: "https://check.torproject.org/torbulkexitlist",
        min_entries: 300,
        widest_v4: 32,
        widest_v6: 128,
        ..DROP
    },
    Preset {
        name: "blocklist-de",
        url: "https://lists.blocklist.de/lists/all.txt",
        min_entries: 1_000,
        widest_v4: 24,
        widest_v6: 64,
        ..DROP
    },
    Preset {
        name: "aws",
        url: "https://ip-ranges.amazonaws.com/ip-ranges.json",
        pointers: &["/prefixes/*/ip_prefix", "/ipv6_prefixes/*/ipv6_prefix"],
        min_entries: 1_000,
        widest_v4: 10,
        widest_v6: 24,
        ..IGNORE
    },
    Preset {
        name: "cloudfront",
        url: "https://d7uri8nf7uskq.cloudfront.net/tools/list-cloudfront-ips",
        pointers: &["/*/*"],
        min_entries: 50,
        widest_v4: 13,
        ..IGNORE
    },
    Preset {
        name: "cloudflare",
        url: "https://api.cloudflare.com/client/v4/ips",
        pointers: &["/result/ipv4_cidrs/*", "/result/ipv6_cidrs/*"],
        min_entries: 10,
        widest_v4: 12,
        widest_v6: 29,
        ..IGNORE
    },
    Preset {
        name: "google-bots",
        url: "https://developers.google.com/static/search/apis/ipranges/googlebot.json",
        pointers: &["/prefixes/*/ipv4Prefix", "/prefixes/*/ipv6Prefix"],
        min_entries: 50,
        widest_v4: 19,
        widest_v6: 48,
        ..IGNORE
    },
];

/// The preset of this name.
pub(crate) fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}

impl Preset {
    /// The feed with what this says where it says nothing itself. A URL or a file of its own is a mirror: the format stays
    /// the preset's.
    pub(crate) fn below(&self, given: &FeedConfig) -> FeedConfig {
        let mut feed = given.clone();
        if feed.url.is_none() && feed.file.is_none() && feed.asn.is_none() {
            feed.url = Some(FeedUrl(self.url.to_owned()));
        }
        if feed.format.is_none() {
            feed.format = Some(self.format.to_owned());
            if feed.pointer.is_none() && !self.pointers.is_empty() {
                let pointers = self.pointers.iter().map(|p| (*p).to_owned());
                feed.pointer = Some(OneOrMore::More(pointers.collect()));
            }
        }
        feed.policy = feed.policy.or(Some(self.policy));
        feed.every = feed.every.or_else(|| Some(self.every.to_owned()));
        feed.min_entries = feed.min_entries.or(Some(self.min_entries));
        if feed.policy == Some(self.policy) {
            feed.widest_ipv4 = feed.widest_ipv4.or(Some(self.widest_v4));
            feed.widest_ipv6 = feed.widest_ipv6.or(Some(self.widest_v6));
        }
        feed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_preset_is_a_valid_feed_and_may_be_overridden() {
        for preset in PRESETS {
            let given = FeedConfig {
                name: preset.name.to_owned(),
                preset: Some(preset.name.to_owned()),
                ..FeedConfig::default()
            };
            let feed = given.check().unwrap();
            assert_eq!(
                (feed.policy, feed.min_entries),
                (preset.policy, preset.min_entries)
            );
            let mirror = FeedConfig {
                url: Some(FeedUrl("https://mirror.example/x".to_owned())),
                every: Some("2h".to_owned()),
                ..given
            };
            let mirrored = mirror.check().unwrap();
            assert_eq!(mirrored.source.to_string(), "https://mirror.example");
            assert_eq!(mirrored.format, feed.format);
        }
    }
}
