//! Calls to the host. They end before `destroy` returns: no thread of the plugin calls the host afterwards.

use std::{
    cell::RefCell,
    panic::{self, PanicHookInfo},
    sync::{Arc, Once, PoisonError, RwLock},
};

use crate::{
    abi::{Host, RawResult, Slice},
    outcome::Outcome,
};

/// The level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Level {
    /// Something does not work.
    Error = 1,
    /// Something may stop working.
    Warn = 2,
    /// Worth knowing.
    Info = 3,
    /// For debugging.
    Debug = 4,
}

/// Writes a line to the host's log, under the name of the notifier. No URLs, no tokens.
///
/// Works inside of [`Plugin::create`](crate::Plugin::create) and [`Notifier::notify`](crate::Notifier::notify). From
/// tasks that a plugin spawned, and in a notifier that is linked in, it goes to [`tracing`].
pub fn log(level: Level, message: &str) {
    let gate = CURRENT.with_borrow(Clone::clone);
    match (gate, level) {
        (Some(gate), _) => gate.log(level, message),
        (None, Level::Error) => tracing::error!(target: "couic::notifier", "{message}"),
        (None, Level::Warn) => tracing::warn!(target: "couic::notifier", "{message}"),
        (None, Level::Info) => tracing::info!(target: "couic::notifier", "{message}"),
        (None, Level::Debug) => tracing::debug!(target: "couic::notifier", "{message}"),
    }
}

thread_local! {
    /// The instance whose code runs on this thread.
    static CURRENT: RefCell<Option<Gate>> = const { RefCell::new(None) };
}

/// The host's functions, while they may be called.
#[derive(Clone)]
pub(super) struct Gate(Arc<RwLock<Option<Host>>>);

impl Gate {
    pub(super) fn new(host: Host) -> Self {
        Self(Arc::new(RwLock::new(Some(host))))
    }

    /// Ends calls to the host. Waits for those in progress.
    pub(super) fn close(&self) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn done(&self, token: u64, outcome: &Outcome) {
        let result = RawResult {
            struct_size: size_of::<RawResult>() as u32,
            status: outcome.status,
            retry_after_ms: outcome.retry_after_ms,
            http_status: outcome.http_status,
            reserved: 0,
            message: Slice::new(outcome.message.as_bytes()),
        };
        let host = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(Host {
            ctx,
            done: Some(done),
            ..
        }) = *host
        {
            // SAFETY: the instance lives, since the gate is open and the lock keeps it open.
            unsafe { done(ctx, token, &raw const result) };
        }
    }

    fn log(&self, level: Level, message: &str) {
        let host = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(Host {
            ctx,
            log: Some(log),
            ..
        }) = *host
        {
            // SAFETY: as in done.
            unsafe { log(ctx, level as u32, Slice::new(message.as_bytes())) };
        }
    }

    /// Runs `code` as code of this instance: its log lines and panics go through this gate.
    pub(super) fn enter<T>(&self, code: impl FnOnce() -> T) -> T {
        struct Leave(Option<Gate>);
        impl Drop for Leave {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _leave = Leave(CURRENT.replace(Some(self.clone())));
        code()
    }
}

/// Sends panics of instances to the host's log, with their location and without a backtrace, which takes 80 ms.
///
/// A cdylib has its own standard library, so this does not replace the host's hook.
pub(super) fn hook_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            match CURRENT.with_borrow(Clone::clone) {
                Some(gate) => gate.log(Level::Error, &place(info)),
                None => before(info),
            }
        }));
    });
}

fn place(info: &PanicHookInfo<'_>) -> String {
    let text = info.payload_as_str().unwrap_or("without a message");
    match info.location() {
        Some(at) => format!("panic at {at}: {text}"),
        None => format!("panic: {text}"),
    }
}
