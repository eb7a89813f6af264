//! A minimal host drives an exported plugin through its descriptor.

mod rig;

use std::{
    ptr,
    sync::atomic::{AtomicBool, Ordering},
};

use super::{Level, descriptor, head};
use crate::abi::{self, Slice};
use rig::{GATE, Rig, Script, event};

/// Whether this thread of the process sleeps.
fn sleeps(tid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().starts_with('S')
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
    // SAFETY: these check for NULL.
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
