//! `couicctl notifiers`.

use couic_common::{NotifierName, counted};

use super::{Context, interrupt::watched};
use crate::{cli::NotifiersCommand, failure::Failure, render, suggest::did_you_mean};

pub(super) async fn run(command: NotifiersCommand, cx: &mut Context) -> Result<(), Failure> {
    let name = name_of(&command).cloned();
    let done = perform(command, cx).await;
    match (done, name) {
        (Err(failure @ Failure::Refused(_)), Some(name)) => {
            Err(suggested(&name, failure, cx).await)
        }
        (done, _) => done,
    }
}

fn name_of(command: &NotifiersCommand) -> Option<&NotifierName> {
    match command {
        NotifiersCommand::List => None,
        NotifiersCommand::Test { name }
        | NotifiersCommand::Dead { name, .. }
        | NotifiersCommand::Replay { name, .. }
        | NotifiersCommand::Discard { name, .. }
        | NotifiersCommand::Resume { name } => Some(name),
    }
}

/// A failure about a notifier that does not exist, with the one that was probably meant.
async fn suggested(name: &NotifierName, failure: Failure, cx: &Context) -> Failure {
    let all = cx.client.notifiers().await.unwrap_or_default();
    if all.iter().any(|notifier| notifier.name == *name) {
        return failure;
    }
    let hint = did_you_mean(name.as_str(), all.iter().map(|n| n.name.as_str()));
    failure.or_refused_with(hint.as_deref())
}

async fn perform(command: NotifiersCommand, cx: &mut Context) -> Result<(), Failure> {
    match command {
        NotifiersCommand::List => {
            let all = cx.client.notifiers().await.map_err(|e| cx.failed(e))?;
            if all.is_empty() {
                let sentence = "There are no notifiers: [reporting] in couic.toml is not enabled.";
                return cx.output.nothing(&all, sentence);
            }
            let now = cx.now();
            cx.output
                .show(&all, |out| render::notifiers(&all, now, out))
        }
        NotifiersCommand::Test { name } => test(&name, cx).await,
        NotifiersCommand::Dead { name, limit, after } => {
            let dead = cx.client.dead_letters(&name, after, limit).await;
            let dead = dead.map_err(|e| cx.failed(e))?;
            if dead.is_empty() {
                let sentence = format!("{name} has no dead letters.");
                return cx.output.nothing(&dead, &sentence);
            }
            let full = dead.len() == limit as usize;
            cx.output.page()?;
            cx.output
                .show(&dead, |out| render::dead_letters(&dead, full, out))
        }
        NotifiersCommand::Replay { name, key } => {
            let see = "couicctl notifiers list shows what is queued";
            let request = cx.client.replay_dead_letters(&name, key);
            let done = watched("queueing the dead letters", see, request).await?;
            let done = done.map_err(|e| cx.failed(e))?;
            cx.output.show(&done, |out| {
                writeln!(out, "{}", letters(done.replayed, &name, "queued again"))
            })
        }
        NotifiersCommand::Discard { name, which } => {
            let done = cx.client.discard_dead_letters(&name, which.key).await;
            let done = done.map_err(|e| cx.failed(e))?;
            cx.output.show(&done, |out| {
                writeln!(out, "{}", letters(done.discarded, &name, "deleted"))
            })
        }
        NotifiersCommand::Resume { name } => {
            let info = cx.client.resume_notifier(&name).await;
            let info = info.map_err(|e| cx.failed(e))?;
            cx.output.show(&info, |out| {
                let queued = match info.queue_events {
                    0 => "nothing is queued".to_owned(),
                    count => counted(count, "notification is queued", "notifications are queued"),
                };
                writeln!(
                    out,
                    "{name} resumed, {queued}. See couicctl notifiers list for the result."
                )
            })
        }
    }
}

/// With `--json`, the outcome is the result; otherwise a failed delivery is an error.
async fn test(name: &NotifierName, cx: &mut Context) -> Result<(), Failure> {
    let test = cx.client.test_notifier(name).await;
    let test = test.map_err(|e| cx.failed(e))?;
    if !test.delivered && !cx.output.is_json() {
        return Err(Failure::Refused(render::not_delivered(&test)));
    }
    cx.output.show(&test, |out| render::delivered(&test, out))?;
    if test.delivered {
        return Ok(());
    }
    cx.output.flush()?;
    Err(Failure::Reported)
}

/// How many dead letters of the notifier were `treated`.
fn letters(count: u64, name: &NotifierName, treated: &str) -> String {
    if count == 0 {
        return format!("{name} has no dead letters: nothing was {treated}.");
    }
    let letters = counted(count, "dead letter", "dead letters");
    format!("{letters} of {name} {treated}.")
}
