//! `couicctl drop delete` and `couicctl ignore delete`: an operator learns who still holds what, and what happens to the
//! sources now.

use std::{collections::BTreeMap, io};

use couic_client::{ClientError, ListQuery, Release};
use couic_common::{Cidr, Entry, OwnerKind, Policy, RuleOwner, Tag, TagPattern, UNTAGGED, counted};
use serde::Serialize;

use super::{
    Context,
    entries::{REMARKS, all, guard_of, is_forced, lookup, report},
    interrupt::watched,
};
use crate::{
    cli::{DeleteArgs, Which},
    failure::{Failure, print_warning, printable},
    input::{Network, Networks},
    render,
    suggest::did_you_mean,
};

/// One network of the command.
#[derive(Serialize)]
struct Deleted {
    policy: Policy,
    cidr: Cidr,
    /// Whether it was there, and is not any more.
    deleted: bool,
    #[serde(skip)]
    text: String,
}

pub(super) async fn run(policy: Policy, args: DeleteArgs, cx: &mut Context) -> Result<(), Failure> {
    if policy == Policy::Ignore {
        // Protection is not taken away from what a drop would then cut off.
        let force = is_forced(&args.force);
        cx.client = cx.client.guarded(guard_of(&args.force), force);
    }
    let DeleteArgs {
        which: Which { cidrs, tag },
        all_owners,
        if_exists,
        reason,
        confirm: _,
        force: _,
    } = args;
    let which = Release {
        tag,
        all_owners,
        reason,
    };
    if cidrs.is_empty() {
        return by_tag(policy, &which, if_exists, cx).await;
    }
    networks(policy, &cidrs, &which, if_exists, cx).await
}

/// Deletes one network after the other. A refusal does not keep the others from being deleted.
async fn networks(
    policy: Policy,
    cidrs: &[Networks],
    which: &Release,
    if_exists: bool,
    cx: &mut Context,
) -> Result<(), Failure> {
    let networks = all(cidrs);
    let (mut done, mut failures, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    for network in &networks {
        asked.push(network.cidr);
        match one(policy, network, which, if_exists, cx).await {
            Ok(deleted) => done.push(deleted),
            Err(failure) => {
                let goes_on = matches!(failure, Failure::Refused(_));
                failures.push(failure);
                if !goes_on {
                    break;
                }
            }
        }
    }
    let lines = |out: &mut dyn io::Write| {
        let mut lines = done.iter().map(|one| printable(&one.text));
        lines.try_for_each(|line| writeln!(out, "{line}"))
    };
    match (&networks[..], &done[..]) {
        (_, []) => {}
        ([_], [only]) => cx.output.show(only, lines)?,
        _ => cx.output.show(&done, lines)?,
    }
    for cidr in asked.into_iter().take(REMARKS) {
        if let Some(lookup) = lookup(cidr, cx).await {
            render::after_delete((policy, cidr), &lookup, cx.output.writer())?;
        }
    }
    report(failures, cx)
}

async fn one(
    policy: Policy,
    Network { cidr, note }: &Network,
    which: &Release,
    if_exists: bool,
    cx: &Context,
) -> Result<Deleted, Failure> {
    let released = match &which.tag {
        Some(pattern) if pattern.contains(['*', ',']) => {
            let left = matching(policy, *cidr, pattern, which, cx).await;
            let none = || format!("you have no claim with a tag like {pattern} on {policy} {cidr}");
            left.map(|left| left.ok_or_else(none))
        }
        _ => cx.client.release(policy, *cidr, which).await.map(Ok),
    };
    let (deleted, text) = match released {
        Ok(Ok(left)) if left.is_empty() => (true, format!("{cidr} deleted from {policy}.")),
        Ok(Ok(left)) => {
            let owners = RuleOwner::list(&left, cx.now());
            let text = format!("{cidr} released, and still in {policy}: held by {owners}.");
            (false, text)
        }
        Ok(Err(none)) if if_exists => (false, format!("Nothing to delete: {none}.")),
        Ok(Err(none)) => return Err(Failure::Refused(none).noted(note.as_deref())),
        Err(ClientError::Refused { status: 404, error }) if if_exists => {
            (false, format!("Nothing to delete: {}.", error.message))
        }
        Err(error) => return Err(cx.failed(error).noted(note.as_deref())),
    };
    Ok(Deleted {
        policy,
        cidr: *cidr,
        deleted,
        text,
    })
}

/// Releases the claims on a network whose tags match, one after the other, since the API takes one tag. Returns what is left;
/// None = there was none to release.
async fn matching(
    policy: Policy,
    cidr: Cidr,
    pattern: &str,
    which: &Release,
    cx: &Context,
) -> Result<Option<Vec<RuleOwner>>, ClientError> {
    let Ok(wanted) = pattern.parse::<TagPattern>();
    let held = cx.client.entry_with_owners(policy, cidr).await?.owners;
    let mut tags: Vec<&str> = held
        .iter()
        .filter(|owner| owner.kind == OwnerKind::Client)
        .map(|owner| owner.tag.as_ref().map_or(UNTAGGED, Tag::as_str))
        .filter(|tag| wanted.matches(Some(tag)))
        .collect();
    tags.sort_unstable();
    tags.dedup();
    let mut left = None;
    for tag in tags {
        let one = Release {
            tag: Some(tag.to_owned()),
            ..which.clone()
        };
        match cx.client.release(policy, cidr, &one).await {
            // With that tag another client has one.
            Err(error) if error.status() == Some(404) => {}
            released => left = Some(released?),
        }
    }
    Ok(left)
}

/// Entries that are looked at for claims of others.
const LOOKED_AT: u64 = 1_000;

/// What other clients hold under such tags, which --all-owners would end. None if nothing, or if it cannot be read: it is a
/// remark.
async fn held_by_others(policy: Policy, tag: &str, cx: &Context) -> Option<String> {
    let query = ListQuery {
        tag: Some(tag.to_owned()),
        limit: Some(LOOKED_AT),
        owners: true,
        ..ListQuery::default()
    };
    let entries = cx.client.entries(policy, &query).await.ok()?;
    others(policy, tag, &entries)
}

fn others(policy: Policy, tag: &str, entries: &[Entry]) -> Option<String> {
    let Ok(pattern) = tag.parse::<TagPattern>();
    let mut held: BTreeMap<&str, u64> = BTreeMap::new();
    for owner in entries.iter().flat_map(|entry| &entry.owners) {
        let tag = owner.tag.as_ref().map(Tag::as_str);
        // Claims of sets stay with --all-owners, too.
        if owner.kind == OwnerKind::Client && pattern.matches(tag) {
            *held.entry(owner.name.as_deref()?).or_default() += 1;
        }
    }
    let more = if entries.len() as u64 == LOOKED_AT {
        " or more"
    } else {
        ""
    };
    let held: Vec<String> = held
        .iter()
        .map(|(name, count)| {
            let claims = counted(*count, "claim", "claims");
            format!("{claims}{more} of client {name}")
        })
        .collect();
    (!held.is_empty()).then(|| {
        let held = held.join(", ");
        format!("{policy} has {held} under {tag}\nhint: --all-owners deletes them, too")
    })
}

async fn by_tag(
    policy: Policy,
    which: &Release,
    if_exists: bool,
    cx: &mut Context,
) -> Result<(), Failure> {
    let see = format!("couicctl {policy} list shows what is left; delete the tag again");
    let request = cx.client.release_by_tag(policy, which);
    let removed = watched("deleting the entries", &see, request).await?;
    let removed = removed.map_err(|e| cx.failed(e))?;
    cx.output.show(&removed, |out| {
        let entries = counted(removed.removed, "entry", "entries");
        writeln!(out, "{entries} deleted from {policy}.")?;
        if removed.released > 0 {
            let entries = counted(removed.released, "entry", "entries");
            writeln!(
                out,
                "{entries} released that other claims hold: still in {policy}."
            )?;
        }
        Ok(())
    })?;
    if removed.removed + removed.released > 0 || cx.output.is_json() || if_exists {
        return Ok(());
    }
    let tag = which.tag.as_deref().unwrap_or_default();
    if !which.all_owners
        && let Some(told) = held_by_others(policy, tag, cx).await
    {
        print_warning(&told);
        return Ok(());
    }
    if let Ok(known) = cx.client.tag_stats(policy).await
        && !known.tags.contains_key(tag)
        && let Some(hint) = did_you_mean(tag, known.tags.keys().map(String::as_str))
    {
        print_warning(&format!(
            "no entry of {policy} has the tag {tag}\nhint: {hint}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_of_other_clients_under_the_tag_are_named() {
        let entry = |owners: serde_json::Value| -> Entry {
            let entry = serde_json::json!({"creation": 7, "cidr": "192.0.2.7/32", "tag": "cs-a", "expiration": 0,
                "owners": owners});
            serde_json::from_value(entry).unwrap()
        };
        let owner = |kind: &str, name: &str, tag: &str| serde_json::json!({"kind": kind, "name": name, "tag": tag, "expiration": 0});
        let entries = [
            entry(serde_json::json!([
                owner("client", "couic-bouncer", "cs-a"),
                owner("set", "drop/cs", "cs-a"),
                owner("client", "web", "ssh"),
            ])),
            entry(serde_json::json!([owner(
                "client",
                "couic-bouncer",
                "cs-b"
            )])),
        ];
        assert_eq!(
            others(Policy::Drop, "cs-*", &entries).as_deref(),
            Some(
                "drop has 2 claims of client couic-bouncer under cs-*\nhint: --all-owners deletes them, too"
            )
        );
        assert_eq!(others(Policy::Drop, "none", &entries), None);
    }
}
