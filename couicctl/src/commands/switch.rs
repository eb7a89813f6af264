//! `couicctl panic`, `couicctl confirm`, and what every command says about them.

use std::path::Path;

use couic_common::PanicRequest;

use super::Context;
use crate::{
    cli::{ConfirmArgs, ConfirmCommand, PanicCommand},
    duration::now,
    failure::{Failure, say},
    render,
};

pub(super) async fn panic(command: Option<PanicCommand>, cx: &mut Context) -> Result<(), Failure> {
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
    cx.output
        .show(&status, |out| render::panic(&status, now(), out))
}

pub(super) async fn confirm(args: ConfirmArgs, cx: &mut Context) -> Result<(), Failure> {
    let done = match (args.command, args.id) {
        (Some(ConfirmCommand::List), _) => return list(cx).await,
        (Some(ConfirmCommand::Undo { id }), _) => {
            let undone = cx.client.undo(id).await.map_err(|e| cx.failed(e))?;
            return cx
                .output
                .show(&undone, |out| render::undone(&undone, now(), out));
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
        .show(&all, |out| render::confirmations(&all, now(), out))
}

/// What the answers said besides: on stderr, so that what reads stdout reads on.
pub(super) fn remark(cx: &Context, asked: bool, config: Option<&Path>) {
    if cx.client.panic_seen() {
        say(
            "PANIC IS ON: nothing is filtered, whatever the rules say\n  see couicctl panic; to end it: couicctl panic off",
        );
    }
    if !asked {
        return;
    }
    let config = config.map_or(String::new(), |path| format!(" -c {}", path.display()));
    let waiting = cx.client.to_confirm();
    for change in &waiting {
        let (id, left) = (change.id, change.until.saturating_sub(now()));
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
