//! Isolated plugins whose processes another process starts.

use std::{fs, path::Path};

use couic_plugin_api::NotifyError;
use couic_plugin_host::{
    AnyNotifier, ChildCommand, IsolatedNotifier, Isolation, PluginFile, RunAs, Spawner,
};
use couic_privsep::{CAP_KILL, CAP_SETGID, CAP_SETUID, threads_of};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};

use crate::kit::{Ask, chameleon, isolation, options, until};

/// Whom the spawner is to be where this is root.
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
async fn a_plugin_has_nothing_of_the_spawners_and_is_started_again() {
    let Some(path) = chameleon() else { return };
    let spawner = spawner();
    let notifier = start(&spawner, &path).await;
    let told = notifier.told("tell").await;
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        told.contains("CapPrm: 0000000000000000 CapEff: 0000000000000000"),
        "{told}"
    );
    assert!(told.contains("NoNewPrivs: 1"), "{told}");
    if geteuid().is_root() {
        assert!(told.contains("Uid: 65534 65534 65534 65534"), "{told}");
    }
    let first = notifier.told("pid").await;
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
async fn who_does_not_come_back_is_killed_through_the_spawner() {
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
async fn what_is_dropped_ends_and_what_is_closed_is_waited_for() {
    let Some(path) = chameleon() else { return };
    let spawner = spawner();
    let (closed, dropped) = (start(&spawner, &path).await, start(&spawner, &path).await);
    let (one, two) = (closed.told("pid").await, dropped.told("pid").await);
    assert!(alive(&one) && alive(&two));
    let AnyNotifier::Isolated(closed) = closed else {
        panic!("isolated");
    };
    closed.close().await;
    assert!(!alive(&one));
    drop(dropped);
    until("it ends", async || !alive(&two)).await;
}

/// The process that the spawner has made of itself to do the work.
fn working(spawner: &Spawner) -> Option<u32> {
    let path = format!("/proc/{0}/task/{0}/children", spawner.pid());
    let children = fs::read_to_string(path).unwrap();
    children.split_whitespace().next()?.parse().ok()
}

fn kill_it(pid: u32) {
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn a_spawner_that_is_killed_is_started_again_and_its_plugins_with_it() {
    let Some(path) = chameleon() else { return };
    let spawner = spawner();
    let notifier = start(&spawner, &path).await;
    for round in 1..3 {
        let plugin = notifier.told("pid").await;
        let worker = working(&spawner).unwrap();
        kill_it(worker);
        until("the plugin ends with it", async || !alive(&plugin)).await;
        until("both are started again", async || {
            notifier.ask("ok").await.is_ok()
        })
        .await;
        assert_ne!(working(&spawner), Some(worker));
        assert!(notifier.stats().restarts >= round);
    }
    // The one that starts it again is not needed for anything else.
    kill_it(spawner.pid());
    notifier.told("pid").await;
}

#[tokio::test]
async fn without_its_spawner_a_plugin_ends_and_that_is_said() {
    let Some(path) = chameleon() else { return };
    let spawner = spawner();
    let notifier = start(&spawner, &path).await;
    let plugin = notifier.told("pid").await;
    let worker = working(&spawner).unwrap();
    kill_it(spawner.pid());
    kill_it(worker);
    until("the plugin ends with it", async || !alive(&plugin)).await;
    until("and is not started again", async || {
        notifier.stats().restarts > 1
    })
    .await;
    match notifier.ask("ok").await {
        Err(NotifyError::Unavailable { message }) => {
            assert!(message.contains("restart the program"), "{message}");
        }
        other => panic!("{other:?}"),
    }
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
