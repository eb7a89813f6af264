//! `couicctl log`: the audit log.

use std::{collections::HashMap, time::Duration};

use couic_client::{ClientError, LogPage, LogQuery};
use couic_common::{AuditEntry, time_left};
use tokio::time::sleep;

use super::Context;
use crate::{
    cli::LogArgs,
    failure::{Failure, print_error},
    render,
};

/// Between two looks at the log.
const PERIOD: Duration = Duration::from_secs(1);

/// How late an entry may appear in the log, in seconds.
const LATE: u64 = 5;

/// The most entries of an answer.
const MOST: u64 = 1_000;

pub(super) async fn run(args: &LogArgs, cx: &mut Context) -> Result<(), Failure> {
    let ago = |time: Duration, now: u64| now.saturating_sub(time.as_secs());
    let now = cx.now();
    let query = LogQuery {
        limit: Some(args.limit),
        since: args.since.map(|since| ago(since, now)),
        until: args.until.map(|until| ago(until, now)),
        address: args.address.as_ref().map(|network| network.cidr),
        tag: args.tag(),
        actor: args.actor.clone(),
        action: args.action.clone(),
        policy: args.policy,
    };
    let page = cx.client.log(&query).await.map_err(|e| cx.failed(e))?;
    if args.follow {
        return follow(query, page, cx).await;
    }
    cx.output.show(&page.entries, |out| {
        page.entries
            .iter()
            .rev()
            .try_for_each(|entry| render::audit(entry, out))
    })?;
    if let Some(time) = page.read_down_to {
        cx.output.flush()?;
        let back = time_left(cx.now().saturating_sub(time));
        print_error(&format!(
            "the search ended {back} ago in the log, at the most that one search reads; --until {} goes on",
            back.replace(' ', "")
        ));
    }
    Ok(())
}

/// Shows new entries until the process is interrupted.
async fn follow(mut query: LogQuery, first: LogPage, cx: &mut Context) -> Result<(), Failure> {
    let mut shown = Shown::default();
    let mut newest = first.entries.first().map_or(cx.now(), |entry| entry.at);
    show(shown.new_ones(&first.entries)?, cx)?;
    query.limit = Some(MOST);
    loop {
        sleep(PERIOD).await;
        query.since = Some(newest.saturating_sub(LATE));
        match cx.client.log(&query).await {
            Ok(page) => {
                newest = page
                    .entries
                    .first()
                    .map_or(newest, |entry| newest.max(entry.at));
                show(shown.new_ones(&page.entries)?, cx)?;
                if page.entries.len() as u64 == MOST {
                    print_error("more entries than one answer holds: some are left out");
                }
            }
            Err(error @ ClientError::Refused { .. }) if error.status() != Some(503) => {
                return Err(cx.failed(error));
            }
            // The daemon restarts.
            Err(error) => print_error(&error.to_string()),
        }
    }
}

fn show(entries: Vec<&AuditEntry>, cx: &mut Context) -> Result<(), Failure> {
    let is_json = cx.output.is_json();
    let out = cx.output.writer();
    for entry in entries {
        if is_json {
            serde_json::to_writer(&mut *out, entry)?;
            writeln!(out)?;
        } else {
            render::audit(entry, out)?;
        }
    }
    cx.output.flush()
}

/// The entries of the last answer, each with its number: several may be alike.
#[derive(Default)]
struct Shown(HashMap<String, usize>);

impl Shown {
    /// Those of an answer that were not in the one before, oldest first.
    fn new_ones<'a>(&mut self, entries: &'a [AuditEntry]) -> Result<Vec<&'a AuditEntry>, Failure> {
        let mut counts = HashMap::new();
        let mut new = Vec::new();
        for entry in entries.iter().rev() {
            let text = serde_json::to_string(entry)?;
            let before = self.0.get(&text).copied().unwrap_or(0);
            let count = counts.entry(text).or_insert(0);
            *count += 1;
            if *count > before {
                new.push(entry);
            }
        }
        self.0 = counts;
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use couic_common::{AuditActor, AuditActorKind};

    use super::*;

    fn entry(at: u64) -> AuditEntry {
        let actor = AuditActor {
            kind: AuditActorKind::Daemon,
            name: None,
        };
        AuditEntry::new(at, actor, "x")
    }

    #[test]
    fn each_entry_is_shown_once_even_if_others_are_alike() {
        let mut shown = Shown::default();
        let times = |shown: &mut Shown, entries: &[AuditEntry]| -> Vec<u64> {
            let new = shown.new_ones(entries).unwrap();
            new.iter().map(|entry| entry.at).collect()
        };
        let one = entry(1);
        let two = entry(2);
        assert_eq!(times(&mut shown, &[two.clone(), one.clone()]), [1, 2]);
        assert_eq!(times(&mut shown, &[two.clone(), one]), [0; 0]);
        assert_eq!(times(&mut shown, &[entry(3), two.clone(), two]), [2, 3]);
    }
}
