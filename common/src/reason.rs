//! Why a rule is there: a short text that is stored with each claim.
//!
//! Reasons come from outside and are kept for as long as their rules, so that each is bounded, safe to print, and stored
//! once however many rules have it: see [`Reasons`].

use std::{
    borrow::{Borrow, Cow},
    collections::HashMap,
    fmt,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

/// A text of 1 to [`Reason::MAX`] bytes without characters that control a terminal. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(Arc<str>);

impl Reason {
    /// The most bytes.
    pub const MAX: usize = 200;

    /// Takes what can be kept of a text: characters that control a terminal or the direction of writing become `?`, and
    /// it is cut after [`Reason::MAX`] bytes. None if it is blank.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        Self::kept(text).map(|kept| Self(kept.into()))
    }

    fn kept(text: &str) -> Option<Cow<'_, str>> {
        let text = cut(text.trim());
        if text.is_empty() || !text.contains(is_unsafe) {
            return Some(Cow::Borrowed(text)).filter(|text| !text.is_empty());
        }
        // Each becomes a single byte, so that this is not longer.
        Some(Cow::Owned(text.replace(is_unsafe, "?")))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The first bytes of a text, up to [`Reason::MAX`] and to the end of a character.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(Reason::MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].trim_end()
}

/// Whether a character may not be printed as it is: it controls the terminal, or hides or turns what is around it.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Joiners stay: scripts and emoji need them.
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Borrow<str> for Reason {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Reason {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::of(&text).ok_or("the reason is empty")
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0.as_ref().to_owned()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Reason {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        String::schema()
    }
}

#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Reason {}

/// The number of a reason in [`Reasons`], or none: two bytes, which fit in beside what a rule has already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReasonId(u16);

impl ReasonId {
    /// No reason.
    pub const NONE: Self = Self(0);
}

/// Whose reason is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasonOf {
    /// This node's: of its clients.
    Own,
    /// A peer's. Peers may fill half of the places, so that none keeps this node from telling its own reasons.
    Peer,
}

/// Reasons by number, each kept once and for as long as it is held.
///
/// At most [`Reasons::MAX`] different ones, of [`Reason::MAX`] bytes: about 18 MB. What is beyond is not kept, and counted.
#[derive(Debug, Default)]
pub struct Reasons {
    ids: HashMap<Reason, ReasonId>,
    /// The reason with the number `index + 1`, and how often it is held.
    kept: Vec<(Option<Reason>, usize)>,
    free: Vec<ReasonId>,
    not_kept: u64,
}

impl Reasons {
    /// The most reasons.
    pub const MAX: usize = u16::MAX as usize;

    /// Holds what can be kept of a text once more. [`ReasonId::NONE`] if that is nothing, or there is no place.
    pub fn hold_text(&mut self, text: &str, whose: ReasonOf) -> ReasonId {
        Reason::kept(text).map_or(ReasonId::NONE, |kept| {
            self.hold_or_insert(&kept, || Reason(kept.as_ref().into()), whose)
        })
    }

    /// The same for a reason.
    pub fn hold_reason(&mut self, reason: Option<&Reason>, whose: ReasonOf) -> ReasonId {
        reason.map_or(ReasonId::NONE, |reason| {
            self.hold_or_insert(reason.as_str(), || reason.clone(), whose)
        })
    }

    fn hold_or_insert(
        &mut self,
        text: &str,
        reason: impl FnOnce() -> Reason,
        whose: ReasonOf,
    ) -> ReasonId {
        let Some(id) = self.ids.get(text).copied() else {
            return self.insert(reason(), whose);
        };
        self.hold(id);
        id
    }

    fn insert(&mut self, reason: Reason, whose: ReasonOf) -> ReasonId {
        let Some(id) = self.place(whose) else {
            self.not_kept += 1;
            return ReasonId::NONE;
        };
        self.ids.insert(reason.clone(), id);
        self.kept[usize::from(id.0) - 1] = (Some(reason), 1);
        id
    }

    fn place(&mut self, whose: ReasonOf) -> Option<ReasonId> {
        if !self.has_place(whose) {
            return None;
        }
        if let Some(id) = self.free.pop() {
            return Some(id);
        }
        let id = u16::try_from(self.kept.len() + 1).ok().map(ReasonId)?;
        self.kept.push((None, 0));
        Some(id)
    }

    const fn most(whose: ReasonOf) -> usize {
        match whose {
            ReasonOf::Own => Self::MAX,
            ReasonOf::Peer => Self::MAX / 2,
        }
    }

    fn has_place(&self, whose: ReasonOf) -> bool {
        self.ids.len() < Self::most(whose)
    }

    /// Whether a reason would be kept now.
    #[must_use]
    pub fn would_keep(&self, reason: &Reason, whose: ReasonOf) -> bool {
        self.ids.contains_key(reason) || self.has_place(whose)
    }

    /// Holds a reason that is kept once more.
    pub fn hold(&mut self, id: ReasonId) {
        if let Some(at) = usize::from(id.0).checked_sub(1) {
            self.kept[at].1 += 1;
        }
    }

    /// Lets go of a reason once; with the last time it is not kept any more.
    pub fn release(&mut self, id: ReasonId) {
        let Some(at) = usize::from(id.0).checked_sub(1) else {
            return;
        };
        let (reason, held) = &mut self.kept[at];
        *held = held.saturating_sub(1);
        if *held == 0
            && let Some(reason) = reason.take()
        {
            self.ids.remove(&reason);
            self.free.push(id);
        }
    }

    /// A reason that is held.
    #[must_use]
    pub fn get(&self, id: ReasonId) -> Option<&Reason> {
        let at = usize::from(id.0).checked_sub(1)?;
        self.kept.get(at)?.0.as_ref()
    }

    /// How many different ones are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How many were not kept, for want of a place.
    #[must_use]
    pub const fn not_kept(&self) -> u64 {
        self.not_kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_short_and_safe_to_print() {
        let of = |text: &str| Reason::of(text).map(|reason| reason.to_string());
        assert_eq!(
            of("  sshd: 5 failures\n"),
            Some("sshd: 5 failures".to_owned())
        );
        assert_eq!(of("a\u{1b}[2J\nb\u{202e}c"), Some("a?[2J?b?c".to_owned()));
        assert_eq!((of(""), of(" \n ")), (None, None));
        let long = of(&format!("{}é", "x".repeat(Reason::MAX - 1))).unwrap();
        assert_eq!(long, "x".repeat(Reason::MAX - 1), "cut between characters");
        let wide = of(&"\u{202e}".repeat(Reason::MAX)).unwrap();
        assert!(wide.len() <= Reason::MAX && wide.bytes().all(|b| b == b'?'));
    }

    #[test]
    fn the_wire_form_is_a_text() {
        let reason: Reason = serde_json::from_str("\"a\\u0007b\"").unwrap();
        assert_eq!(serde_json::to_string(&reason).unwrap(), "\"a?b\"");
        assert!(serde_json::from_str::<Reason>("\" \"").is_err());
    }

    #[test]
    fn a_reason_is_kept_once_and_while_it_is_held() {
        let mut all = Reasons::default();
        let one = all.hold_text("sshd", ReasonOf::Own);
        let same = all.hold_reason(Reason::of("sshd").as_ref(), ReasonOf::Peer);
        assert_eq!((one, all.len()), (same, 1));
        all.release(one);
        assert_eq!(all.get(one).unwrap().as_str(), "sshd");
        all.release(one);
        assert!(all.is_empty() && all.get(one).is_none());
        assert_eq!(all.hold_text("other", ReasonOf::Own), one, "its place");
        assert_eq!(all.hold_text(" ", ReasonOf::Own), ReasonId::NONE);
        all.release(ReasonId::NONE);
    }

    #[test]
    fn peers_fill_half_of_the_places_and_what_is_beyond_is_counted() {
        let mut all = Reasons::default();
        let mut fill = |from: usize, whose| {
            (from..=Reasons::MAX)
                .take_while(|n| all.hold_text(&format!("r{n}"), whose) != ReasonId::NONE)
                .count()
        };
        assert_eq!(fill(0, ReasonOf::Peer), Reasons::MAX / 2);
        assert_eq!(
            fill(1 << 15, ReasonOf::Own),
            Reasons::MAX - Reasons::MAX / 2
        );
        assert_eq!((all.len(), all.not_kept()), (Reasons::MAX, 1));
        let last = Reason::of("r1").unwrap();
        assert!(all.would_keep(&last, ReasonOf::Peer));
        assert!(!all.would_keep(&Reason::of("new").unwrap(), ReasonOf::Own));
        let id = all.hold_reason(Some(&last), ReasonOf::Peer);
        all.release(id);
        all.release(id);
        assert_ne!(all.hold_text("new", ReasonOf::Own), ReasonId::NONE);
    }
}
