//! What callers hand over, and the compact form in which it is held.

use std::{sync::Arc, time::Duration};

use couic_common::{Cidr, Metadata, Tag, TagError};
use ipnetwork::IpNetwork;
use serde_json::{Map, Value};

/// The longest `kind` that is kept, in bytes.
const LONGEST_KIND: usize = 64;

/// The longest `detail` that is kept, in bytes; the daemon stores 200 and reports the whole.
const LONGEST_DETAIL: usize = 1024;

/// The longest `extra` that is kept, in bytes of JSON.
const LONGEST_EXTRA: usize = 4096;

/// When a rule ends that does not.
pub(crate) const NEVER: u64 = u64::MAX;

/// A ban.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// The network to drop; host bits are masked.
    pub cidr: IpNetwork,
    /// The label of the claim; empty for none.
    pub tag: String,
    /// When it ends, Unix seconds by the clock of this machine; 0 = never.
    pub until: u64,
    /// The kind of source, such as `couicmon`: at most 64 bytes are kept.
    pub kind: String,
    /// Why, for `couicctl why` and reports: at most 1,024 bytes are kept. The daemon stores the first 200 as the reason of
    /// the rule, and at most 65,535 different ones: it should name the jail or the list, and leave the rest to `extra`.
    pub detail: String,
    /// Further data for reports. Left out, and counted, if it is larger than 4 KiB of JSON.
    pub extra: Map<String, Value>,
}

/// Bounds of an injector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long rules are gathered after the first, at most 100 ms: a longer time is taken as that.
    pub gather: Duration,
    /// How many rules and removals are held, at least 1.
    pub held: usize,
    /// How many bytes their texts may have (kind, detail, extra).
    pub bytes: usize,
}

impl Default for Limits {
    /// 50 ms, 262,144 rules, 128 MiB.
    fn default() -> Self {
        Self {
            gather: Duration::from_millis(50),
            held: 262_144,
            bytes: 128 << 20,
        }
    }
}

/// What a claim of ours is known by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) cidr: Cidr,
    /// Empty for none.
    pub(crate) tag: Arc<str>,
}

impl Key {
    pub(crate) fn new(cidr: IpNetwork, tag: &str) -> Result<Self, TagError> {
        Tag::parse(tag)?;
        Ok(Self {
            cidr: cidr.into(),
            tag: tag.into(),
        })
    }
}

/// The texts of a ban. `extra` is JSON: as text it takes a fifth of the memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) kind: Arc<str>,
    pub(crate) detail: Box<str>,
    pub(crate) extra: Option<Box<str>>,
}

impl Texts {
    /// The texts of a rule, and whether something had to be left out.
    pub(crate) fn of(mut rule: Rule) -> (Self, bool) {
        let kind = cut(&rule.kind, LONGEST_KIND);
        let detail = cut(&rule.detail, LONGEST_DETAIL).len();
        let json = (!rule.extra.is_empty()).then(|| serde_json::to_string(&rule.extra));
        let extra = json.and_then(|json| json.ok().filter(|json| json.len() <= LONGEST_EXTRA));
        let is_cut = kind.len() < rule.kind.len()
            || detail < rule.detail.len()
            || extra.is_none() != rule.extra.is_empty();
        rule.detail.truncate(detail);
        let texts = Self {
            kind: kind.into(),
            detail: rule.detail.into(),
            extra: extra.map(Into::into),
        };
        (texts, is_cut)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.kind.len() + self.detail.len() + self.extra.as_ref().map_or(0, |text| text.len())
    }

    pub(crate) fn metadata(&self) -> Metadata {
        let extra = self.extra.as_deref();
        Metadata {
            kind: self.kind.to_string(),
            detail: self.detail.to_string(),
            extra: extra.and_then(|text| serde_json::from_str(text).ok()),
        }
    }
}

/// The beginning of a text, at most so many bytes.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_texts_are_cut_and_a_large_extra_is_left_out() {
        let mut rule = Rule {
            cidr: "192.0.2.1/32".parse().unwrap(),
            tag: "t".into(),
            until: 0,
            kind: "test".into(),
            detail: "why".into(),
            extra: Map::new(),
        };
        let (texts, is_cut) = Texts::of(rule.clone());
        assert!(!is_cut && texts.extra.is_none() && texts.metadata().extra.is_none());
        rule.extra.insert("b".into(), json!([1, {"a": null}]));
        rule.extra.insert("a".into(), json!("text"));
        let (texts, is_cut) = Texts::of(rule.clone());
        assert!(!is_cut);
        assert_eq!(texts.metadata().extra, Some(rule.extra.clone()));
        rule.detail = "é".repeat(LONGEST_DETAIL);
        rule.extra
            .insert("c".into(), json!("x".repeat(LONGEST_EXTRA)));
        let (texts, is_cut) = Texts::of(rule.clone());
        assert!(is_cut && texts.extra.is_none());
        assert_eq!(texts.detail.len(), LONGEST_DETAIL);
        assert_eq!(texts.bytes(), LONGEST_DETAIL + 4);
    }
}
