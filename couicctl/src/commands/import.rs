//! `couicctl drop import` and `couicctl ignore import`: many entries, in as few requests as proxies let through.

use clap::Args;
use couic_common::{BatchJob, BatchOutcome, Policy, TagError, counted};

use super::{
    Context,
    dry_run::{self, predict},
    entries::{guard_of, job, request},
    parts::{self, counts},
};
use crate::{
    cli::{ImportArgs, Override},
    duration::now,
    failure::{Failure, print_error, print_warning, with_option},
    input::{self, Network, Record},
};

/// Maximum number of failures shown.
const SHOWN: usize = 20;

pub(super) async fn run<F: Args + Override>(
    policy: Policy,
    args: &ImportArgs<F>,
    cx: &mut Context,
) -> Result<(), Failure> {
    let mut records = input::read_records(&args.file, &args.field)?;
    check_policy(policy, &records)?;
    leave_out(&mut records, args.label.tag.is_some(), args.label.has_end());
    let jobs = jobs(&records, args);
    let networks: Vec<Network> = records.into_iter().map(|record| record.network).collect();
    if args.dry_run {
        let predicted = predict(policy, &jobs, cx).await?;
        return cx.output.show(&predicted, |out| {
            writeln!(out, "{policy}: {}", dry_run::sentence(&predicted))
        });
    }
    if jobs.is_empty() {
        print_warning("nothing is left to import");
        return Ok(());
    }
    let outcome = parts::send(policy, jobs, args.confirm.confirm_within.is_some(), cx).await?;
    cx.output.show(&outcome, |out| {
        writeln!(out, "{policy}: {}", counts(&outcome))
    })?;
    if outcome.failed == 0 {
        return Ok(());
    }
    cx.output.flush()?;
    print_error(&failures(&outcome, &networks));
    Err(Failure::Reported)
}

/// A list of bans must not become one of protected sources.
fn check_policy(policy: Policy, records: &[Record]) -> Result<(), Failure> {
    let other = |record: &&Record| record.policy.is_some_and(|of| of != policy);
    let Some(Record { network, .. }) = records.iter().find(other) else {
        return Ok(());
    };
    let text = format!(
        "{} is not an entry of policy {policy} in this list; nothing was changed",
        network.cidr
    );
    Err(Failure::Usage(text).hint("import it into the policy that it was exported from"))
}

/// Leaves out what has expired and what belongs to sets, unless the command line has a label of its own for it.
fn leave_out(records: &mut Vec<Record>, has_tag: bool, has_end: bool) {
    let (now, before) = (now(), records.len());
    records.retain(|record| {
        let end = record.rule.as_ref().map_or(0, |rule| rule.expiration);
        has_end || end == 0 || end > now
    });
    let expired = (before - records.len()) as u64;
    let before = records.len();
    let of_set = |record: &Record| {
        let tag = record.rule.as_ref().and_then(|rule| rule.tag.as_deref());
        tag.is_some_and(|tag| couic_common::Tag::parse(tag) == Err(TagError::OfSet))
    };
    records.retain(|record| has_tag || !of_set(record));
    let of_sets = (before - records.len()) as u64;
    if expired > 0 {
        let entries = counted(expired, "entry", "entries");
        print_warning(&format!("{entries} left out, expired meanwhile"));
    }
    if of_sets > 0 {
        let entries = counted(of_sets, "entry", "entries");
        print_warning(&format!(
            "{entries} left out, of sets\nhint: copy the set files instead; with -t TAG they become entries of your own"
        ));
    }
}

fn jobs<F: Args + Override>(records: &[Record], args: &ImportArgs<F>) -> Vec<BatchJob> {
    let (guard, at) = (guard_of(&args.force), now());
    let label = &args.label;
    let of = |record: &Record| {
        let cidr = record.network.cidr;
        let mut job = job(request(cidr, label, &args.force, &guard, at));
        if let Some(rule) = &record.rule {
            let own = std::mem::replace(&mut job.entry, rule.clone());
            let entry = &mut job.entry;
            (entry.cidr, entry.force, entry.guard) = (own.cidr, own.force, own.guard);
            // The list has the time at which it ends.
            entry.ttl = None;
            if label.tag.is_some() {
                entry.tag = own.tag;
            }
            if label.reason.is_some() {
                entry.metadata = own.metadata;
            }
            if label.has_end() {
                (entry.expiration, entry.ttl) = (own.expiration, own.ttl);
            }
        }
        job
    };
    records.iter().map(of).collect()
}

fn failures(outcome: &BatchOutcome, networks: &[Network]) -> String {
    let verb = if outcome.failed == 1 { "was" } else { "were" };
    let mut text = format!("{} {verb} rejected:", outcome.failed);
    for failure in outcome.failures.iter().take(SHOWN) {
        let cidr = failure.cidr.as_deref().unwrap_or("?");
        text += &format!("\n  {cidr}: {}", with_option(&failure.message));
        let index = usize::try_from(failure.index).unwrap_or(usize::MAX);
        if let Some(note) = networks.get(index).and_then(|n| n.note.as_ref()) {
            text += &format!(" ({note})");
        }
    }
    let shown = outcome.failures.len().min(SHOWN) as u64;
    let rest = outcome.failed.saturating_sub(shown);
    if rest > 0 {
        text += &format!("\n  and {rest} more; --json lists up to 1000 of them");
    }
    text
}

#[cfg(test)]
mod tests {
    use couic_common::{BatchFailure, ErrorCode};

    use super::*;

    #[test]
    fn long_lists_of_failures_are_cut() {
        let failure = |index| BatchFailure {
            index,
            cidr: (index > 0).then(|| format!("10.0.0.{index}/32")),
            code: ErrorCode::Invalid,
            message: "no".into(),
            rail: None,
        };
        let outcome = BatchOutcome {
            failed: 5_000,
            failures: (0..1_000).map(failure).collect(),
            ..BatchOutcome::default()
        };
        let networks = ["192.0.2.1", "10.0.0.1/31"].map(|text| text.parse().unwrap());
        let text = failures(&outcome, &networks);
        assert!(
            text.starts_with("5000 were rejected:\n  ?: no\n  10.0.0.1/32: no (10.0.0.1/31 is the network 10.0.0.0/31)\n  10"),
            "{text}"
        );
        assert!(
            text.ends_with("and 4980 more; --json lists up to 1000 of them"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 22);
    }
}
