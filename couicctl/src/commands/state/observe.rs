//! Reads from the daemon what a state file is about, and no more.

use std::collections::{BTreeMap, BTreeSet};

use couic_client::ListQuery;
use couic_common::{Cidr, ClientInfo, ClientName, OwnerKind, Policy, SetName, Tag, TagPattern};

use super::{
    compare::{self, Comparison},
    plan::{Plan, SetChange, SetKind},
    wanted::{Claim, Rules, Wanted},
};
use crate::{
    cli::StateExportArgs,
    commands::{Context, own_token, reading::Reading},
    failure::{Failure, print_warning},
};

/// The plan, and whose token it is made with.
pub(super) struct Observed {
    pub(super) own: ClientName,
    pub(super) plan: Plan,
}

/// Compares a file with the daemon.
pub(super) async fn compare(mut wanted: Wanted, cx: &Context) -> Result<Observed, Failure> {
    let (own, all) = own(wanted.client.as_ref(), cx).await?;
    let mut plan = Plan {
        expired: wanted.expire(cx.now()),
        ..Plan::default()
    };
    let mut in_force: BTreeMap<(Policy, SetName), [usize; 2]> = BTreeMap::new();
    for policy in Policy::ALL {
        if !wanted.concerns(policy) {
            continue;
        }
        let rules = wanted.rules.remove(&policy).unwrap_or_default();
        let mut comparison = Comparison::of(policy, rules, &wanted.sets, &own);
        each_entry(policy, cx, |entry| comparison.see(entry)).await?;
        let (rules, sets) = comparison.end();
        plan.rules.extend(rules);
        in_force.extend(
            sets.into_iter()
                .map(|(name, counts)| ((policy, name), counts)),
        );
    }
    if wanted.sets.is_declared() {
        plan.sets = sets(&wanted, &in_force, cx).await?;
    }
    if wanted.clients.is_declared() {
        let all = match all {
            Ok(all) => all,
            Err(failure) => return Err(failure),
        };
        plan.clients = compare::clients(&wanted.clients, &all);
    }
    Ok(Observed { own, plan })
}

/// The client whose token this is, and all clients if the token may list them. The file has to name it if it may not.
async fn own(
    named: Option<&ClientName>,
    cx: &Context,
) -> Result<(ClientName, Result<Vec<ClientInfo>, Failure>), Failure> {
    let all = match cx.client.clients().await {
        Ok(all) => all,
        Err(error) if error.status() == Some(401) => {
            // Its rights, or the token itself: reading the rules tells.
            let own = named.cloned().ok_or_else(|| {
                let text =
                    "this token may not list the clients, so that it is not known whose it is";
                Failure::Usage(text.to_owned())
                    .hint("name its client: client = \"NAME\" in the file, --client NAME of export")
            })?;
            return Ok((own, Err(cx.failed(error))));
        }
        Err(error) => return Err(cx.failed(error)),
    };
    let is_own =
        |one: &&ClientInfo| one.own || one.token.is_some_and(|token| own_token::is(&token, cx));
    let own = all.iter().find(is_own).map(|one| one.name.clone());
    match (own, named) {
        (Some(own), Some(named)) if own != *named => Err(Failure::Usage(format!(
            "the file is for the client {named}, and this token is that of {own}: nothing was changed"
        ))),
        (Some(own), _) => Ok((own, Ok(all))),
        (None, Some(named)) => Ok((named.clone(), Ok(all))),
        (None, None) => Err(Failure::Failed(
            "the daemon does not say whose token this is".to_owned(),
        )),
    }
}

/// Hands out all entries of a policy, with their owners.
async fn each_entry(
    policy: Policy,
    cx: &Context,
    mut each: impl FnMut(&couic_common::Entry),
) -> Result<(), Failure> {
    let query = ListQuery {
        owners: true,
        ..ListQuery::default()
    };
    let entries = cx.client.stream_entries(policy, &query).await;
    let entries = entries.map_err(|e| cx.failed(e))?;
    let mut reading = Reading::of(entries, Some(policy), cx).await?;
    while let Some(entry) = reading.next(cx).await? {
        if entry.owners.is_empty() {
            let text = "the daemon is of a version that does not say who holds a rule: nothing was changed";
            return Err(Failure::Failed(text.to_owned()));
        }
        each(&entry);
    }
    Ok(())
}

async fn sets(
    wanted: &Wanted,
    in_force: &BTreeMap<(Policy, SetName), [usize; 2]>,
    cx: &Context,
) -> Result<Vec<SetChange>, Failure> {
    let mut changes = Vec::new();
    for policy in Policy::ALL {
        let there = cx.client.sets(policy).await.map_err(|e| cx.failed(e))?;
        let surplus = there
            .iter()
            .filter_map(|set| compare::surplus(&wanted.sets, policy, &set.name, set.entry_count));
        changes.extend(surplus);
        let names: BTreeSet<&SetName> = there.iter().map(|set| &set.name).collect();
        for ((_, name), entries) in wanted
            .sets
            .named
            .iter()
            .filter(|((of, _), _)| *of == policy)
        {
            let kind = if names.contains(name) {
                let file = read_set(policy, name, cx).await?;
                let counts = in_force.get(&(policy, name.clone())).copied();
                compare::set(entries, file.as_ref(), counts.unwrap_or_default())
            } else {
                let entries = entries.iter().copied().collect();
                Some(SetKind::Add { entries })
            };
            let name = name.clone();
            changes.extend(kind.map(|kind| SetChange { policy, name, kind }));
        }
    }
    Ok(changes)
}

/// The networks in the file of a set; None if the daemon cannot read it.
async fn read_set(
    policy: Policy,
    name: &SetName,
    cx: &Context,
) -> Result<Option<BTreeSet<Cidr>>, Failure> {
    match cx.client.set(policy, name).await {
        Ok(body) => Ok(body.entries.iter().map(|text| text.parse().ok()).collect()),
        Err(error) if error.status() == Some(422) => Ok(None),
        Err(error) => Err(cx.failed(error)),
    }
}

/// What an export writes.
pub(super) struct Exported {
    pub(super) own: ClientName,
    pub(super) rules: BTreeMap<Policy, Rules>,
    pub(super) sets: Vec<(Policy, SetName, BTreeSet<Cidr>)>,
    /// None if this token may not list them, or the export is of some tags only.
    pub(super) clients: Option<Vec<ClientInfo>>,
}

/// Reads all that a state file can declare.
pub(super) async fn everything(args: &StateExportArgs, cx: &Context) -> Result<Exported, Failure> {
    let (own, clients) = own(args.client.as_ref(), cx).await?;
    let pattern = args.tag.as_ref().map(|tag| {
        let Ok(pattern) = tag.parse::<TagPattern>();
        pattern
    });
    let mut rules: BTreeMap<Policy, Rules> = BTreeMap::new();
    for policy in Policy::ALL {
        let rules = rules.entry(policy).or_default();
        each_entry(policy, cx, |entry| {
            let is_own = |kind, name: &Option<String>| {
                kind == OwnerKind::Client && name.as_deref() == Some(own.as_str())
            };
            for held in entry
                .owners
                .iter()
                .filter(|owner| is_own(owner.kind, &owner.name))
            {
                let tag = held.tag.as_ref().map(Tag::as_str);
                if pattern.as_ref().is_none_or(|pattern| pattern.matches(tag)) {
                    let claim = Claim {
                        expiration: held.expiration,
                        reason: held.reason.clone(),
                    };
                    rules.tags.insert(held.tag.clone());
                    rules.claims.insert((entry.cidr, held.tag.clone()), claim);
                }
            }
        })
        .await?;
    }
    let mut exported = Exported {
        own,
        rules,
        sets: Vec::new(),
        clients: None,
    };
    // Of some tags it is these rules: sets and clients are of this host.
    if pattern.is_some() {
        return Ok(exported);
    }
    exported.sets = all_sets(cx).await?;
    if clients.is_err() {
        print_warning("clients left out: this token may not list them");
    }
    exported.clients = clients.ok();
    Ok(exported)
}

async fn all_sets(cx: &Context) -> Result<Vec<(Policy, SetName, BTreeSet<Cidr>)>, Failure> {
    let mut sets = Vec::new();
    for policy in Policy::ALL {
        for set in cx.client.sets(policy).await.map_err(|e| cx.failed(e))? {
            match read_set(policy, &set.name, cx).await? {
                Some(entries) => sets.push((policy, set.name, entries)),
                None => print_warning(&format!(
                    "set {policy}/{} left out: its file cannot be read",
                    set.name
                )),
            }
        }
    }
    Ok(sets)
}
