//! Isolated plugins that are started by a spawner.

use std::{fs, path::Path, time::Duration};

use couic_plugin_api::NotifyError;
use couic_plugin_host::{
    AnyNotifier, ChildCommand, IsolatedNotifier, Isolation, PluginFile, PluginState, RunAs, Spawner,
};
use couic_privsep::{CAP_KILL, CAP_SETGID, CAP_SETUID, threads_of};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};

use crate::kit::{Ask, chameleon, isolation, options, until};

/// The user of the spawner if this process is root.
const OWN: RunAs = RunAs {
    uid: 65_533,
    gid: 65_533,
};

fn spawner() -> Spawner {
    Spawner::start(&isolation().command, OWN, RunAs::default()).unwrap()
}

async fn start(spawner: &Spawner, path: &Path) -> AnyNotifier {
    let isolation = Isolation {
        spawner: Some(spawner.clone()),
        // Not used: the spawner is its own program.
        ..Isolation::new(ChildCommand::new("/no/such/program"))
    };
    let file = PluginFile::check(path, None).unwrap();
    let started = IsolatedNotifier::start(file, "test", "{}", &options(), &isolation).await;
    AnyNotifier::Isolated(started.unwrap())
}

fn alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_plugin_inherits_nothing_from_the_spawner_and_is_restarted() {
    let Some(path) = chameleon() else { return };
    let spawner = spawner();
    let notifier = start(&spawner, &path).await;
    let shown = notifier.reply("tell").await;
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        shown.contains("CapPrm: 0000000000000000 CapEff: 0000000000000000"),
        "{shown}"
    );
    assert!(shown.contains("NoNewPrivs: 1"), "{shown}");
    if geteuid().is_root() {
        assert!(shown.contains("Uid: 65534 65534 65534 65534"), "{shown}");
    }
    let first = notifier.reply("pid").await;
    for (round, how) in [(1, "segv"), (2, "segv")] {
        match notifier.ask(how).await {
            Err(NotifyError::Crashed { message }) => {
                assert!(message.contains("was killed by SIGSEGV"), "{message}");
            }
            other => panic!("{other:?}"),
        }
        until("it is started again", async || {
            notifier.ask("ok").await.is_ok()
        })
        .await;
        assert_eq!(notifier.stats().restarts, round);
    }
    assert!(!alive(&first));
}

#[tokio::test]
async fn the_spawner_itself_can_do_little() {
    let spawner = spawner();
    let mut own = threads_of(spawner.pid()).unwrap();
    until("it is confined", async || {
        own = threads_of(spawner.pid()).unwrap();
        own[0].seccomp == 2
    })
    .await;
    let [own] = &own[..] else {
        panic!("one thread: {own:?}");
    };
    assert!(own.no_new_privs && own.inheritable.is_empty() && own.ambient.is_empty());
    if geteuid().is_root() {
        let kept = CAP_SETUID.and(CAP_SETGID).and(CAP_KILL);
        assert_eq!((own.effective, own.permitted), (kept, kept));
        assert!(own.bounding.is_empty());
        assert_eq!(
            (&own.uids[..], &own.gids[..]),
            (&[65_533; 4][..], &[65_533; 4][..])
        );
    } else {
        assert!(own.is_powerless());
    }
    assert!(
        Spawner::start(
            &isolation().command,
            OWN,
            RunAs {
                uid: 0,
                gid: 65_534
            }
        )
        .is_err()
    );
}

#[tokio::test]
async fn a_plugin_that_hangs_is_killed_through_the_spawner() {
    let Some(path) = chameleon() else { return };
    let spawner = spawner();
    let isolation = Isolation {
        spawner: Some(spawner.clone()),
        ..isolation()
    };
    let file = PluginFile::check(&path, None).unwrap();
    let hasty = crate::kit::hasty();
    let notifier = IsolatedNotifier::start(file, "test", "{}", &hasty, &isolation)
        .await
        .unwrap();
    let error = notifier.ask("never").await.unwrap_err();
    assert!(matches!(error, NotifyError::Timeout { .. }), "{error:?}");
    until("it is killed", async || notifier.stats().restarts == 1).await;
    until("it is started again", async || {
        notifier.ask("ok").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_dropped_notifier_ends_and_the_end_of_a_closed_one_is_awaited() {
    let Some(path) = chameleon() else { return };
    let spawner = spawner();
    let (closed, dropped) = (start(&spawner, &path).await, start(&spawner, &path).await);
    let (one, two) = (closed.reply("pid").await, dropped.reply("pid").await);
    assert!(alive(&one) && alive(&two));
    let AnyNotifier::Isolated(closed) = closed else {
        panic!("isolated");
    };
    closed.close().await;
    assert!(!alive(&one));
    drop(dropped);
    until("it ends", async || !alive(&two)).await;
}

/// Longer than the silence that is reported.
const SECONDS: Duration = Duration::from_secs(10);

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

/// Waits until the problem is reported with these words, for some seconds.
async fn reported(notifier: &AnyNotifier, words: [&str; 2]) {
    let said = || notifier.backend().problem.unwrap_or_default();
    let named = async {
        until("it is reported", async || {
            words.iter().all(|word| said().contains(word))
        })
        .await;
    };
    let named = tokio::time::timeout(SECONDS, named).await;
    named.unwrap_or_else(|_| panic!("{:?}", said()));
}

#[tokio::test]
async fn a_spawner_that_is_killed_takes_its_plugins_along_and_that_is_reported_with_the_fix() {
    let Some(path) = chameleon() else { return };
    let spawner = spawner();
    let notifier = start(&spawner, &path).await;
    assert_eq!(notifier.backend().problem, None);
    let plugin = notifier.reply("pid").await;
    signal(spawner.pid(), Signal::SIGKILL);
    reported(
        &notifier,
        ["was killed by SIGKILL", "systemctl restart couic"],
    )
    .await;
    until("the plugin ends with it", async || !alive(&plugin)).await;
    until("and is not started again", async || {
        matches!(notifier.state(), Some(PluginState::Lost { .. }))
    })
    .await;
    assert_eq!(notifier.stats().restarts, 0);
    match notifier.ask("ok").await {
        Err(NotifyError::Unavailable { message }) => {
            assert!(
                message.starts_with("the plugin does not run: "),
                "{message}"
            );
            assert!(
                message.ends_with("; run systemctl restart couic"),
                "{message}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_spawner_that_is_stopped_is_reported_within_seconds_until_it_goes_on() {
    let Some(path) = chameleon() else { return };
    let spawner = spawner();
    let notifier = start(&spawner, &path).await;
    signal(spawner.pid(), Signal::SIGSTOP);
    let fix = format!("kill -CONT {}", spawner.pid());
    reported(&notifier, ["has not answered for", &fix]).await;
    notifier.ask("ok").await.unwrap();
    let error = notifier.ask("segv").await.unwrap_err();
    assert!(matches!(error, NotifyError::Crashed { .. }), "{error:?}");
    signal(spawner.pid(), Signal::SIGCONT);
    until("it is no problem any more", async || {
        notifier.backend().problem.is_none()
    })
    .await;
    until("the plugin is started again", async || {
        notifier.ask("ok").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_program_that_is_no_spawner_is_an_error_of_the_plugin() {
    let Some(path) = chameleon() else { return };
    assert!(
        Spawner::start(
            &ChildCommand::new("/no/such/program"),
            OWN,
            RunAs::default()
        )
        .is_err()
    );
    let wrong = Spawner::start(&ChildCommand::new("/bin/false"), OWN, RunAs::default()).unwrap();
    let isolation = Isolation {
        spawner: Some(wrong),
        ..isolation()
    };
    let file = PluginFile::check(&path, None).unwrap();
    let started = IsolatedNotifier::start(file, "test", "{}", &options(), &isolation).await;
    assert!(started.is_err());
}
