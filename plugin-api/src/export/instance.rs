//! One instance of an exported plugin, and the four functions that the host calls.

use std::{
    collections::HashMap,
    ffi::c_void,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Runtime},
    task::AbortHandle,
};

use super::gate::{Gate, hook_panics};
use crate::{
    Notification, NotifyError, Plugin, Receipt,
    abi::{self, ErrBuf, Host, Request, Slice},
    outcome::Outcome,
    panics::{catch, panic_text},
};

/// How long destroy waits for tasks to end.
const DRAIN: Duration = Duration::from_secs(2);

struct Instance<P> {
    plugin: Arc<P>,
    runtime: Runtime,
    gate: Gate,
    tasks: Tasks,
}

#[derive(Clone, Default)]
struct Tasks(Arc<Mutex<HashMap<u64, AbortHandle>>>);

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, AbortHandle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls `done` once: with the given outcome, or, if it is dropped without one, with cancelled.
struct Completion {
    gate: Gate,
    tasks: Tasks,
    token: u64,
    outcome: Option<Outcome>,
}

impl Completion {
    fn finish(mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.tasks.lock().remove(&self.token);
        let outcome = self.outcome.take();
        let outcome = outcome.unwrap_or_else(|| NotifyError::Cancelled.into());
        self.gate.done(self.token, &outcome);
    }
}

impl<P: Plugin> Instance<P> {
    fn create(host: Host, config: &[u8]) -> Result<Box<Self>, NotifyError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("notifier-plugin")
            .enable_all()
            .build()
            .map_err(|error| NotifyError::retry(format!("no runtime: {error}")))?;
        let gate = Gate::new(host);
        let plugin = gate.enter(|| {
            let _context = runtime.enter();
            let config =
                serde_json::from_slice(config).map_err(|error| NotifyError::from_config(&error))?;
            P::create(config)
        })?;
        Ok(Box::new(Self {
            plugin: Arc::new(plugin),
            runtime,
            gate,
            tasks: Tasks::default(),
        }))
    }

    fn start(&self, token: u64, event: &[u8]) {
        let completion = Completion {
            gate: self.gate.clone(),
            tasks: self.tasks.clone(),
            token,
            outcome: None,
        };
        let notification = match serde_json::from_slice::<Notification>(event) {
            Ok(notification) => notification,
            Err(error) => {
                let text = format!("cannot read the notification: {error}");
                return completion.finish(NotifyError::permanent(text).into());
            }
        };
        let plugin = Arc::clone(&self.plugin);
        // Held across the spawn: a task that ends at once must find its handle to remove it.
        let mut tasks = self.tasks.lock();
        let task = self.runtime.spawn(async move {
            let result = attempt(&*plugin, &notification, &completion.gate).await;
            completion.finish(result.into());
        });
        tasks.insert(token, task.abort_handle());
    }

    fn cancel(&self, token: u64) {
        // Removed first: aborting under the lock would run Completion, which takes it.
        let task = self.tasks.lock().remove(&token);
        if let Some(task) = task {
            task.abort();
        }
    }

    fn destroy(self) {
        let tasks: Vec<_> = self.tasks.lock().drain().collect();
        for (_, task) in tasks {
            task.abort();
        }
        self.runtime.shutdown_timeout(DRAIN);
        self.gate.close();
    }
}

/// One attempt, as code of this instance.
async fn attempt<P: Plugin>(
    plugin: &P,
    notification: &Notification,
    gate: &Gate,
) -> Result<Receipt, NotifyError> {
    let future = gate.enter(|| catch(|| plugin.notify(notification)));
    let mut future = pin!(future);
    poll_fn(|context| gate.enter(|| future.as_mut().poll(context))).await
}

/// Runs an entry; a panic inside becomes `on_panic`.
fn guarded<T>(code: impl FnOnce() -> T, on_panic: impl FnOnce(String) -> T) -> T {
    match catch_unwind(AssertUnwindSafe(code)) {
        Ok(value) => value,
        Err(payload) => on_panic(panic_text(&*payload)),
    }
}

/// `create` of the ABI.
pub(super) unsafe extern "C" fn create<P: Plugin>(
    host: *const Host,
    config: Slice,
    out: *mut *mut c_void,
    err: *mut ErrBuf,
) -> i32 {
    let made = guarded(
        || {
            hook_panics();
            if host.is_null() || out.is_null() {
                return Err(NotifyError::permanent("the host passed NULL"));
            }
            // SAFETY: the host lends a couic_host of at least this size: minor 0 is the smallest.
            let host = unsafe { *host };
            // SAFETY: the host lends the configuration for the call.
            let config = unsafe { config.bytes() };
            let config = config.ok_or_else(|| NotifyError::bad_config("it is missing"))?;
            Instance::<P>::create(host, config)
        },
        |message| Err(NotifyError::Panic { message }),
    );
    match made {
        Ok(instance) => {
            // SAFETY: not NULL, as checked above, and the host lends it.
            unsafe { *out = Box::into_raw(instance).cast() };
            abi::OK
        }
        Err(error) => {
            let outcome = Outcome::from(error);
            // SAFETY: the host lends the buffer for the call.
            unsafe { explain(err, &outcome.message) };
            outcome.status
        }
    }
}

/// Writes as much of `text` as fits, cut at a character boundary.
///
/// # Safety
/// `err` must be NULL or point to a buffer that is lent for the call.
unsafe fn explain(err: *mut ErrBuf, text: &str) {
    // SAFETY: as the caller guarantees.
    let Some(err) = (unsafe { err.as_mut() }) else {
        return;
    };
    if err.ptr.is_null() {
        return;
    }
    let len = text.floor_char_boundary(err.cap);
    // SAFETY: the buffer has room for cap bytes, and len is not more.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), err.ptr, len) };
    err.len = len;
}

/// `notify` of the ABI.
pub(super) unsafe extern "C" fn notify<P: Plugin>(handle: *mut c_void, req: *const Request) -> i32 {
    guarded(
        || {
            // SAFETY: the handle is one of create, and the host has not destroyed it.
            let instance = unsafe { handle.cast::<Instance<P>>().as_ref() };
            // SAFETY: the host lends the request for the call.
            let request = unsafe { req.as_ref() };
            let (Some(instance), Some(request)) = (instance, request) else {
                return abi::PERMANENT;
            };
            // SAFETY: as above.
            let event = unsafe { request.event.bytes() }.unwrap_or_default();
            instance.start(request.token, event);
            abi::OK
        },
        |_| abi::PANIC,
    )
}

/// `cancel` of the ABI.
pub(super) unsafe extern "C" fn cancel<P: Plugin>(handle: *mut c_void, token: u64) {
    guarded(
        || {
            // SAFETY: the handle is one of create, and the host has not destroyed it.
            if let Some(instance) = unsafe { handle.cast::<Instance<P>>().as_ref() } {
                instance.cancel(token);
            }
        },
        |_| (),
    );
}

/// `destroy` of the ABI.
pub(super) unsafe extern "C" fn destroy<P: Plugin>(handle: *mut c_void) {
    if handle.is_null() {
        return;
    }
    guarded(
        || {
            // SAFETY: the handle is one of create, which boxed it, and this is the one time it is destroyed.
            let instance = unsafe { Box::from_raw(handle.cast::<Instance<P>>()) };
            instance.destroy();
        },
        |_| (),
    );
}
