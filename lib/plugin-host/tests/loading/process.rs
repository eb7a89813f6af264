//! Isolated plugins that crash or hang, and their restart.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use couic_plugin_api::NotifyError;
use couic_plugin_host::{AnyNotifier, IsolatedNotifier, PluginFile, PluginState};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::kit::{
    Ask as _, Mode, chameleon, compile_with, folder, hasty, isolation, options, plugins, start,
    start_with, until,
};

async fn isolated() -> Option<AnyNotifier> {
    Some(start(Mode::Isolated, &chameleon()?, "{}").await.unwrap())
}

/// Crashes it, and waits for its restart.
pub(crate) async fn crash(notifier: &AnyNotifier, source: &str, how: &str) {
    let before = notifier.stats().restarts;
    match notifier.ask(source).await {
        Err(NotifyError::Crashed { message }) => {
            assert!(message.contains(how), "{source}: {message}");
        }
        other => panic!("{source}: {other:?}"),
    }
    until("it is started again", async || {
        match notifier.ask("ok").await {
            Ok(_) => true,
            // Between two processes.
            Err(NotifyError::Unavailable { .. }) => false,
            Err(error) => panic!("{source}: {error:?}"),
        }
    })
    .await;
    assert_eq!(notifier.stats().restarts, before + 1, "{source}");
}

#[tokio::test]
async fn a_crash_is_reported_and_the_plugin_started_again() {
    let Some(notifier) = isolated().await else {
        return;
    };
    crash(&notifier, "segv", "was killed by SIGSEGV").await;
    assert_eq!(notifier.stats().restarts, 1);
}

#[tokio::test]
async fn the_reason_of_a_restart_is_reported_until_it_is_up_again() {
    let Some(notifier) = isolated().await else {
        return;
    };
    // On a stalled machine it may be up again before it is checked: then retry, with a longer pause.
    for _ in 0..5 {
        let error = notifier.ask("segv").await.unwrap_err();
        assert!(matches!(&error, NotifyError::Crashed { .. }), "{error:?}");
        if let Some(PluginState::Restarting { reason }) = notifier.state() {
            assert!(reason.contains("SIGSEGV"), "{reason}");
            let error = notifier.ask("ok").await.err();
            let named = |error: &NotifyError| error.to_string().contains("is being restarted");
            assert!(error.as_ref().is_none_or(named), "{error:?}");
            return;
        }
        until("it is up", async || notifier.ask("ok").await.is_ok()).await;
    }
    panic!("was never seen between two processes");
}

#[tokio::test]
async fn exit_and_abort_end_the_process_only() {
    let (Some(one), Some(two)) = (isolated().await, isolated().await) else {
        return;
    };
    tokio::join!(
        crash(&one, "exit", "exited with status 0"),
        crash(&two, "abort", "was killed by SIGABRT"),
    );
}

#[tokio::test]
async fn an_exception_ends_the_process_only() {
    let dir = folder();
    let path = dir.path().join("throws.so");
    let source = plugins().join("throws.cc");
    let Some(()) = compile_with("g++", &source, &["-std=c++17"], &path) else {
        return;
    };
    let notifier = start(Mode::Isolated, &path, "{}").await.unwrap();
    match notifier.ask("x").await {
        Err(NotifyError::Crashed { message }) => assert!(message.contains("SIGABRT"), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn memory_is_bounded() {
    let Some(path) = chameleon() else { return };
    let mut small = isolation();
    small.memory = 64 << 20;
    let file = PluginFile::check(&path, None).unwrap();
    let notifier = IsolatedNotifier::start(file, "eats", "{}", &options(), &small)
        .await
        .unwrap();
    let error = notifier.ask("eat").await.unwrap_err();
    assert!(
        matches!(&error, NotifyError::Crashed { message } if message.contains("SIGSEGV")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_plugin_that_hangs_is_killed_and_restarted() {
    let Some(path) = chameleon() else { return };
    for source in ["never", "block"] {
        let notifier = start_with(Mode::Isolated, &path, "{}", &hasty())
            .await
            .unwrap();
        let begin = Instant::now();
        let error = notifier.ask(source).await.unwrap_err();
        assert!(
            matches!(error, NotifyError::Timeout { .. }),
            "{source}: {error:?}"
        );
        until("it is killed", async || notifier.stats().restarts == 1).await;
        assert!(begin.elapsed() > Duration::from_secs(1), "it had its grace");
        assert_eq!(notifier.stats().stuck, 0);
        until("it is started again", async || {
            notifier.ask("ok").await.is_ok()
        })
        .await;
    }
}

#[tokio::test]
async fn a_process_that_is_stopped_is_killed_and_started_again() {
    let Some(path) = chameleon() else { return };
    let notifier = start_with(Mode::Isolated, &path, "{}", &hasty())
        .await
        .unwrap();
    let pid = notifier.reply("pid").await.parse().unwrap();
    kill(Pid::from_raw(pid), Signal::SIGSTOP).unwrap();
    let error = notifier.ask("ok").await.unwrap_err();
    assert!(matches!(error, NotifyError::Timeout { .. }), "{error:?}");
    until("it is killed", async || notifier.stats().restarts == 1).await;
    until("it is started again", async || {
        notifier.ask("ok").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn dropping_and_closing_end_the_process() {
    let Some(path) = chameleon() else { return };
    let file = || PluginFile::check(&path, None).unwrap();
    let (options, isolation) = (options(), isolation());
    let start = || IsolatedNotifier::start(file(), "x", "{}", &options, &isolation);
    let alive = |pid: &str| Path::new("/proc").join(pid).exists();

    let closed = start().await.unwrap();
    let pid = closed.reply("pid").await;
    assert!(alive(&pid));
    closed.close().await;
    assert!(!alive(&pid));

    let dropped = start().await.unwrap();
    let pid = dropped.reply("pid").await;
    drop(dropped);
    until("it ends", async || !alive(&pid)).await;
}

/// Processes that a plugin had left behind outlived the daemon, one more for each notification.
#[tokio::test]
async fn it_can_neither_create_nor_signal_another_process() {
    let Some(notifier) = isolated().await else {
        return;
    };
    for _ in 0..30 {
        let told = notifier.reply("fork").await;
        assert_eq!(told, "fork 1, ran 0, kill 1, F_SETOWN 1", "EPERM");
    }
    // Threads are its own affair.
    notifier.ask("thread").await.unwrap();
    let pid = notifier.reply("pid").await;
    // By whichever of its threads.
    let children = fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .filter_map(|task| fs::read_to_string(task.unwrap().path().join("children")).ok())
        .collect::<String>();
    assert_eq!(children, "");
    assert_eq!(notifier.stats().restarts, 0);
}
