//! A minimal host, and the plugin that it drives: its behavior is the mode of its configuration.

use std::{
    ffi::c_void,
    ptr,
    sync::{Condvar, Mutex, mpsc},
    time::Duration,
};

use serde::Deserialize;

use super::super::{Level, descriptor, head, log};
use crate::{
    Kind, Notification, Notifier, NotifyError, Plugin, Receipt, Severity,
    abi::{self, Descriptor, ErrBuf, Host, RawResult, Request, Slice},
    async_trait,
};

const WAIT: Duration = Duration::from_secs(20);

pub(super) struct Script {
    mode: String,
}

/// Blocks the thread of the mode "block": signals its arrival, and waits until the gate is opened.
pub(super) struct Gate {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

pub(super) static GATE: Gate = Gate {
    state: Mutex::new((false, false)),
    changed: Condvar::new(),
};

impl Gate {
    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 = true;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| !state.1).unwrap());
    }

    pub(super) fn wait_for_arrival(&self) {
        let state = self.state.lock().unwrap();
        let waited = self
            .changed
            .wait_timeout_while(state, WAIT, |state| !state.0);
        assert!(
            !waited.unwrap().1.timed_out(),
            "no thread arrived at the gate"
        );
    }

    pub(super) fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    mode: String,
}

#[async_trait]
impl Notifier for Script {
    fn name(&self) -> &str {
        "script"
    }

    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        match (self.mode.as_str(), notification.source.as_str()) {
            ("panic-late", _) => {
                tokio::task::yield_now().await;
                panic!("late {}", 7);
            }
            (_, "panic") => panic!("now"),
            ("hang", _) => std::future::pending().await,
            ("block", _) => {
                GATE.pass();
                Ok(Receipt::default())
            }
            ("log", _) => {
                log(Level::Warn, "from notify");
                Ok(Receipt::default())
            }
            _ => Err(NotifyError::from_http(503, Some(Duration::from_secs(9)))),
        }
    }
}

impl Plugin for Script {
    type Config = Config;

    fn create(config: Config) -> Result<Self, NotifyError> {
        match config.mode.as_str() {
            "panic" => panic!("in create"),
            "bad" => Err(NotifyError::bad_config("é".repeat(300))),
            _ => Ok(Self { mode: config.mode }),
        }
    }
}

pub(super) type Done = (u64, i32, u64, u32, String);

pub(super) struct Ears {
    done: mpsc::Sender<Done>,
    pub(super) logs: Mutex<Vec<(u32, String)>>,
}

unsafe extern "C" fn on_done(ctx: *mut c_void, token: u64, res: *const RawResult) {
    // SAFETY: ctx is the Ears of a Rig, which outlives the instance; the result is lent for the call.
    let (ears, res) = unsafe { (&*ctx.cast::<Ears>(), *res) };
    // SAFETY: as above.
    let message = unsafe { res.message.bytes() }.unwrap();
    let message = String::from_utf8(message.to_vec()).unwrap();
    let done = (
        token,
        res.status,
        res.retry_after_ms,
        res.http_status,
        message,
    );
    ears.done.send(done).unwrap();
}

unsafe extern "C" fn on_log(ctx: *mut c_void, level: u32, msg: Slice) {
    // SAFETY: as in on_done.
    let (ears, text) = unsafe { (&*ctx.cast::<Ears>(), msg.bytes().unwrap()) };
    let text = String::from_utf8(text.to_vec()).unwrap();
    ears.logs.lock().unwrap().push((level, text));
}

pub(super) struct Rig {
    pub(super) ears: Box<Ears>,
    pub(super) done: mpsc::Receiver<Done>,
    pub(super) plugin: Descriptor,
    pub(super) handle: *mut c_void,
}

impl Rig {
    pub(super) fn create(config: &str) -> Result<Self, (i32, String)> {
        let plugin = descriptor::<Script>(head(true), ["script\0", "1\0", "\0", "\0"]);
        let (sender, done) = mpsc::channel();
        let ears = Box::new(Ears {
            done: sender,
            logs: Mutex::default(),
        });
        let host = Host {
            struct_size: 32,
            abi_major: 1,
            abi_minor: 0,
            ctx: ptr::from_ref(&*ears).cast_mut().cast(),
            log: Some(on_log),
            done: Some(on_done),
        };
        let mut handle = ptr::null_mut();
        let mut buffer = [0_u8; 301];
        let mut err = ErrBuf {
            ptr: buffer.as_mut_ptr(),
            cap: buffer.len(),
            len: 0,
        };
        // SAFETY: everything is lent for the call, and the ears live as long as the rig.
        let status = unsafe {
            plugin.create.unwrap()(&host, Slice::new(config.as_bytes()), &mut handle, &mut err)
        };
        if status != abi::OK {
            let text = String::from_utf8(buffer[..err.len].to_vec()).unwrap();
            return Err((status, text));
        }
        Ok(Self {
            ears,
            done,
            plugin,
            handle,
        })
    }

    pub(super) fn notify(&self, token: u64, event: &str) -> i32 {
        let request = Request {
            struct_size: 40,
            attempt: 1,
            token,
            timeout_ms: 1000,
            event: Slice::new(event.as_bytes()),
        };
        // SAFETY: the handle lives, and the request is lent for the call.
        unsafe { self.plugin.notify.unwrap()(self.handle, &request) }
    }

    pub(super) fn one(&self) -> Done {
        self.done.recv_timeout(WAIT).unwrap()
    }

    /// Destroys it, and returns the completions that were not received until then.
    pub(super) fn destroy(self) -> Vec<Done> {
        // SAFETY: the handle lives, and is not used afterwards.
        unsafe { self.plugin.destroy.unwrap()(self.handle) };
        drop(self.ears);
        self.done.iter().collect()
    }
}

pub(super) fn event(source: &str) -> String {
    let event = Notification::new(Kind::Test, Severity::Green, source);
    serde_json::to_string(&event).unwrap()
}
