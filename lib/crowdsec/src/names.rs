//! Tags and reasons: few different texts, of which each rule holds a number.

use std::{collections::HashMap, sync::Arc};

use crate::decision::Decision;

/// The longest tag of Couic.
const LONGEST_TAG: usize = 64;

/// The most different tags; what comes behind them shares one. The daemon has room for some thousand.
const MOST_TAGS: usize = 512;

/// The most different reasons, and the longest. The daemon keeps 65,535 of 200 bytes, for all of its clients.
const MOST_REASONS: usize = 16_384;
const LONGEST_REASON: usize = 200;

/// What every tag begins with. Tokens are limited to it: `cs-*`.
pub(crate) const PREFIX: &str = "cs-";

/// A tag of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Tag(u16);

impl Tag {
    pub(crate) const FIRST: Self = Self(u16::MIN);
    pub(crate) const LAST: Self = Self(u16::MAX);
}

/// A reason of this run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reason(u16);

/// All texts, by number.
#[derive(Debug)]
pub(crate) struct Names {
    tags: Texts,
    reasons: Texts,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            tags: Texts::with("cs-other"),
            reasons: Texts::with(""),
        }
    }
}

impl Names {
    /// The tag of a decision's origin.
    pub(crate) fn tag_of(&mut self, decision: &Decision<'_>) -> Tag {
        let tag = tag_text(&decision.origin, &decision.scenario);
        Tag(self.tags.number(&tag, MOST_TAGS))
    }

    /// A tag of the daemon.
    pub(crate) fn tag(&mut self, text: &str) -> Tag {
        Tag(self.tags.number(text, MOST_TAGS))
    }

    /// The reason of a decision: its scenario.
    pub(crate) fn reason_of(&mut self, decision: &Decision<'_>) -> Reason {
        let text = &decision.scenario;
        let text = &text[..text.floor_char_boundary(LONGEST_REASON)];
        Reason(self.reasons.number(text, MOST_REASONS))
    }

    pub(crate) fn tag_name(&self, tag: Tag) -> Arc<str> {
        self.tags.text(tag.0)
    }

    pub(crate) fn reason_name(&self, reason: Reason) -> Arc<str> {
        self.reasons.text(reason.0)
    }
}

/// `cs-ORIGIN`, for a subscribed list `cs-lists-NAME`. What tags cannot have becomes a hyphen.
fn tag_text(origin: &str, scenario: &str) -> String {
    let whole = match origin {
        "" => "unknown".to_owned(),
        // The name of a list is in the scenario.
        "lists" if !scenario.is_empty() => format!("lists-{scenario}"),
        origin => origin.to_owned(),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let inner = whole.chars().map(|c| if fits(c) { c } else { '-' });
    PREFIX.chars().chain(inner).take(LONGEST_TAG).collect()
}

/// Different texts. The first stands for those that find no room.
#[derive(Debug)]
struct Texts {
    all: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u16>,
}

impl Texts {
    fn with(first: &str) -> Self {
        let first: Arc<str> = first.into();
        Self {
            all: vec![Arc::clone(&first)],
            numbers: HashMap::from([(first, 0)]),
        }
    }

    fn number(&mut self, text: &str, most: usize) -> u16 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let Some(number) = u16::try_from(self.all.len())
            .ok()
            .filter(|_| self.all.len() < most)
        else {
            return 0;
        };
        let shared: Arc<str> = text.into();
        self.all.push(Arc::clone(&shared));
        self.numbers.insert(shared, number);
        number
    }

    fn text(&self, number: u16) -> Arc<str> {
        let text = self.all.get(usize::from(number));
        text.map_or_else(|| Arc::clone(&self.all[0]), Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_name_the_origin_and_are_tags() {
        let long = "x".repeat(100);
        for (origin, scenario, expected) in [
            ("CAPI", "crowdsecurity/ssh-bf", "cs-CAPI"),
            ("cscli-import", "x", "cs-cscli-import"),
            (
                "lists",
                "firehol_botscout_7d",
                "cs-lists-firehol_botscout_7d",
            ),
            ("lists", "", "cs-lists"),
            ("lists:firehol", "x", "cs-lists-firehol"),
            ("", "x", "cs-unknown"),
            ("é .couic", "x", "cs----couic"),
            (&long, "x", &format!("cs-{}", "x".repeat(61))),
        ] {
            let tag = tag_text(origin, scenario);
            assert_eq!(tag, expected);
            assert!(couic_common::Tag::parse(&tag).is_ok(), "{tag}");
        }
    }

    #[test]
    fn texts_are_kept_once_and_bounded() {
        let mut texts = Texts::with("other");
        assert_eq!((texts.number("a", 3), texts.number("b", 3)), (1, 2));
        assert_eq!((texts.number("a", 3), texts.number("c", 3)), (1, 0));
        assert_eq!((&*texts.text(2), &*texts.text(9)), ("b", "other"));
    }
}
