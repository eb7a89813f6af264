//! One instance of a loaded plugin, and the only thread that calls it.

use std::{
    ffi::c_void,
    path::{Path, PathBuf},
    ptr,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tokio::{sync::oneshot, time::timeout};

use super::{
    library::Library,
    shared::{LogSink, Shared},
};
use crate::{LoadError, PluginFile, PluginInfo, PluginStats, Reason, text::clean};
use couic_plugin_api::{
    NotifyError,
    abi::{self, ErrBuf, Request, Slice},
    outcome::Outcome,
};

/// The size of create's error buffer.
const REASON_BYTES: usize = 1024;

/// How to create an instance.
pub(crate) struct Setup {
    /// The notifier's name.
    pub(crate) name: String,
    /// JSON.
    pub(crate) config: String,
    pub(crate) create_timeout: Duration,
    /// How many attempts a concurrent plugin may have in flight, the stuck ones included.
    pub(crate) max_in_flight: usize,
    /// The process is the plugin's own, so it may abort.
    pub(crate) own_process: bool,
    pub(crate) log: LogSink,
}

enum Command {
    Notify {
        token: u64,
        attempt: u32,
        timeout: Duration,
        event: Vec<u8>,
    },
    Cancel(u64),
}

/// Dropping it destroys the instance, on its thread.
#[derive(Debug)]
pub(crate) struct Instance {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    limit: usize,
    info: PluginInfo,
    ended: oneshot::Receiver<()>,
}

/// An attempt in flight. Dropping it cancels the attempt.
pub(crate) struct Flight {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    token: u64,
    outcome: oneshot::Receiver<Outcome>,
}

impl Instance {
    /// Maps the plugin and creates an instance of it, within the setup's timeout.
    pub(crate) async fn create(file: PluginFile, setup: Setup) -> Result<Self, LoadError> {
        let path = file.path().to_owned();
        Self::created(file, setup, &path)
            .await
            .map_err(|reason| reason.at(path))
    }

    async fn created(file: PluginFile, setup: Setup, path: &Path) -> Result<Self, Reason> {
        let Setup {
            create_timeout,
            max_in_flight,
            own_process,
            ..
        } = setup;
        let sha256 = file.sha256().to_owned();
        let shared = Shared::register(setup.log);
        let (commands, inbox) = mpsc::channel();
        let (ready, created) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let worker = Arc::clone(&shared);
        let config = setup.config;
        let name: String = setup.name.chars().take(6).collect();
        thread::Builder::new()
            .name(format!("notifier-{name}"))
            .spawn(move || {
                match create(file, own_process, &worker, &config) {
                    Ok(plugin) => serve(&plugin, ready, &inbox, &worker),
                    // On error the timeout has been reported already.
                    Err(reason) => drop(ready.send(Err(reason))),
                }
                worker.unregister();
                drop(end);
            })
            .map_err(|error| {
                shared.unregister();
                Reason::Process(error.to_string())
            })?;
        let library = match timeout(create_timeout, created).await {
            Ok(Ok(created)) => created?,
            Ok(Err(_)) => return Err(Reason::Create("its thread ended".to_owned())),
            Err(_) => return Err(Reason::CreateTimeout(create_timeout.as_secs_f64())),
        };
        Ok(Self {
            shared,
            commands,
            limit: limit(library, max_in_flight),
            info: info(library, path.to_owned(), sha256),
            ended,
        })
    }

    pub(crate) fn info(&self) -> &PluginInfo {
        &self.info
    }

    pub(crate) fn stats(&self) -> PluginStats {
        self.shared.stats()
    }

    /// Destroys the instance and waits for its thread, but not longer than `wait`.
    pub(crate) async fn close(self, wait: Duration) {
        drop(self.commands);
        // On a timeout the thread is abandoned.
        let _ = timeout(wait, self.ended).await;
    }

    pub(crate) fn count_timeout(&self) {
        self.shared.timed_out();
    }

    /// Hands a notification to the plugin.
    pub(crate) fn begin(
        &self,
        event: Vec<u8>,
        attempt: u32,
        timeout: Duration,
    ) -> Result<Flight, NotifyError> {
        let (token, outcome) = self.shared.begin(self.limit)?;
        let flight = Flight {
            shared: Arc::clone(&self.shared),
            commands: self.commands.clone(),
            token,
            outcome,
        };
        let command = Command::Notify {
            token,
            attempt,
            timeout,
            event,
        };
        match self.commands.send(command) {
            Ok(()) => Ok(flight),
            Err(_) => Err(gone()),
        }
    }
}

fn gone() -> NotifyError {
    NotifyError::Unavailable {
        message: "the plugin's thread has ended".to_owned(),
    }
}

impl Flight {
    /// Asks the plugin to stop; its outcome still follows.
    pub(crate) fn cancel(&self) {
        // On error the thread is gone, and the attempt with it.
        let _ = self.commands.send(Command::Cancel(self.token));
    }

    pub(crate) async fn outcome(&mut self) -> Outcome {
        match (&mut self.outcome).await {
            Ok(outcome) => outcome,
            Err(_) => gone().into(),
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.shared.give_up(self.token) {
            self.cancel();
        }
    }
}

/// How many attempts it may have in flight.
fn limit(library: &Library, max_in_flight: usize) -> usize {
    if library.descriptor.head.flags & abi::FLAG_CONCURRENT == 0 {
        1
    } else {
        max_in_flight.max(1)
    }
}

fn info(library: &Library, path: PathBuf, sha256: String) -> PluginInfo {
    let head = &library.descriptor.head;
    PluginInfo {
        plugin: library.name.clone(),
        version: library.version.clone(),
        build_info: library.build_info.clone(),
        config_schema: library.config_schema.clone(),
        abi: format!("{}.{}", head.abi_major, head.abi_minor),
        path,
        sha256,
    }
}

struct Plugin {
    library: &'static Library,
    handle: *mut c_void,
}

fn create(
    file: PluginFile,
    own_process: bool,
    shared: &Shared,
    config: &str,
) -> Result<Plugin, Reason> {
    let library = Library::load(file, own_process)?;
    let missing = Reason::Descriptor("create is NULL");
    let create = library.descriptor.create.ok_or(missing)?;
    let host = shared.host();
    let mut handle = ptr::null_mut();
    let mut text = [0_u8; REASON_BYTES];
    let mut err = ErrBuf {
        ptr: text.as_mut_ptr(),
        cap: text.len(),
        len: 0,
    };
    // SAFETY: the plugin's function, as declared, with arguments that are lent for the call.
    let status = unsafe {
        create(
            &raw const host,
            Slice::new(config.as_bytes()),
            &raw mut handle,
            &raw mut err,
        )
    };
    if status != abi::OK {
        let said = String::from_utf8_lossy(&text[..err.len.min(REASON_BYTES)]);
        return Err(Reason::Create(refusal(status, &clean(&said))));
    }
    if handle.is_null() {
        return Err(Reason::Create("it returned no handle".to_owned()));
    }
    Ok(Plugin { library, handle })
}

fn refusal(status: i32, said: &str) -> String {
    let said = if said.is_empty() {
        "no reason given"
    } else {
        said
    };
    match status {
        abi::BAD_CONFIG => format!("bad configuration: {said}"),
        abi::PANIC => format!("it panicked: {said}"),
        abi::RETRY..=abi::BUSY => said.to_owned(),
        other => format!("unknown status {other}: {said}"),
    }
}

/// The thread's loop. A plugin that took too long to start is destroyed at once.
fn serve(
    plugin: &Plugin,
    ready: oneshot::Sender<Result<&'static Library, Reason>>,
    inbox: &mpsc::Receiver<Command>,
    shared: &Shared,
) {
    let Plugin { library, handle } = *plugin;
    if ready.send(Ok(library)).is_ok() {
        for command in inbox {
            plugin.obey(command, shared);
        }
    }
    if let Some(destroy) = library.descriptor.destroy {
        // SAFETY: the handle is from create, on the thread that called it, and is not used again.
        unsafe { destroy(handle) };
    }
}

impl Plugin {
    fn obey(&self, command: Command, shared: &Shared) {
        let descriptor = &self.library.descriptor;
        match command {
            Command::Notify {
                token,
                attempt,
                timeout,
                event,
            } => {
                let request = Request {
                    struct_size: size_of::<Request>() as u32,
                    attempt,
                    token,
                    timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
                    event: Slice::new(&event),
                };
                let Some(notify) = descriptor.notify else {
                    return;
                };
                // SAFETY: the handle is from create and not destroyed; the request is lent for the call.
                let status = unsafe { notify(self.handle, &raw const request) };
                if status != abi::OK {
                    shared.complete(token, Outcome::new(status, "the plugin did not accept it"));
                }
            }
            Command::Cancel(token) => {
                if let Some(cancel) = descriptor.cancel {
                    // SAFETY: the handle is from create and not destroyed.
                    unsafe { cancel(self.handle, token) };
                }
            }
        }
    }
}
