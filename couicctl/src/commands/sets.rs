//! `couicctl sets`.

mod write;

use std::collections::BTreeSet;

use couic_client::ClientError;
use couic_common::{Cidr, Policy, RefusedSetEntry, SetSummary, counted};
use couic_feeds::asn;
use serde_json::json;

use self::write::Write;
use super::{Context, interrupt::watched, progress::Progress};
use crate::{
    cli::{SetArg, SetSource, SetsCommand},
    failure::{Failure, print_error, print_warning},
    input, render,
};

pub(super) async fn run(command: SetsCommand, cx: &mut Context) -> Result<(), Failure> {
    match command {
        SetsCommand::List { policy } => list(policy, cx).await,
        SetsCommand::Inspect { set, quiet } => inspect(&set, quiet, cx).await,
        SetsCommand::Create {
            set,
            source,
            apply,
            force,
            ..
        } => {
            let entries = collect(source, None, cx).await?;
            let write = Write {
                set,
                entries,
                apply: apply.now,
                exists: false,
            };
            write.run(&force, cx).await
        }
        SetsCommand::Update {
            set,
            source,
            apply,
            force,
            ..
        } => {
            let SetArg { policy, name } = &set;
            let instead = format!("to delete the set: couicctl sets delete {policy} {name}");
            let entries = collect(source, Some(&instead), cx).await?;
            let write = Write {
                set,
                entries,
                apply: apply.now,
                exists: true,
            };
            write.run(&force, cx).await
        }
        SetsCommand::Delete { set, apply, .. } => {
            let deleted = cx.client.delete_set(set.policy, &set.name, apply.now);
            let deleted = watched("deleting the set", SEE_LIST, deleted).await?;
            let deleted = match deleted {
                Ok(deleted) => deleted,
                Err(error) => return Err(unknown(&set, error, cx).await),
            };
            let SetArg { policy, name } = set;
            cx.output.show(&deleted, |out| {
                let rules = if deleted.reload_required {
                    "Its rules stay until the next couicctl sets reload."
                } else {
                    "Its rules are gone."
                };
                writeln!(out, "Set {policy}/{name} deleted. {rules}")
            })
        }
        SetsCommand::Reload { .. } => reload(cx).await,
    }
}

/// How many refused entries are shown.
const SHOWN: usize = 20;

const SEE_LIST: &str = "couicctl sets list shows the sets";

/// The sets of a policy, as the API answers; of both, each with its policy.
async fn list(policy: Option<Policy>, cx: &mut Context) -> Result<(), Failure> {
    let policies = policy.map_or(vec![Policy::Drop, Policy::Ignore], |policy| vec![policy]);
    let mut all: Vec<(Policy, SetSummary)> = Vec::new();
    for policy in policies {
        let sets = cx.client.sets(policy).await.map_err(|e| cx.failed(e))?;
        all.extend(sets.into_iter().map(|set| (policy, set)));
    }
    let document = match policy {
        Some(_) => json!(all.iter().map(|(_, set)| set).collect::<Vec<_>>()),
        None => all.iter().map(|(policy, set)| {
            json!({"policy": policy, "name": set.name, "entry_count": set.entry_count, "file_size": set.file_size})
        }).collect(),
    };
    if all.is_empty() {
        let sentence = match policy {
            Some(policy) => format!("There are no sets of policy {policy}."),
            None => "There are no sets.".to_owned(),
        };
        return cx.output.nothing(&document, &sentence);
    }
    let rows: Vec<(Policy, &SetSummary)> = all.iter().map(|(policy, set)| (*policy, set)).collect();
    cx.output.table(&document, || render::sets(&rows))
}

/// The failure of a call about a set.
async fn unknown(set: &SetArg, error: ClientError, cx: &Context) -> Failure {
    let names = async || {
        let all = cx.client.sets(set.policy).await.ok()?;
        Some(all.into_iter().map(|set| set.name.to_string()).collect())
    };
    cx.unknown(set.name.as_str(), error, names).await
}

async fn reload(cx: &mut Context) -> Result<(), Failure> {
    let see = "couicctl health shows set files that were not loaded";
    let request = cx.client.reload_sets();
    let status = watched("applying the set files", see, request).await?;
    let status = status.map_err(|e| cx.failed(e))?;
    for problem in &status.skipped {
        print_warning(&problem.message);
    }
    cx.output.show(&status, |out| {
        writeln!(out, "The set files have been applied to the rules.")
    })?;
    status.notes.iter().for_each(|note| print_warning(note));
    if status.refused.is_empty() {
        return Ok(());
    }
    cx.output.flush()?;
    print_error(&refused(&status.refused, status.refused.len() as u64));
    Err(Failure::Reported)
}

/// What is not in force, of so many entries.
fn refused(some: &[RefusedSetEntry], count: u64) -> String {
    let entries = counted(count, "entry is", "entries are");
    let mut text = format!("{entries} NOT in force, all others are:");
    for entry in some.iter().take(SHOWN) {
        let (policy, file, cidr, rail) = (entry.policy, &entry.file, entry.cidr, entry.rail);
        text += &format!(
            "\n  sets/{policy}/{file}: {cidr}: guard rail {rail}: {}",
            entry.message
        );
    }
    let more = count.saturating_sub(SHOWN as u64);
    if more > 0 {
        text += &format!("\n  and {more} more");
    }
    text + "\nhint: take them out of the files, or name the guard rail in [guard] off and restart couic"
}

async fn inspect(set: &SetArg, quiet: bool, cx: &mut Context) -> Result<(), Failure> {
    let body = match cx.client.set(set.policy, &set.name).await {
        Ok(body) => body,
        Err(error) => return Err(unknown(set, error, cx).await),
    };
    cx.output.page()?;
    if !quiet {
        return cx.output.table(&body, || render::set(set.policy, &body));
    }
    cx.output.show(&body.entries, |out| {
        body.entries
            .iter()
            .try_for_each(|entry| writeln!(out, "{}", crate::failure::printable(entry)))
    })
}

/// All sources combined, sorted and without duplicates. An empty result is an error: it
/// indicates a broken pipeline, or a wish for something else, which `instead` says how to do.
async fn collect(
    source: SetSource,
    instead: Option<&str>,
    cx: &Context,
) -> Result<BTreeSet<Cidr>, Failure> {
    let hinted = |failure: Failure| match instead {
        Some(hint) => failure.hint(hint),
        None => failure,
    };
    let networks = source.cidrs.into_iter().flat_map(|networks| networks.0);
    let mut entries: BTreeSet<Cidr> = networks.map(|network| network.cidr).collect();
    if let Some(path) = &source.from_file {
        let read = input::read(path, &source.field).map_err(hinted)?;
        entries.extend(read.into_iter().map(|network| network.cidr));
    }
    if let Some(asn) = source.from_asn {
        let _waiting = Progress::waiting("fetching the prefixes");
        entries.extend(announced(&cx.asn_url, asn).await?);
    }
    if entries.is_empty() {
        let nothing = Failure::Usage("the input contains no CIDR, nothing was changed".to_owned());
        return Err(hinted(nothing));
    }
    Ok(entries)
}

async fn announced(url: &str, asn: asn::Asn) -> Result<BTreeSet<Cidr>, Failure> {
    let agent = concat!("couicctl/", env!("CARGO_PKG_VERSION"));
    let announced = asn::prefixes(url, asn, agent).await;
    announced.map_err(|text| {
        Failure::Failed(format!(
            "{text}; nothing was changed\nhint: set another source as asn_url in couicctl.toml, or give the prefixes with --from-file"
        ))
    })
}
