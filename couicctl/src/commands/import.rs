//! `couicctl drop import` and `couicctl ignore import`: many entries, in as few requests as proxies let through.

use clap::Args;
use couic_common::{BatchOutcome, Policy};

use super::{
    Context,
    entries::{guard_of, job, request},
    parts::{self, counts},
};
use crate::{
    cli::{ImportArgs, Override},
    duration::now,
    failure::{Failure, print_error, with_option},
    input::{self, Network},
};

/// Maximum number of failures shown.
const SHOWN: usize = 20;

pub(super) async fn run<F: Args + Override>(
    policy: Policy,
    args: &ImportArgs<F>,
    cx: &mut Context,
) -> Result<(), Failure> {
    let networks = input::read(&args.file, &args.field)?;
    let (guard, at) = (guard_of(&args.force), now());
    let jobs: Vec<_> = networks
        .iter()
        .map(|network| job(request(network.cidr, &args.label, &args.force, &guard, at)))
        .collect();
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
