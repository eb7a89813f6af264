//! A minimal host drives an exported plugin through its descriptor.

use std::{
    ffi::c_void,
    ptr,
    sync::{
        Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use serde::Deserialize;

use super::{Level, descriptor, head, log};
use crate::{
    Kind, Notification, Notifier, NotifyError, Plugin, Receipt, Severity,
    abi::{self, Descriptor, ErrBuf, Host, RawResult, Request, Slice},
    async_trait,
};

const WAIT: Duration = Duration::from_secs(20);

struct Script {
    mode: String,
}

/// Blocks the thread of the mode "block": signals its arrival, and waits until the gate is opened.
struct Gate {
    state: Mutex<(bool, bool)>,
    changed: Condvar,
}

static GATE: Gate = Gate {
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

    fn wait_for_arrival(&self) {
        let state = self.state.lock().unwrap();
        let waited = self
            .changed
            .wait_timeout_while(state, WAIT, |state| !state.0);
        assert!(
            !waited.unwrap().1.timed_out(),
            "no thread arrived at the gate"
        );
    }

    fn open(&self) {
        self.state.lock().unwrap().1 = true;
        self.changed.notify_all();
    }
}

/// Whether this thread of the process sleeps.
fn sleeps(tid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().starts_with('S')
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
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

type Done = (u64, i32, u64, u32, String);

struct Ears {
    done: mpsc::Sender<Done>,
    logs: Mutex<Vec<(u32, String)>>,
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

struct Rig {
    ears: Box<Ears>,
    done: mpsc::Receiver<Done>,
    plugin: Descriptor,
    handle: *mut c_void,
}

impl Rig {
    fn create(config: &str) -> Result<Self, (i32, String)> {
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

    fn notify(&self, token: u64, event: &str) -> i32 {
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

    fn one(&self) -> Done {
        self.done.recv_timeout(WAIT).unwrap()
    }

    /// Destroys it, and returns the completions that were not received until then.
    fn destroy(self) -> Vec<Done> {
        // SAFETY: the handle lives, and is not used afterwards.
        unsafe { self.plugin.destroy.unwrap()(self.handle) };
        drop(self.ears);
        self.done.iter().collect()
    }
}

fn event(source: &str) -> String {
    let event = Notification::new(Kind::Test, Severity::Green, source);
    serde_json::to_string(&event).unwrap()
}

#[test]
fn an_outcome_crosses_whole() {
    let rig = Rig::create(r#"{"mode":"x"}"#).unwrap_or_else(|_| panic!());
    assert_eq!(rig.notify(5, &event("s")), abi::OK);
    let (token, status, wait, http, _) = rig.one();
    assert_eq!(
        (token, status, wait, http),
        (5, abi::RATE_LIMITED, 9000, 503)
    );
    assert!(rig.destroy().is_empty());
}

#[test]
fn a_panic_is_an_error_and_the_plugin_stays_usable() {
    let rig = Rig::create(r#"{"mode":"panic-late"}"#).unwrap_or_else(|_| panic!());
    rig.notify(1, &event("s"));
    assert_eq!(rig.one(), (1, abi::PANIC, 0, 0, "late 7".to_owned()));
    let ordinary = Rig::create(r#"{"mode":"x"}"#).unwrap_or_else(|_| panic!());
    ordinary.notify(2, &event("panic"));
    assert_eq!(ordinary.one(), (2, abi::PANIC, 0, 0, "now".to_owned()));
    ordinary.notify(3, &event("s"));
    assert_eq!(ordinary.one().1, abi::RATE_LIMITED);
    let logs = rig.ears.logs.lock().unwrap().clone();
    assert!(
        logs.iter().any(|(_, line)| line.contains("late 7")),
        "{logs:?}"
    );
}

#[test]
fn create_says_why_it_failed() {
    let (status, text) = Rig::create(r#"{"mode":"panic"}"#).err().unwrap();
    assert_eq!((status, text.as_str()), (abi::PANIC, "in create"));
    let (status, text) = Rig::create(r#"{"mode":"bad"}"#).err().unwrap();
    assert_eq!((status, text), (abi::BAD_CONFIG, "é".repeat(150)));
    let (status, text) = Rig::create(r#"{"mode":"x","more":1}"#).err().unwrap();
    assert!(status == abi::BAD_CONFIG && text.contains("more"), "{text}");
    let (status, text) = Rig::create(r#""https://hooks.example/SECRET""#)
        .err()
        .unwrap();
    assert_eq!(status, abi::BAD_CONFIG);
    assert!(!text.contains("SECRET"), "{text}");
}

#[test]
fn cancel_and_destroy_complete_attempts_in_progress_once() {
    let rig = Rig::create(r#"{"mode":"hang"}"#).unwrap_or_else(|_| panic!());
    for token in 1..=3 {
        assert_eq!(rig.notify(token, &event("s")), abi::OK);
    }
    // SAFETY: the handle lives.
    unsafe { rig.plugin.cancel.unwrap()(rig.handle, 2) };
    assert_eq!((rig.one().0, rig.done.try_recv().is_err()), (2, true));
    let mut rest: Vec<_> = rig.destroy().into_iter().map(|(t, s, ..)| (t, s)).collect();
    rest.sort_unstable();
    assert_eq!(rest, [(1, abi::CANCELLED), (3, abi::CANCELLED)]);
}

#[test]
fn a_task_that_blocks_while_destroyed_completes_before_destroy_returns() {
    let rig = Rig::create(r#"{"mode":"block"}"#).unwrap_or_else(|_| panic!());
    rig.notify(1, &event("s"));
    GATE.wait_for_arrival();
    let destroying = AtomicBool::new(false);
    let tid = nix::unistd::gettid().as_raw();
    let completed = std::thread::scope(|scope| {
        scope.spawn(|| {
            // Opened once destroy waits for it.
            while !(destroying.load(Ordering::SeqCst) && sleeps(tid)) {
                std::thread::yield_now();
            }
            GATE.open();
        });
        destroying.store(true, Ordering::SeqCst);
        rig.destroy()
    });
    assert_eq!(completed.len(), 1);
}

#[test]
fn an_invalid_notification_is_a_permanent_error() {
    let rig = Rig::create(r#"{"mode":"x"}"#).unwrap_or_else(|_| panic!());
    for (token, event) in ["", "{", r#"{"version":9}"#].into_iter().enumerate() {
        let token = token as u64;
        assert_eq!(rig.notify(token, event), abi::OK);
        let (seen, status, ..) = rig.one();
        assert_eq!((seen, status), (token, abi::PERMANENT));
    }
}

#[test]
fn null_is_survived() {
    let plugin = descriptor::<Script>(head(true), ["script\0", "1\0", "\0", "\0"]);
    // SAFETY: NULL is what these check for.
    unsafe {
        let create = plugin.create.unwrap();
        let nothing = Slice::new(b"");
        assert_ne!(
            create(ptr::null(), nothing, ptr::null_mut(), ptr::null_mut()),
            abi::OK
        );
        assert_eq!(
            plugin.notify.unwrap()(ptr::null_mut(), ptr::null()),
            abi::PERMANENT
        );
        plugin.cancel.unwrap()(ptr::null_mut(), 1);
        plugin.destroy.unwrap()(ptr::null_mut());
    }
}

#[test]
fn a_line_reaches_the_log_of_the_host() {
    let rig = Rig::create(r#"{"mode":"log"}"#).unwrap_or_else(|_| panic!());
    rig.notify(1, &event("s"));
    assert_eq!(rig.one().1, abi::OK);
    let logs = rig.ears.logs.lock().unwrap().clone();
    assert_eq!(logs, [(Level::Warn as u32, "from notify".to_owned())]);
}
