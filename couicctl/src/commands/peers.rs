//! `couicctl peers`.

use std::time::Duration;

use couic_common::{PeerInfo, PeerState, counted};

use super::{Context, interrupt::Interrupt, invite, progress::Progress};
use crate::{cli::PeersCommand, failure::Failure, render};

const PERIOD: Duration = Duration::from_secs(1);

pub(super) async fn run(
    command: Option<PeersCommand>,
    wait: bool,
    cx: &mut Context,
) -> Result<(), Failure> {
    match command.unwrap_or(PeersCommand::List { wait }) {
        PeersCommand::List { wait } => {
            let all = if wait {
                converged(cx).await?
            } else {
                read(cx).await?
            };
            if all.is_empty() {
                let sentence =
                    "There are no peers: [peering] in couic.toml is not enabled, or names none.";
                return cx.output.nothing(&all, sentence);
            }
            let now = cx.now();
            cx.output.show(&all, |out| render::peers(&all, now, out))
        }
        PeersCommand::Invite(args) => invite::run(args, cx).await,
        PeersCommand::Forget { name } => {
            let done = match cx.client.forget_peer(&name).await {
                Ok(done) => done,
                Err(error) => {
                    let names = async || {
                        let all = cx.client.peers().await.ok()?;
                        Some(all.into_iter().map(|peer| peer.name.to_string()).collect())
                    };
                    return Err(cx.unknown(name.as_str(), error, names).await);
                }
            };
            cx.output.show(&done, |out| {
                let rules = counted(done.removed, "rule", "rules");
                writeln!(out, "{rules} from {name} removed.")
            })
        }
    }
}

async fn read(cx: &Context) -> Result<Vec<PeerInfo>, Failure> {
    cx.client.peers().await.map_err(|e| cx.failed(e))
}

/// Waits until the rules of all peers are the same as here.
async fn converged(cx: &Context) -> Result<Vec<PeerInfo>, Failure> {
    let mut interrupt = Interrupt::catch()?;
    let progress = Progress::waiting("comparing the rules with the peers");
    loop {
        let all = read(cx).await?;
        let missing = missing(&all);
        if missing.is_empty() {
            return Ok(all);
        }
        let missing = missing.join("; ");
        progress.say(missing.clone());
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = interrupt.wait() => {
                drop(progress);
                let text = format!("interrupted, not the same yet: {missing}");
                return Err(Failure::Failed(text).hint("the daemon goes on; see couicctl peers"));
            }
        }
    }
}

/// The peers that are compared and differ: what each still misses.
fn missing(all: &[PeerInfo]) -> Vec<String> {
    let compared = |peer: &&PeerInfo| {
        !matches!(peer.state, PeerState::Plain | PeerState::Inbound)
            && (peer.state != PeerState::InSync || peer.differing > 0 || peer.queue > 0)
    };
    let missing = all.iter().filter(compared);
    missing
        .map(|peer| {
            let (name, state) = (&peer.name, render::peer_state(peer.state));
            let (differing, queue) = (peer.differing, peer.queue);
            format!("{name} {state}, {differing} differing, {queue} waiting")
        })
        .collect()
}
