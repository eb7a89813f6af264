//! Restarts, reloads, a daemon that is away, files, and the schedule.

use couic_feeds::{FeedState, SetupError};
use couic_testkit::until_ok;
use tokio::{sync::watch, task::JoinHandle};

use super::*;

const SOON: Duration = Duration::from_millis(5);

fn run(feeds: &Arc<Feeds>) -> (watch::Sender<bool>, JoinHandle<()>) {
    let (stop, stopped) = watch::channel(false);
    (stop, tokio::spawn(Arc::clone(feeds).run(stopped)))
}

async fn end((stop, running): (watch::Sender<bool>, JoinHandle<()>)) {
    stop.send(true).unwrap();
    running.await.unwrap();
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    until_ok(SOON, async || {
        condition().then_some(()).ok_or(what.to_owned())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_list_needs_no_network_and_waits_for_the_daemon() {
    let server = StandIn::tcp(|_| ok(list(50)));
    let mut setup = Setup::of(&server);
    setup.feeds.refresh("x").await.unwrap();
    let feed = config("x", &server.url("/list?key=s3cret"));
    drop(server);
    setup.daemon.sets.lock().unwrap().clear();
    setup.daemon.away(true);
    setup.again(&[feed]);
    let running = run(&setup.feeds);
    until("the daemon is away", || setup.status().problem.is_some()).await;
    assert_eq!(setup.status().state, FeedState::Failing);
    setup.daemon.away(false);
    until("the set is there", || {
        setup.daemon.set("x") == Some(in_force(50))
    })
    .await;
    until("it is well", || setup.status().state == FeedState::Ok).await;
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_set_of_a_feed_that_is_not_configured_any_more_is_removed() {
    let server = StandIn::tcp(|_| ok(list(50)));
    let mut setup = Setup::of(&server);
    setup.feeds.refresh("x").await.unwrap();
    let other = ("feed-theirs".to_owned(), "1.2.3.4\n".to_owned());
    setup
        .daemon
        .sets
        .lock()
        .unwrap()
        .insert((Policy::Drop, other.0), other.1);
    setup.daemon.away(true);
    setup.again(&[]);
    let status = setup.status();
    assert_eq!(
        (status.state, status.networks, status.in_force),
        (FeedState::Orphan, 50, true)
    );
    let running = run(&setup.feeds);
    until("it is told", || setup.status().problem.is_some()).await;
    setup.daemon.away(false);
    until("it is gone", || setup.feeds.status().is_empty()).await;
    assert_eq!(setup.daemon.set("x"), None);
    assert!(
        setup.daemon.set("theirs").is_some(),
        "a set that no feed has written"
    );
    let left = std::fs::read_dir(setup.dir.path().join("feeds")).unwrap();
    assert_eq!(left.count(), 0);
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_policy_moves_the_set_once_its_list_is_there() {
    let server = StandIn::tcp(|_| ok(list(50)));
    let mut setup = Setup::of(&server);
    setup.feeds.refresh("x").await.unwrap();
    let mut ignore = config("x", &server.url("/list?key=s3cret"));
    ignore.policy = Some(Policy::Ignore);
    setup.again(&[ignore]);
    let running = run(&setup.feeds);
    let sets = || -> Vec<Policy> {
        setup
            .daemon
            .sets
            .lock()
            .unwrap()
            .keys()
            .map(|(policy, _)| *policy)
            .collect()
    };
    until("it has moved", || sets() == [Policy::Ignore]).await;
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_was_deleted_is_written_again() {
    let server = StandIn::tcp(|_| ok(list(50)));
    let setup = Setup::of(&server);
    setup.feeds.refresh("x").await.unwrap();
    setup.daemon.sets.lock().unwrap().clear();
    setup.feeds.refresh("x").await.unwrap();
    assert_eq!(setup.daemon.set("x").unwrap(), in_force(50));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_for_a_week_raises_an_alarm_and_the_list_stays() {
    let server = StandIn::tcp(couic_testkit::script([ok(list(50))], Reply::status(500)));
    let mut setup = Setup::of(&server);
    setup.feeds.refresh("x").await.unwrap();
    let path = setup.dir.path().join("feeds/x.state");
    let mut state: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    for key in ["since", "confirmed_at"] {
        state[key] = (couic_common::unix_seconds() - 7 * 86_400).into();
    }
    std::fs::write(&path, state.to_string()).unwrap();
    setup.again(&[config("x", &server.url("/list?key=s3cret"))]);
    let running = run(&setup.feeds);
    until("it was asked", || setup.status().failures > 0).await;
    let status = setup.status();
    assert_eq!((status.state, status.is_stale), (FeedState::Stale, true));
    assert!((604_800..604_900).contains(&status.age), "{}", status.age);
    assert_eq!(setup.daemon.set("x").unwrap(), in_force(50));
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_systems_are_feeds_too() {
    let answer = r#"{"data":{"prefixes":[{"prefix":"9.1.0.0/24"},{"prefix":"9.1.1.0/24"}]}}"#;
    let server = StandIn::tcp(move |_| Reply::json(200, answer));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("list");
    std::fs::write(&path, list(5)).unwrap();
    let read = |json: serde_json::Value| serde_json::from_value::<FeedConfig>(json).unwrap();
    let configs = [
        read(serde_json::json!({"name": "file", "file": path, "shadow": false})),
        read(serde_json::json!({"name": "as", "asn": 64496, "shadow": false})),
    ];
    let daemon = Arc::new(Daemon::default());
    let settings = Settings {
        asn_url: server.url("/data.json?resource=AS{asn}"),
        ..settings(dir.path())
    };
    let feeds = Feeds::new(&configs, settings, Arc::clone(&daemon) as _).unwrap();
    for name in ["file", "as"] {
        feeds.refresh(name).await.unwrap();
    }
    assert_eq!(daemon.set("file").unwrap(), in_force(5));
    assert_eq!(daemon.set("as").unwrap(), "9.1.0.0/23\n");
    assert_eq!(server.only().line(), "GET /data.json?resource=AS64496");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    let error = feeds.refresh("file").await.unwrap_err().to_string();
    assert!(error.contains("symbolic link"), "{error}");
    assert_eq!(daemon.set("file").unwrap(), in_force(5));
}

#[test]
fn all_mistakes_of_all_feeds_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let new = |configs: &[FeedConfig]| {
        Feeds::new(configs, settings(dir.path()), Arc::new(Daemon::default())).unwrap_err()
    };
    let error = new(&[config("a", "x"), config("b", "ftp://y")]);
    assert_eq!(error.to_string().lines().count(), 2, "{error}");
    let one = config("a", "https://a.b");
    assert!(matches!(
        new(&[one.clone(), one.clone()]),
        SetupError::Twice(_)
    ));
    let many: Vec<_> = (0..65)
        .map(|n| config(&format!("f{n}"), "https://a.b"))
        .collect();
    assert!(matches!(new(&many), SetupError::Many));
}
