//! The requests of a step of [`super::apply`].

use couic_common::{
    BatchJob, BatchOutcome, BatchRule, Cidr, GuardRequest, PeerAction, Policy, SetWritten, Tag,
    UNTAGGED, counted,
};

use super::{
    apply::{SHOWN, TokenFiles},
    plan::{ClientChange, RuleChange, SetChange, SetKind},
    steps::Work,
};
use crate::{
    cli::ApplyArgs,
    commands::{
        Context, clients,
        entries::{guard_of, is_forced},
        parts,
    },
    failure::{Failure, print_warning, with_option},
    input,
};

/// Does the work of a step, or says how far it came.
pub(super) async fn work(
    work: &Work<'_>,
    files: &mut TokenFiles,
    args: &ApplyArgs,
    cx: &Context,
) -> Result<(), Failure> {
    match work {
        Work::Clients(all) => make_clients(all, files, cx).await,
        Work::DeleteClients(all) => delete_clients(all, cx).await,
        Work::Rules(policy, all) => rules(*policy, all, args, cx).await,
        Work::Sets(policy, all) => sets(*policy, all, args, cx).await,
    }
}

async fn make_clients(
    all: &[&ClientChange],
    files: &mut TokenFiles,
    cx: &Context,
) -> Result<(), Failure> {
    for ClientChange { name, old, new } in all {
        let Some(new) = new else { continue };
        if old.is_some() {
            cx.client
                .delete_client(name)
                .await
                .map_err(|e| cx.failed(e))?;
        }
        let file = files.remove(name);
        let made = clients::create(name, new.group, new.limits.as_ref(), file, cx).await;
        made.map_err(|failure| match old {
            Some(_) => failure.with(&format!("client {name} is deleted, and NOT created again")),
            None => failure,
        })?;
    }
    Ok(())
}

async fn delete_clients(all: &[&ClientChange], cx: &Context) -> Result<(), Failure> {
    for change in all {
        cx.client
            .delete_client(&change.name)
            .await
            .map_err(|e| cx.failed(e))?;
    }
    Ok(())
}

async fn rules(
    policy: Policy,
    all: &[&RuleChange],
    args: &ApplyArgs,
    cx: &Context,
) -> Result<(), Failure> {
    let (guard, force) = (guard_of(&args.force), is_forced(&args.force));
    let jobs = all
        .iter()
        .map(|change| job(change, &guard, force))
        .collect();
    let outcome = parts::send(policy, jobs, args.confirm.confirm_within.is_some(), cx).await?;
    refusals(&outcome)
}

pub(super) fn job(change: &RuleChange, guard: &GuardRequest, force: bool) -> BatchJob {
    let tag = change.tag.as_ref().map(Tag::to_string);
    let new = change.new.as_ref();
    let reason = new.and_then(|claim| claim.reason.as_ref());
    let is_removal = new.is_none();
    BatchJob {
        action: if is_removal {
            PeerAction::Remove
        } else {
            PeerAction::Add
        },
        entry: BatchRule {
            cidr: change.cidr.to_string(),
            expiration: new.map_or(0, |claim| claim.expiration),
            // Without a tag, a removal would release the claims of other tags as well.
            tag: tag.or_else(|| is_removal.then(|| UNTAGGED.to_owned())),
            metadata: reason.map(|reason| input::given(reason.to_string())),
            force,
            guard: Some(guard.clone()),
            ttl: None,
            longer: false,
        },
    }
}

fn refusals(outcome: &BatchOutcome) -> Result<(), Failure> {
    if outcome.failed == 0 {
        return Ok(());
    }
    let BatchOutcome {
        added,
        updated,
        removed,
        released,
        failed,
        ..
    } = outcome;
    let mut text = format!(
        "{failed} refused; {added} added, {updated} changed, {} deleted",
        removed + released
    );
    for failure in outcome.failures.iter().take(SHOWN) {
        let cidr = failure.cidr.as_deref().unwrap_or("?");
        text += &format!("\n{cidr}: {}", with_option(&failure.message));
    }
    let more = failed.saturating_sub(outcome.failures.len().min(SHOWN) as u64);
    if more > 0 {
        text += &format!("\nand {more} more");
    }
    Err(Failure::Refused(text))
}

/// Each with its file and its rules together: other set files are not looked at.
async fn sets(
    policy: Policy,
    all: &[&SetChange],
    args: &ApplyArgs,
    cx: &Context,
) -> Result<(), Failure> {
    let client = cx
        .client
        .guarded(guard_of(&args.force), is_forced(&args.force));
    for (index, SetChange { name, kind, .. }) in all.iter().enumerate() {
        let done = match kind {
            SetKind::Delete { .. } => client.delete_set(policy, name, true).await.map(|_| Ok(())),
            SetKind::Add { entries }
            | SetKind::Change { entries, .. }
            | SetKind::Rules { entries, .. } => {
                let written = client.put_set_list(policy, name, list(entries), true).await;
                written.map(|written| not_in_force(&written))
            }
        };
        let done = done.map_err(|e| cx.failed(e)).and_then(|done| done);
        done.map_err(|failure| {
            let before = all[..index].iter().map(|set| set.name.as_str());
            let before = before.collect::<Vec<_>>().join(", ");
            let failure = failure.with(&format!("this is set {policy}/{name}"));
            match before.is_empty() {
                true => failure,
                false => failure.with(&format!("done before: {before}")),
            }
        })?;
    }
    Ok(())
}

fn list(entries: &[Cidr]) -> String {
    if entries.is_empty() {
        return "# empty on purpose\n".to_owned();
    }
    entries.iter().map(|cidr| format!("{cidr}\n")).collect()
}

fn not_in_force(written: &SetWritten) -> Result<(), Failure> {
    written.notes.iter().for_each(|note| print_warning(note));
    if written.refused_count == 0 {
        return Ok(());
    }
    let count = counted(written.refused_count, "entry is", "entries are");
    let mut text = format!("{count} NOT in force, all others are");
    for entry in written.refused.iter().take(SHOWN) {
        let (cidr, rail) = (entry.cidr, entry.rail);
        text += &format!("\n{cidr}: guard rail {rail}: {}", entry.message);
    }
    Err(Failure::Refused(text))
}
