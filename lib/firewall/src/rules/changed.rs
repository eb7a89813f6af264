//! The effect of a change of a rule's claims, as events tell it: whether the rule came, went, or goes on under another's
//! claim, and whose claim it was.

use couic_common::{Reason, Reasons};

use super::{
    EventKind,
    packed::{Claims, OwnerId, PackedClaim},
};
use crate::dataplane::TagSlot;

/// A change of a rule's claims, as events tell it.
pub(super) struct Changed {
    pub(super) kind: EventKind,
    /// The claim that is shown, or was shown before the rule went.
    pub(super) shown: PackedClaim,
    /// The tag that was shown before, if the rule was there.
    pub(super) former: TagSlot,
    /// Its reason, which may not be kept any more when this is told.
    pub(super) reason: Option<Reason>,
    /// When the rule ends.
    pub(super) expiration: u64,
    /// Whether the entry shown is another one.
    pub(super) is_visible: bool,
    /// Whose claim changed.
    pub(super) owner: OwnerId,
}

impl Changed {
    /// None if there was no claim before, and there is none now.
    pub(super) fn between(old: &Claims, new: &Claims, reasons: &Reasons) -> Option<Self> {
        let (before, after) = (old.plane_rule(), new.plane_rule());
        let written = new.iter().find(|claim| old.like(claim) != Some(*claim));
        let ended = || old.iter().find(|claim| new.like(claim).is_none());
        let kind = match (before, after, written) {
            (None, Some(_), _) => EventKind::Added,
            (Some(_), None, _) => EventKind::Removed,
            (Some(_), Some(_), Some(_)) => EventKind::Updated,
            (Some(_), Some(_), None) => EventKind::Released,
            (None, None, _) => return None,
        };
        let shown = *new.shown().or_else(|| old.shown())?;
        let slot_before = old.shown().map(|claim| claim.slot);
        let reason_before = old.shown().map(|claim| claim.reason);
        Some(Self {
            kind,
            shown,
            former: slot_before.unwrap_or(shown.slot),
            reason: reasons.get(shown.reason).cloned(),
            expiration: after.or(before)?.deadline,
            is_visible: before != after || reason_before != Some(shown.reason),
            owner: written.or_else(ended).or_else(|| new.shown())?.owner,
        })
    }
}
