//! `couicctl panic`, `couicctl confirm`, and what every command says about them.

use std::{path::Path, time::Duration};

use couic_common::PanicRequest;

use super::Context;
use crate::{
    cli::{ConfirmArgs, ConfirmCommand, PanicCommand},
    duration::clock,
    failure::{Failure, say},
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
    cx.output.show(&status, |out| {
        render::panic(&status, !switching, clock(), out)
    })?;
    match status.problem {
        Some(problem) if switching => {
            cx.output.flush()?;
            Err(not_kept(status.on, &problem))
        }
        _ => Ok(()),
    }
}

/// It holds, and that is what matters at the moment; but not for ever.
fn not_kept(on: bool, problem: &str) -> Failure {
    let (state, effect) = if on {
        ("on", "every packet passes")
    } else {
        ("off", "the rules hold")
    };
    Failure::NotKept(format!(
        "panic is {state}, and {effect}, but not beyond a restart of the daemon: {problem}\n  the daemon tries again; couicctl health says when it is written"
    ))
}

pub(super) async fn confirm(args: ConfirmArgs, cx: &mut Context) -> Result<(), Failure> {
    let done = match (args.command, args.id) {
        (Some(ConfirmCommand::List), _) => return list(cx).await,
        (Some(ConfirmCommand::Undo { id }), _) => {
            let undone = cx.client.undo(id).await.map_err(|e| cx.failed(e))?;
            return cx
                .output
                .show(&undone, |out| render::undone(&undone, clock(), out));
        }
        (None, Some(id)) => cx.client.confirm(id).await,
        (None, None) => cx.client.confirm_all().await,
    };
    let done = done.map_err(|e| cx.failed(e))?;
    cx.output.show(&done, |out| {
        let ids: Vec<String> = done.confirmed.iter().map(ToString::to_string).collect();
        writeln!(out, "Confirmed, it stays: {}", ids.join(", "))
    })
}

async fn list(cx: &mut Context) -> Result<(), Failure> {
    let all = cx.client.confirmations().await.map_err(|e| cx.failed(e))?;
    cx.output
        .show(&all, |out| render::confirmations(&all, clock(), out))
}

/// What the answers said besides: on stderr, so that what reads stdout reads on.
pub(super) fn remark(cx: &Context, within: Option<Duration>, config: Option<&Path>) {
    if cx.client.panic_seen() {
        say(
            "PANIC IS ON: nothing is filtered, whatever the rules say\n  see couicctl panic; to end it: couicctl panic off",
        );
    }
    let Some(within) = within else { return };
    let config = config.map_or(String::new(), |path| format!(" -c {}", path.display()));
    let waiting = cx.client.to_confirm();
    for change in &waiting {
        let (id, left) = (change.id, left(change.until, clock(), within.as_secs()));
        say(&format!(
            "this is undone in {left} s unless you confirm it\n  couicctl{config} confirm {id}"
        ));
    }
    if waiting.is_empty() {
        say(
            "nothing waits to be confirmed: nothing was changed, or the daemon is too old to undo it",
        );
    }
}

/// Seconds until the change is undone, rounded up. The daemon's clock may be another: it is never more than was asked
/// for.
fn left(until: u64, now: u64, within: u64) -> u64 {
    until.saturating_sub(now).min(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_rounded_up() {
        // Asked for at 100.5, so that the daemon says 160, and shown at once, or a second later.
        assert_eq!(left(160, 100, 60), 60);
        assert_eq!(left(160, 101, 60), 59);
        // Clocks that differ.
        assert_eq!(left(160, 50, 60), 60);
        assert_eq!(left(160, 900, 60), 0);
    }
}
