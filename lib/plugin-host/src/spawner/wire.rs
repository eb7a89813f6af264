//! The protocol of a program and its spawner, over a [`Channel`](couic_privsep::Channel).

use serde::{Deserialize, Serialize};

/// A message of the program.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Start a process with `memory` bytes for the plugin whose sealed copy comes with this, and call it `id`. Answered
    /// by three `Pipe`s and `Started`, or by `Failed`.
    Start { id: u64, memory: u64 },
    /// Kill the process and its descendants.
    Kill { id: u64 },
    /// Answered by `Pong`, unless the spawner hangs or is stopped.
    Ping,
}

/// A message of the spawner.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Reply {
    /// A pipe of the process comes with this: standard input, output and error, in this order.
    Pipe { id: u64 },
    /// The process runs; its pidfd comes with this. `copy` is the plugin's descriptor in it.
    Started { id: u64, pid: u32, copy: i32 },
    /// The process was not started, for this reason.
    Failed { id: u64, errno: i32 },
    /// The process has ended, with this wait(2) status.
    Ended { id: u64, status: i32 },
    /// To [`Request::Ping`].
    Pong,
}
