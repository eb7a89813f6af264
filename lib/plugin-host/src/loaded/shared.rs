//! The host's callbacks: a table of pending attempts, looked up by number.
//!
//! Neither the context nor a token is a pointer. A completion that is late, invented, or of an instance that is gone
//! finds no entry, is counted, and is harmless.

use std::{
    collections::{HashMap, HashSet},
    ffi::c_void,
    fmt, ptr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::oneshot;

use crate::{PluginStats, text::clean};
use couic_plugin_api::{
    NotifyError,
    abi::{self, Host, RawResult, Slice},
    outcome::Outcome,
};

/// The longest message that is read.
const LONGEST_MESSAGE: usize = 4096;

/// Receives the log lines of a plugin: level and text.
pub(crate) type LogSink = Box<dyn Fn(u32, &str) + Send + Sync>;

/// The state of one instance for its callbacks.
pub(super) struct Shared {
    id: usize,
    log: LogSink,
    waiting: Mutex<Waiting>,
    timeouts: AtomicU64,
    panics: AtomicU64,
    late: AtomicU64,
    invented: AtomicU64,
    malformed: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    last_token: u64,
    pending: HashMap<u64, oneshot::Sender<Outcome>>,
    /// Given up, and not completed yet.
    stuck: HashSet<u64>,
}

static INSTANCES: RwLock<Option<HashMap<usize, Arc<Shared>>>> = RwLock::new(None);
static NEXT_ID: AtomicUsize = AtomicUsize::new(1);

impl Shared {
    pub(super) fn register(log: LogSink) -> Arc<Self> {
        let shared = Arc::new(Self {
            id: NEXT_ID.fetch_add(1, Relaxed),
            log,
            waiting: Mutex::default(),
            timeouts: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            late: AtomicU64::new(0),
            invented: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
        });
        let mut all = INSTANCES.write().unwrap_or_else(PoisonError::into_inner);
        all.get_or_insert_default()
            .insert(shared.id, Arc::clone(&shared));
        shared
    }

    /// Disables its callbacks, and fails the pending attempts.
    pub(super) fn unregister(&self) {
        let mut all = INSTANCES.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(all) = all.as_mut() {
            all.remove(&self.id);
        }
        drop(all);
        self.lock().pending.clear();
    }

    fn find(ctx: *mut c_void) -> Option<Arc<Self>> {
        let all = INSTANCES.read().unwrap_or_else(PoisonError::into_inner);
        all.as_ref()?.get(&ctx.addr()).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The argument of create.
    pub(super) fn host(&self) -> Host {
        Host {
            struct_size: size_of::<Host>() as u32,
            abi_major: abi::MAJOR,
            abi_minor: abi::MINOR,
            ctx: ptr::without_provenance_mut(self.id),
            log: Some(on_log),
            done: Some(on_done),
        }
    }

    /// A token for another attempt, unless `limit` are in flight.
    pub(super) fn begin(
        &self,
        limit: usize,
    ) -> Result<(u64, oneshot::Receiver<Outcome>), NotifyError> {
        let mut waiting = self.lock();
        let stuck = waiting.stuck.len();
        if waiting.pending.len() + stuck >= limit {
            let message = match stuck {
                0 => format!("{limit} in flight"),
                _ => format!("{stuck} attempts were given up and are not completed"),
            };
            return Err(NotifyError::Busy { message });
        }
        waiting.last_token += 1;
        let token = waiting.last_token;
        let (sender, receiver) = oneshot::channel();
        waiting.pending.insert(token, sender);
        Ok((token, receiver))
    }

    /// Stops waiting. True if the attempt must be cancelled, since it is not completed.
    pub(super) fn give_up(&self, token: u64) -> bool {
        let mut waiting = self.lock();
        let pending = waiting.pending.remove(&token);
        pending.is_some() && waiting.stuck.insert(token)
    }

    pub(super) fn timed_out(&self) {
        self.timeouts.fetch_add(1, Relaxed);
    }

    pub(super) fn complete(&self, token: u64, outcome: Outcome) {
        let mut waiting = self.lock();
        let pending = waiting.pending.remove(&token);
        let was_stuck = waiting.stuck.remove(&token);
        let was_given = token != 0 && token <= waiting.last_token;
        drop(waiting);
        if outcome.status == abi::PANIC {
            self.panics.fetch_add(1, Relaxed);
        }
        match pending {
            // If the receiver has just been dropped, it is late, too.
            Some(sender) => match sender.send(outcome) {
                Ok(()) => {}
                Err(_) => self.count(&self.late),
            },
            // The answer to a cancel.
            None if was_stuck && outcome.status == abi::CANCELLED => {}
            None if was_given => self.count(&self.late),
            None => self.count(&self.invented),
        }
    }

    fn count(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    pub(super) fn stats(&self) -> PluginStats {
        PluginStats {
            stuck: self.lock().stuck.len() as u64,
            timeouts: self.timeouts.load(Relaxed),
            panics: self.panics.load(Relaxed),
            late: self.late.load(Relaxed),
            invented: self.invented.load(Relaxed),
            malformed: self.malformed.load(Relaxed),
            restarts: 0,
        }
    }

    /// Copies a result. Invalid fields are counted and replaced.
    ///
    /// # Safety
    /// `res` must be NULL or point to `struct_size` bytes with a message that lives for the call.
    unsafe fn read(&self, res: *const RawResult) -> Outcome {
        if res.is_null() {
            self.count(&self.malformed);
            return Outcome::new(abi::RETRY, "the plugin returned no result");
        }
        // SAFETY: every result begins with its size.
        let size = unsafe { res.cast::<u32>().read_unaligned() } as usize;
        if size < size_of::<RawResult>() {
            self.count(&self.malformed);
            return Outcome::new(abi::RETRY, "the plugin returned a result that is too short");
        }
        // SAFETY: it has at least this size, and minors only append.
        let raw = unsafe { res.read_unaligned() };
        let len = raw.message.len.min(LONGEST_MESSAGE);
        // SAFETY: the plugin lends the message for the call.
        let bytes = unsafe { Slice { len, ..raw.message }.bytes() };
        let text = String::from_utf8_lossy(bytes.unwrap_or_default());
        let outcome = Outcome {
            status: raw.status,
            retry_after_ms: raw.retry_after_ms,
            http_status: raw.http_status,
            message: clean(&text),
        };
        if bytes.is_none() || text.contains('\u{fffd}') || !outcome.is_known() {
            self.count(&self.malformed);
        }
        outcome
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

unsafe extern "C" fn on_done(ctx: *mut c_void, token: u64, res: *const RawResult) {
    if let Some(shared) = Shared::find(ctx) {
        // SAFETY: by the ABI the plugin lends a result for the call.
        let outcome = unsafe { shared.read(res) };
        shared.complete(token, outcome);
    }
}

unsafe extern "C" fn on_log(ctx: *mut c_void, level: u32, msg: Slice) {
    let len = msg.len.min(LONGEST_MESSAGE);
    // SAFETY: by the ABI the plugin lends the message for the call.
    let bytes = unsafe { Slice { len, ..msg }.bytes() };
    if let (Some(shared), Some(bytes)) = (Shared::find(ctx), bytes) {
        (shared.log)(level, &clean(&String::from_utf8_lossy(bytes)));
    }
}
