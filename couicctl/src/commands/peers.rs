//! `couicctl peers`.

use couic_common::counted;

use super::{Context, invite};
use crate::{cli::PeersCommand, failure::Failure, render};

pub(super) async fn run(command: Option<PeersCommand>, cx: &mut Context) -> Result<(), Failure> {
    match command {
        None | Some(PeersCommand::List) => {
            let all = cx.client.peers().await.map_err(|e| cx.failed(e))?;
            let now = cx.now();
            cx.output.show(&all, |out| render::peers(&all, now, out))
        }
        Some(PeersCommand::Invite(args)) => invite::run(args, cx).await,
        Some(PeersCommand::Forget { name }) => {
            let done = cx.client.forget_peer(&name).await;
            let done = done.map_err(|e| cx.failed(e))?;
            cx.output.show(&done, |out| {
                let rules = counted(done.removed, "rule", "rules");
                writeln!(out, "{rules} from {name} removed.")
            })
        }
    }
}
