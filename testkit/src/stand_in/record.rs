//! The record of a stand-in, shared by its connections: the handler, and every request with its reply.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, atomic::AtomicU64};

use super::{Reply, Request};

pub(super) type Handler = Box<dyn FnMut(&Request) -> Reply + Send>;

pub(super) struct State {
    pub(super) handler: Handler,
    pub(super) exchanges: Vec<(Request, Reply)>,
    /// How many of them `next` has returned.
    pub(super) taken: usize,
}

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) arrived: Condvar,
    pub(super) sent: AtomicU64,
}

impl Shared {
    /// A handler that panicked has not changed the state.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One lock for both: requests are recorded in the order of their replies, across connections.
    pub(super) fn record(&self, request: Request) -> Reply {
        let mut state = self.lock();
        let reply = (state.handler)(&request);
        state.exchanges.push((request, reply.clone()));
        self.arrived.notify_all();
        reply
    }
}
