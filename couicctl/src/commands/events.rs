//! `couicctl events`: changes of rules as they happen.

use std::time::Duration;

use couic_client::{ClientError, Event, EventStream, EventsQuery};
use couic_common::{Backoff, EventGap, counted};
use tokio::time::sleep;

use super::Context;
use crate::{
    cli::EventsArgs,
    failure::{Failure, print_warning},
    render,
};

/// Pauses between attempts to reach the daemon again.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(5)];

pub(super) async fn run(args: &EventsArgs, cx: &mut Context) -> Result<(), Failure> {
    let query = EventsQuery {
        policy: args.policy,
        tag: args.tag(),
        after: None,
        kept_only: !args.follow,
    };
    let mut events = cx.client.events(query).await.map_err(|e| cx.failed(e))?;
    if args.follow {
        return follow(&mut events, cx).await;
    }
    let mut count = 0;
    while let Some(event) = events.next().await.map_err(|e| cx.failed(e))? {
        show(&event, cx)?;
        count += 1;
    }
    if count == 0 && !cx.output.is_json() {
        let none: [(); 0] = [];
        let sentence = "the daemon has kept no such changes; -f shows new ones";
        return cx.output.nothing(&none, sentence);
    }
    Ok(())
}

/// Until the process is interrupted, also while the daemon restarts.
async fn follow(events: &mut EventStream, cx: &mut Context) -> Result<(), Failure> {
    let [first, most] = PAUSES;
    let mut backoff = Backoff::new(first, most);
    loop {
        match events.next().await {
            Ok(Some(event)) => {
                backoff.succeeded();
                show(&event, cx)?;
                cx.output.flush()?;
            }
            Ok(None) => return Ok(()),
            Err(error @ ClientError::Refused { .. }) if error.status() != Some(503) => {
                return Err(cx.failed(error));
            }
            Err(error) => {
                if backoff.failures() == 0 {
                    print_warning(&format!("{error}\nhint: waiting for it to answer again"));
                }
                sleep(backoff.failed()).await;
            }
        }
    }
}

fn show(event: &Event, cx: &mut Context) -> Result<(), Failure> {
    let is_json = cx.output.is_json();
    let out = cx.output.writer();
    match event {
        Event::Change(change) if is_json => {
            serde_json::to_writer(&mut *out, change)?;
            writeln!(out)?;
        }
        Event::Change(change) => render::audit(&change.to_entry(), out)?,
        Event::Gap(gap) => {
            if is_json {
                serde_json::to_writer(&mut *out, gap)?;
                writeln!(out)?;
            }
            // In its place among the changes.
            cx.output.flush()?;
            print_warning(&words(*gap));
        }
    }
    Ok(())
}

fn words(gap: EventGap) -> String {
    let what = match gap.missed {
        Some(missed) => counted(
            missed,
            "change is missing here: the daemon made it",
            "changes are missing here: the daemon made them",
        ) + " faster than they could be read",
        None => {
            "the daemon has been restarted: what changed in between is not known, and what follows is since its start"
                .to_owned()
        }
    };
    what + "\nhint: couicctl drop list and couicctl ignore list show the rules in force"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_in_words() {
        let text = |missed| words(EventGap { missed });
        assert!(text(Some(1)).starts_with("1 change is missing here: "));
        assert!(text(Some(12_000)).starts_with("12000 changes are missing here: "));
        assert!(text(None).starts_with("the daemon has been restarted: "));
    }
}
