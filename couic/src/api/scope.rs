//! The limits of the client's token, at the doors through which rules change.
//!
//! A client with limits passes no door but those that ask here: [`enter`] refuses it everything else that is not a read,
//! so that a new route is closed to it until it is marked `scoped` in the table and asks. What the limits refuse is a 403:
//! the client is known, and its group may do this.

use std::time::Instant;

use couic_common::{Cidr, ClientName, OwnerKind, RuleKey, SetName, Tag, TagPattern};
use couic_firewall::rules::ClaimRequest;

use super::{
    call::{Call, Params},
    error::Fault,
    guard::Asked,
    table::{Operation, Verb},
};
use crate::rbac::{Identity, Refusal, Scope, Wait};

/// Whether a client may use an operation at all.
///
/// # Errors
/// 403.
pub(super) fn enter(who: Option<&Identity>, to: &Operation, params: &Params) -> Result<(), Fault> {
    let Some((name, scope)) = limited(who) else {
        return Ok(());
    };
    if to.verb == Verb::Get {
        return Ok(());
    }
    if !to.scoped {
        let only = match to.doc.id {
            "reload_sets" => "may not reload sets, which would load those of others",
            "create_set" => "changes sets with ?apply=true only",
            _ => "changes only rules, and the sets that its limits name",
        };
        let message = format!("the client {name} has limits, and {only}");
        return Err(Fault::forbidden(None, message));
    }
    let policy = params.policy.map_or(Ok(()), |policy| scope.policy(policy));
    policy.map_err(|refusal| refused(name, &refusal))
}

/// Whether the client may add or renew these rules at `now`, and have them all at once.
///
/// # Errors
/// 403, 429.
pub(super) fn add(call: &Call, rules: &[ClaimRequest], now: u64) -> Result<(), Fault> {
    let Some((name, scope)) = limited(call.who.as_deref()) else {
        return Ok(());
    };
    for rule in rules {
        let may = scope.add(rule, now);
        may.map_err(|refusal| refused(name, &refusal))?;
    }
    let room = scope.take(rules.len(), Instant::now());
    room.map_err(|wait| too_many(name, wait))
}

/// Whether the client may change this set: with its rules only, since a reload is closed to it.
///
/// # Errors
/// 403.
pub(super) fn set(call: &Call, set: &SetName, applies: bool) -> Result<(), Fault> {
    let Some((name, scope)) = limited(call.who.as_deref()) else {
        return Ok(());
    };
    let may = scope.set(set);
    may.map_err(|refusal| refused(name, &refusal))?;
    if !applies {
        let message =
            format!("the client {name} has limits, and changes sets with ?apply=true only");
        return Err(Fault::forbidden(Some("apply"), message));
    }
    Ok(())
}

/// Whether a set of the client may have these entries.
///
/// # Errors
/// 403 that names one.
pub(super) fn entries(call: &Call, entries: &[Cidr]) -> Result<(), Fault> {
    let Some((name, scope)) = limited(call.who.as_deref()) else {
        return Ok(());
    };
    let mut entries = entries.iter();
    let may = entries.try_for_each(|cidr| scope.width(*cidr));
    may.map_err(|refusal| refused(name, &refusal))
}

/// Whether the client may release the claim with this tag or, if that is None, all of its claims.
///
/// # Errors
/// 403.
pub(super) fn remove(call: &Call, key: RuleKey, tag: Option<&Option<Tag>>) -> Result<(), Fault> {
    let Some((name, scope)) = limited(call.who.as_deref()) else {
        return Ok(());
    };
    let may = match tag {
        Some(tag) => scope.tag(tag.as_ref()),
        None => {
            // Claims from before it had limits. Those of unknown clients are released, too.
            let is_own = |owner: Option<&String>| owner.is_none_or(|owner| *owner == name.as_str());
            let owners = call.firewall().entry_with_owners(key).map(|e| e.owners);
            let mut owners = owners.into_iter().flatten();
            owners.try_for_each(|owner| {
                if owner.kind == OwnerKind::Client && is_own(owner.name.as_ref()) {
                    scope.tag(owner.tag.as_ref())
                } else {
                    Ok(())
                }
            })
        }
    };
    may.map_err(|refusal| refused(name, &refusal))
}

/// Of the claims that a pattern means those that the client may release.
///
/// # Errors
/// 403 if it names a tag, without a wildcard, that is out of scope.
pub(super) fn within(call: &Call, pattern: TagPattern) -> Result<TagPattern, Fault> {
    match limited(call.who.as_deref()) {
        None => Ok(pattern),
        Some((name, scope)) => {
            let narrowed = scope.within(pattern);
            narrowed.map_err(|refusal| refused(name, &refusal))
        }
    }
}

/// Whether the client may ask for this of the guard rails: one with limits goes over none.
///
/// # Errors
/// 403.
pub(super) fn rails(call: &Call, asked: Asked<'_>) -> Result<(), Fault> {
    let lifts = asked.force || asked.guard.is_some_and(|guard| !guard.lift.is_empty());
    match limited(call.who.as_deref()) {
        Some((name, _)) if lifts => {
            let message = format!("the client {name} has limits, and may not go over guard rails");
            Err(Fault::forbidden(Some("force"), message))
        }
        _ => Ok(()),
    }
}

fn limited(who: Option<&Identity>) -> Option<(&ClientName, &Scope)> {
    let who = who?;
    Some((&who.name, who.scope.as_deref()?))
}

fn refused(name: &ClientName, refusal: &Refusal) -> Fault {
    Fault::forbidden(
        Some(refusal.field()),
        format!("the client {name} {refusal}"),
    )
}

fn too_many(name: &ClientName, wait: Wait) -> Fault {
    let seconds = match wait {
        Wait::Seconds { seconds, .. } => Some(seconds),
        Wait::Never { .. } => None,
    };
    Fault::rate_limited(seconds, format!("the client {name} {wait}"))
}
