//! `couicctl panic`, `couicctl confirm`, and the warnings of every command about them.

use std::{path::Path, time::Duration};

use couic_common::PanicRequest;

use super::Context;
use crate::{
    cli::{ConfirmArgs, ConfirmCommand, PanicCommand},
    failure::{Failure, print_warning},
    render,
};

pub(super) async fn panic(command: Option<PanicCommand>, cx: &mut Context) -> Result<(), Failure> {
    let switching = command.is_some();
    let request = match command {
        None => None,
        Some(PanicCommand::On { reason }) => Some(PanicRequest { on: true, reason }),
        Some(PanicCommand::Off) => Some(PanicRequest::default()),
    };
    let status = match request {
        None => cx.client.panic().await,
        Some(request) => cx.client.set_panic(&request).await,
    };
    let status = status.map_err(|e| cx.failed(e))?;
    let now = cx.now();
    cx.output
        .show(&status, |out| render::panic(&status, !switching, now, out))?;
    match status.problem {
        Some(problem) if switching => {
            cx.output.flush()?;
            Err(not_saved(status.on, &problem))
        }
        _ => Ok(()),
    }
}

/// The switch is in force but was not saved.
fn not_saved(on: bool, problem: &str) -> Failure {
    let (state, effect) = if on {
        ("on", "every packet passes")
    } else {
        ("off", "the rules are in force")
    };
    Failure::NotSaved(format!(
        "panic is {state}, and {effect}, but a restart of the daemon would undo it: {problem}\nhint: the daemon retries; couicctl health shows when it is saved"
    ))
}

pub(super) async fn confirm(args: ConfirmArgs, cx: &mut Context) -> Result<(), Failure> {
    let done = match (args.command, args.id) {
        (Some(ConfirmCommand::List), _) => return list(cx).await,
        (Some(ConfirmCommand::Undo { id }), _) => {
            let undone = cx.client.undo(id).await.map_err(|e| cx.failed(e))?;
            let now = cx.now();
            return cx
                .output
                .show(&undone, |out| render::undone(&undone, now, out));
        }
        (None, Some(id)) => cx.client.confirm(id).await,
        (None, None) => cx.client.confirm_all().await,
    };
    let done = done.map_err(|e| cx.failed(e))?;
    cx.output.show(&done, |out| {
        let ids: Vec<String> = done.confirmed.iter().map(ToString::to_string).collect();
        writeln!(out, "Confirmed: {}", ids.join(", "))
    })
}

async fn list(cx: &mut Context) -> Result<(), Failure> {
    let all = cx.client.confirmations().await.map_err(|e| cx.failed(e))?;
    if all.pending.is_empty() {
        cx.output.nothing(&all, "No change awaits confirmation.")?;
        if cx.output.is_json() {
            return Ok(());
        }
    }
    let now = cx.now();
    cx.output
        .show(&all, |out| render::confirmations(&all, now, out))
}

/// The notices of the responses, on stderr to keep stdout clean.
pub(super) fn remark(cx: &Context, within: Option<Duration>, config: Option<&Path>) {
    if cx.client.panic_seen() {
        print_warning(
            "PANIC IS ON: nothing is filtered, regardless of the rules\nhint: see couicctl panic; to end it: couicctl panic off",
        );
    }
    let lifted = cx.client.lifted();
    if !lifted.is_empty() {
        let names: Vec<&str> = lifted.iter().map(|rail| rail.as_str()).collect();
        print_warning(&format!("--force went over: {}", names.join(", ")));
    }
    let Some(within) = within else { return };
    let config = config.map_or(String::new(), |path| format!(" -c {}", path.display()));
    let waiting = cx.client.to_confirm();
    for change in &waiting {
        let (id, left) = (change.id, left(change.until, cx.now(), within.as_secs()));
        print_warning(&format!(
            "this change is undone in {left} s unless you confirm it\nhint: couicctl{config} confirm {id}"
        ));
    }
    if waiting.is_empty() {
        print_warning(
            "no change awaits confirmation: nothing was changed, or the daemon is too old to undo changes",
        );
    }
}

/// Seconds until the change is undone, rounded up. Never more than requested, as the daemon's clock may differ.
fn left(until: u64, now: u64, within: u64) -> u64 {
    until.saturating_sub(now).min(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_rounded_up() {
        // Requested at 100.5, so that the daemon's deadline is 160; shown at once, or a second later.
        assert_eq!(left(160, 100, 60), 60);
        assert_eq!(left(160, 101, 60), 59);
        // With clocks that differ.
        assert_eq!(left(160, 50, 60), 60);
        assert_eq!(left(160, 900, 60), 0);
    }
}
