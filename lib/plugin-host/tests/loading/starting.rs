//! Plugins that do not start: each fails with its reason, and others run.

use std::time::Duration;

use couic_plugin_host::{PluginOptions, Reason};

use crate::kit::{Ask as _, BOTH, Mode, chameleon, compile, folder, options, start, start_with};

async fn reason(mode: Mode, config: &str) -> Option<Reason> {
    let started = start(mode, &chameleon()?, config).await;
    Some(started.unwrap_err().reason)
}

#[tokio::test]
async fn create_fails_and_says_why() {
    for mode in BOTH {
        let Some(reason) = reason(mode, r#"{"create":"fail"}"#).await else {
            return;
        };
        let text = reason.to_string();
        assert_eq!(
            text, "does not start: bad configuration: url: no [31m such host",
            "{mode:?}"
        );
    }
}

#[tokio::test]
async fn create_lies_about_its_reason() {
    for mode in BOTH {
        let Some(reason) = reason(mode, r#"{"create":"huge"}"#).await else {
            return;
        };
        let text = reason.to_string();
        assert!(text.contains("unknown status 99"), "{mode:?}: {text}");
    }
}

#[tokio::test]
async fn create_gives_no_handle() {
    for mode in BOTH {
        let Some(reason) = reason(mode, r#"{"create":"null"}"#).await else {
            return;
        };
        assert_eq!(
            reason.to_string(),
            "does not start: it returned no handle",
            "{mode:?}"
        );
    }
}

#[tokio::test]
async fn create_hangs_and_others_run() {
    let Some(path) = chameleon() else { return };
    let hasty = PluginOptions {
        create_timeout: Duration::from_millis(300),
        ..options()
    };
    for mode in BOTH {
        let hangs = start_with(mode, &path, r#"{"create":"hang"}"#, &hasty);
        let reason = hangs.await.unwrap_err().reason;
        assert!(
            reason.to_string().contains("has not started within"),
            "{mode:?}: {reason}"
        );
        let other = start(mode, &path, "{}").await.unwrap();
        other.ask("ok").await.unwrap();
    }
}

#[tokio::test]
async fn create_crashes_its_process() {
    let Some(path) = chameleon() else { return };
    let error = start(Mode::Isolated, &path, r#"{"create":"segv"}"#)
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("was killed by SIGSEGV"), "{text}");
}

#[tokio::test]
async fn a_plugin_that_aborts_runs_isolated_only() {
    let dir = folder();
    let path = dir.path().join("aborts.so");
    let Some(()) = compile("chameleon.c", &["-DFLAGS=COUIC_F_ASYNC"], &path) else {
        return;
    };
    let error = start(Mode::Loaded, &path, "{}").await.unwrap_err();
    assert!(matches!(error.reason, Reason::Aborts), "{error}");
    let isolated = start(Mode::Isolated, &path, "{}").await.unwrap();
    isolated.ask("ok").await.unwrap();
}

#[tokio::test]
async fn output_of_a_plugin_does_not_break_the_protocol() {
    let Some(path) = chameleon() else { return };
    let isolated = start(Mode::Isolated, &path, r#"{"create":"print"}"#)
        .await
        .unwrap();
    isolated.ask("ok").await.unwrap();
}

#[tokio::test]
async fn two_instances_share_the_mapping_and_nothing_else() {
    let Some(path) = chameleon() else { return };
    let (one, two) = (
        start(Mode::Loaded, &path, "{}").await.unwrap(),
        start(Mode::Loaded, &path, "{}").await.unwrap(),
    );
    one.ask("ok").await.unwrap();
    drop(one);
    two.ask("ok").await.unwrap();
    assert_eq!(two.info().unwrap().plugin, "chameleon");
    assert_eq!(two.info().unwrap().abi, "1.0");
}
