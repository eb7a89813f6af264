//! Rules are shared with other nodes, until all hold the same.
//!
//! Guarantees, whatever the other nodes do:
//! - The firewall never waits. Its events are hints which rules to look at; missed changes are found by a scan of all.
//! - Every peer has a task, a connection, a bounded queue and pauses of its own: none delays another.
//! - Rules that a peer sent are that peer's claims, within the limits and the share configured for it. They never touch
//!   sets; nor, unless it is trusted with that, what this node's clients or other peers want.
//! - A rule that is not taken for want of room or by a limit is not a deletion, and is never told as one.
//!
//! The state that is shared and its exchange are the crate `couic-peering`, which knows neither the firewall nor HTTP;
//! this module joins the three. [`Engine`] is synchronous; [`Peering`] has the threads and tasks.

mod budget;
mod durable;
mod enforce;
mod engine;
mod exchange;
mod identity;
mod inbound;
mod local;
mod outbound;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use couic_client::{Client, Endpoint, SetupError, Token};
use tokio::{runtime::Handle, task::JoinSet};

pub(crate) use budget::AnswerPlace;
pub use engine::{Engine, PeerSettings, Time};

use crate::config;
use couic_firewall::{journal::Registers, rules::Firewall};

/// How long to wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// How long to wait for a connection. Short, since the next try follows soon.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why rules cannot be shared.
#[derive(Debug, thiserror::Error)]
pub enum PeeringError {
    /// A peer's connection cannot be set up.
    #[error("the peer {name}: {problem}")]
    Peer {
        /// As it is called.
        name: String,
        /// Why not.
        problem: SetupError,
    },
    /// The file of authorities cannot be read.
    #[error("the peer {name}: cannot read ca = {}: {problem}", path.display())]
    Ca {
        /// As it is called.
        name: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: io::Error,
    },
    /// The machine's number cannot be kept.
    #[error("cannot read or write {}: {problem}", path.display())]
    Machine {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: io::Error,
    },
    /// No thread.
    #[error("the thread for peering cannot be started: {0}")]
    Thread(#[from] io::Error),
}

/// Peering, while it runs.
pub struct Peering {
    engine: Arc<Engine>,
    stop: Arc<AtomicBool>,
    watch: thread::JoinHandle<()>,
    tasks: JoinSet<()>,
}

impl Peering {
    /// Follows the firewall from now on, and talks to every peer on `runtime`. `registers` are those of an earlier life.
    ///
    /// # Errors
    /// [`PeeringError`]. A peer that does not answer is none.
    pub fn start(
        wanted: &config::Peering,
        working_dir: &Path,
        (firewall, registers): (Arc<Firewall>, Registers),
        runtime: &Handle,
    ) -> Result<Self, PeeringError> {
        let machine = identity::load(working_dir, identity::machine_id().as_deref())?;
        let clients: Vec<Client> = wanted.peers.iter().map(client).collect::<Result<_, _>>()?;
        let settings = wanted.peers.iter().map(PeerSettings::from).collect();
        let engine = Engine::new(
            machine.number,
            firewall,
            settings,
            wanted.limits.clone(),
            wanted.tombstones,
            Time::system(),
        )
        .of_copied_machine(machine.was_copied);
        engine.restore(registers);
        Self::run(Arc::new(engine), clients, runtime)
    }

    /// The same with an engine and clients that are there already, one for each peer.
    ///
    /// # Errors
    /// [`PeeringError::Thread`].
    pub fn run(
        engine: Arc<Engine>,
        clients: Vec<Client>,
        runtime: &Handle,
    ) -> Result<Self, PeeringError> {
        let stop = Arc::<AtomicBool>::default();
        let watch = watch::start(Arc::clone(&engine), Arc::clone(&stop))?;
        let mut tasks = JoinSet::new();
        for (index, client) in clients.into_iter().enumerate() {
            let engine = Arc::clone(&engine);
            tasks.spawn_on(exchange::run(engine, index, client), runtime);
        }
        Ok(Self {
            engine,
            stop,
            watch,
            tasks,
        })
    }

    /// For the API.
    #[must_use]
    pub fn engine(&self) -> Arc<Engine> {
        Arc::clone(&self.engine)
    }

    /// Ends it. Unsent changes are found by the peers when they compare, or lost with this node's memory.
    pub async fn stop(mut self) {
        self.stop.store(true, Ordering::Release);
        self.tasks.shutdown().await;
        let ended = tokio::task::spawn_blocking(|| self.watch.join()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::error!("the thread for peering panicked");
        }
    }
}

fn client(peer: &config::Peer) -> Result<Client, PeeringError> {
    let named = |problem| PeeringError::Peer {
        name: peer.name.to_string(),
        problem,
    };
    let endpoint = if peer.tls {
        Endpoint::tls(&peer.host, peer.port)
    } else {
        Endpoint::plain(&peer.host, peer.port)
    };
    let mut builder = Client::builder(endpoint)
        .token(Token::from(*peer.token.expose()))
        .timeout(TIMEOUT)
        .connect_timeout(CONNECT_TIMEOUT);
    if let Some(path) = &peer.ca {
        builder = builder.extra_ca(read_ca(path, peer)?);
    }
    builder.build().map_err(named)
}

fn read_ca(path: &Path, peer: &config::Peer) -> Result<Vec<u8>, PeeringError> {
    std::fs::read(path).map_err(|problem| PeeringError::Ca {
        name: peer.name.to_string(),
        path: path.to_owned(),
        problem,
    })
}
