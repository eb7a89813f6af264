//! Plugins that start, and then misbehave.

use std::time::Duration;

use couic_plugin_api::{Kind, Notification, Notifier, NotifyError, Severity};
use couic_plugin_host::{AnyNotifier, PluginStats};

use crate::kit::{
    Ask as _, BOTH, Mode, chameleon, compile, folder, hasty, start, start_with, until,
};

async fn good(mode: Mode) -> Option<AnyNotifier> {
    Some(start(mode, &chameleon()?, "{}").await.unwrap())
}

#[tokio::test]
async fn done_twice_or_invented_is_counted_and_harmless() {
    for mode in BOTH {
        let Some(notifier) = good(mode).await else {
            return;
        };
        notifier.ask("twice").await.unwrap();
        notifier.ask("invented").await.unwrap();
        notifier.ask("ok").await.unwrap();
        let PluginStats { late, invented, .. } = notifier.stats();
        assert_eq!((late, invented), (1, 1), "{mode:?}");
    }
}

#[tokio::test]
async fn done_from_another_thread() {
    for mode in BOTH {
        let Some(notifier) = good(mode).await else {
            return;
        };
        notifier.ask("thread").await.unwrap();
        assert_eq!(notifier.stats(), PluginStats::default(), "{mode:?}");
    }
}

#[tokio::test]
async fn invalid_results_are_mapped_and_counted() {
    for mode in BOTH {
        let Some(notifier) = good(mode).await else {
            return;
        };
        let cases = [
            (
                "nullresult",
                NotifyError::retry("the plugin returned no result"),
            ),
            (
                "short",
                NotifyError::retry("the plugin returned a result that is too short"),
            ),
            ("nullmessage", NotifyError::permanent("")),
            ("utf8", NotifyError::permanent("bad \u{fffd}\u{fffd} bytes")),
        ];
        for (source, expected) in cases {
            assert_eq!(
                notifier.ask(source).await,
                Err(expected),
                "{mode:?} {source}"
            );
        }
        for source in ["status", "negative"] {
            let error = notifier.ask(source).await.unwrap_err();
            // Neither lost nor reported as a crash.
            assert!(
                matches!(error, NotifyError::Retry { .. }),
                "{mode:?} {error:?}"
            );
        }
        assert_eq!(notifier.stats().malformed, 6, "{mode:?}");
    }
}

#[tokio::test]
async fn a_notification_that_is_not_accepted_is_answered() {
    for mode in BOTH {
        let Some(notifier) = good(mode).await else {
            return;
        };
        let error = notifier.ask("busy").await.unwrap_err();
        assert!(
            matches!(error, NotifyError::Busy { .. }),
            "{mode:?}: {error:?}"
        );
        notifier.ask("ok").await.unwrap();
    }
}

#[tokio::test]
async fn attempts_are_counted_for_the_plugin() {
    for mode in BOTH {
        let Some(notifier) = good(mode).await else {
            return;
        };
        let notification = Notification::new(Kind::Test, Severity::Green, "attempt");
        for expected in ["1 of 60000 ms", "2 of 60000 ms", "3 of 60000 ms"] {
            let error = notifier.notify(&notification).await.unwrap_err();
            assert_eq!(error, NotifyError::retry(expected), "{mode:?}");
        }
        assert_eq!(
            notifier.ask("attempt").await,
            Err(NotifyError::retry("1 of 60000 ms"))
        );
    }
}

#[tokio::test]
async fn a_late_answer_frees_its_place() {
    let Some(path) = chameleon() else { return };
    for mode in BOTH {
        let notifier = start_with(mode, &path, "{}", &hasty()).await.unwrap();
        let error = notifier.ask("late").await.unwrap_err();
        assert_eq!(
            error,
            NotifyError::Timeout {
                after: hasty().timeout
            },
            "{mode:?}"
        );
        assert_eq!(notifier.stats().stuck, 1, "{mode:?}");
        notifier.ask("release").await.unwrap();
        until("the late answer", async || notifier.stats().late == 1).await;
        let PluginStats {
            stuck,
            timeouts,
            restarts,
            ..
        } = notifier.stats();
        assert_eq!((stuck, timeouts, restarts), (0, 1, 0), "{mode:?}");
        notifier.ask("ok").await.unwrap();
    }
}

/// Loaded: counted as stuck, and capped.
#[tokio::test]
async fn never_done_is_capped_and_then_busy() {
    let Some(path) = chameleon() else { return };
    let notifier = start_with(Mode::Loaded, &path, "{}", &hasty())
        .await
        .unwrap();
    for stuck in 1..=3 {
        let error = notifier.ask("never").await.unwrap_err();
        assert!(matches!(error, NotifyError::Timeout { .. }), "{error:?}");
        assert_eq!(notifier.stats().stuck, stuck);
        if stuck < 3 {
            notifier.ask("ok").await.unwrap();
        }
    }
    let error = notifier.ask("ok").await.unwrap_err();
    assert!(
        matches!(&error, NotifyError::Busy { message } if message.contains('3')),
        "{error:?}"
    );
    assert_eq!(notifier.stats().timeouts, 3);
}

/// Loaded, and blocking the thread of the instance: the second attempt is not started.
#[tokio::test]
async fn a_plugin_that_is_not_concurrent_is_busy_after_one() {
    let dir = folder();
    let path = dir.path().join("sync.so");
    let Some(()) = compile("chameleon.c", &["-DFLAGS=COUIC_F_UNWIND"], &path) else {
        return;
    };
    let notifier = start_with(Mode::Loaded, &path, "{}", &hasty())
        .await
        .unwrap();
    assert!(matches!(
        notifier.ask("block").await,
        Err(NotifyError::Timeout { .. })
    ));
    assert!(matches!(
        notifier.ask("ok").await,
        Err(NotifyError::Busy { .. })
    ));
    assert_eq!(notifier.stats().stuck, 1);
}

#[tokio::test]
async fn a_plugin_that_cancels_is_not_stuck() {
    let dir = folder();
    let path = dir.path().join("cancels.so");
    let Some(()) = compile("chameleon.c", &["-DCANCELS"], &path) else {
        return;
    };
    for mode in BOTH {
        let notifier = start_with(mode, &path, "{}", &hasty()).await.unwrap();
        for _ in 0..3 {
            assert!(matches!(
                notifier.ask("never").await,
                Err(NotifyError::Timeout { .. })
            ));
            until("the attempt is completed", async || {
                notifier.stats().stuck == 0
            })
            .await;
        }
        let PluginStats {
            timeouts,
            late,
            restarts,
            ..
        } = notifier.stats();
        assert_eq!((timeouts, late, restarts), (3, 0, 0), "{mode:?}");
    }
}

#[tokio::test]
async fn dropping_the_future_cancels() {
    let dir = folder();
    let path = dir.path().join("cancels.so");
    let Some(()) = compile("chameleon.c", &["-DCANCELS"], &path) else {
        return;
    };
    for mode in BOTH {
        let notifier = start(mode, &path, "{}").await.unwrap();
        let wait = Duration::from_millis(100);
        assert!(
            tokio::time::timeout(wait, notifier.ask("never"))
                .await
                .is_err()
        );
        until("the attempt is completed", async || {
            notifier.stats().stuck == 0
        })
        .await;
        let PluginStats {
            timeouts, restarts, ..
        } = notifier.stats();
        assert_eq!((timeouts, restarts), (0, 0), "{mode:?}");
    }
}

#[tokio::test]
async fn several_at_once() {
    for mode in BOTH {
        let Some(notifier) = good(mode).await else {
            return;
        };
        let (a, b, c) = tokio::join!(
            notifier.ask("thread"),
            notifier.ask("ok"),
            notifier.ask("thread")
        );
        assert!(a.is_ok() && b.is_ok() && c.is_ok(), "{mode:?}");
    }
}

#[tokio::test]
async fn a_flood_of_log_lines_costs_no_attempt() {
    for mode in BOTH {
        let Some(notifier) = good(mode).await else {
            return;
        };
        notifier.ask("chatty").await.unwrap();
        notifier.ask("ok").await.unwrap();
        assert_eq!(notifier.stats(), PluginStats::default(), "{mode:?}");
    }
}
