//! `couicctl notifiers`.

use couic_common::{NotifierName, counted};

use super::Context;
use crate::{cli::NotifiersCommand, failure::Failure, render};

pub(super) async fn run(command: NotifiersCommand, cx: &mut Context) -> Result<(), Failure> {
    match command {
        NotifiersCommand::List => {
            let all = cx.client.notifiers().await.map_err(|e| cx.failed(e))?;
            let now = cx.now();
            cx.output
                .show(&all, |out| render::notifiers(&all, now, out))
        }
        NotifiersCommand::Test { name } => test(&name, cx).await,
        NotifiersCommand::Dead { name, limit, after } => {
            let dead = cx.client.dead_letters(&name, after, limit).await;
            let dead = dead.map_err(|e| cx.failed(e))?;
            let full = dead.len() == limit as usize;
            cx.output
                .show(&dead, |out| render::dead_letters(&name, &dead, full, out))
        }
        NotifiersCommand::Replay { name, key } => {
            let done = cx.client.replay_dead_letters(&name, key).await;
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
