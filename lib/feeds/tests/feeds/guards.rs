//! What is taken, what is held back, and how the operator takes it.

use couic_feeds::{FeedError, FeedState, Refreshed, preview};
use couic_testkit::script;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_list_that_was_held_back_is_accepted() {
    let replies = [ok(list(100)), ok(list(30)), ok(list(20)), ok(list(10))];
    let server = StandIn::tcp(script(replies, Reply::status(500)));
    let mut setup = Setup::of(&server);
    setup.feeds.refresh("x").await.unwrap();
    let nothing = setup.feeds.accept("x").await.unwrap_err();
    assert!(matches!(nothing, FeedError::NothingHeld(_)), "{nothing}");
    assert_eq!(setup.feeds.refresh("x").await.unwrap(), Refreshed::HeldBack);
    let first = setup.status().held.unwrap();
    assert_eq!(first.networks, 30);
    let change = first.change.unwrap();
    assert_eq!(
        (change.before, change.after, change.lost, change.gained),
        (100, 30, 70, 0)
    );
    assert_eq!(setup.feeds.refresh("x").await.unwrap(), Refreshed::HeldBack);
    let other = setup
        .feeds
        .accept_exactly("x", &first.hash)
        .await
        .unwrap_err();
    assert!(
        matches!(other, FeedError::OtherHeld(_)),
        "another one came: {other}"
    );
    assert_eq!(setup.daemon.set("x").unwrap(), in_force(100));
    // It is on the disk: a restart does not lose it, and what comes next is not taken in its place.
    setup.again(&[config("x", &server.url("/list?key=s3cret"))]);
    let second = setup.status().held.unwrap();
    let status = setup.feeds.accept_exactly("x", &second.hash).await.unwrap();
    assert_eq!(setup.daemon.set("x").unwrap(), in_force(20));
    assert_eq!(
        (status.networks, status.held, status.state),
        (20, None, FeedState::Ok)
    );
    assert_eq!(
        setup.feeds.refresh("x").await.unwrap(),
        Refreshed::Taken,
        "half of it again"
    );
    setup.feeds.refresh("x").await.unwrap_err();
    assert_eq!(setup.daemon.set("x").unwrap(), in_force(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_good_again_takes_the_place_of_the_held_one() {
    let server = StandIn::tcp(script([ok(list(100)), ok(list(10))], ok(list(90))));
    let setup = Setup::of(&server);
    for expected in [Refreshed::Taken, Refreshed::HeldBack, Refreshed::Taken] {
        assert_eq!(setup.feeds.refresh("x").await.unwrap(), expected);
    }
    assert_eq!(setup.status().held, None);
    assert!(!setup.dir.path().join("feeds/x.held").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_counted_and_the_rest_merged() {
    let body = "10.0.0.1\n9.9.9.0/24\n8.0.0.0/8\n11.0.0.0/25\n11.0.0.128/25\n11.0.0.7\n5.5.5.5\n5.5.5.5\nx.y\n";
    let server = StandIn::tcp(move |_| ok(body));
    let setup = Setup::of(&server);
    setup
        .daemon
        .ignored
        .lock()
        .unwrap()
        .push("5.5.0.0/16".parse().unwrap());
    setup.feeds.refresh("x").await.unwrap();
    assert_eq!(setup.daemon.set("x").unwrap(), "11.0.0.0/24\n");
    let status = setup.status();
    let told = status.dropped.told();
    assert_eq!(
        told,
        "1 unreadable, 1 duplicate, 1 bogon, 1 wide, 1 own, 1 protected"
    );
    assert_eq!((status.entries, status.networks), (9, 1));
    // The ignore list changes without the feed.
    *setup.daemon.ignored.lock().unwrap() = Networks::default();
    setup.feeds.refresh("x").await.unwrap();
    assert_eq!(setup.daemon.set("x").unwrap(), "5.5.5.5/32\n11.0.0.0/24\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_in_shadow_is_judged_and_not_in_force() {
    let server = StandIn::tcp(|_| ok(list(50)));
    let mut shadow = config("x", &server.url("/list?key=s3cret"));
    shadow.shadow = None;
    let mut setup = Setup::new(shadow.clone());
    setup.feeds.refresh("x").await.unwrap();
    let status = setup.status();
    assert_eq!(
        (status.state, status.networks, status.in_force),
        (FeedState::Shadow, 50, false)
    );
    assert_eq!(setup.daemon.set("x"), None);
    let real = config("x", &server.url("/list?key=s3cret"));
    setup.again(&[real]);
    setup.feeds.refresh("x").await.unwrap();
    assert_eq!(setup.daemon.set("x").unwrap(), in_force(50));
    setup.again(&[shadow]);
    setup.feeds.refresh("x").await.unwrap();
    assert_eq!(setup.daemon.set("x"), None, "back to shadow");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_changes_nothing() {
    let server = StandIn::tcp(script([ok(list(100))], ok(list(20))));
    let setup = Setup::of(&server);
    let feed = config("x", &server.url("/list?key=s3cret"));
    let settings = settings(setup.dir.path());
    let first = preview(&feed, &settings).await.unwrap();
    assert_eq!(
        (
            first.entries,
            first.networks,
            first.v4_addresses,
            first.change
        ),
        (100, 100, 100, None)
    );
    setup.feeds.refresh("x").await.unwrap();
    let held = preview(&config("y", &server.url("/")), &settings)
        .await
        .unwrap();
    assert_eq!(
        (held.held, held.networks),
        (None, 20),
        "another feed has no list yet"
    );
    assert_eq!(setup.daemon.set("x").unwrap(), in_force(20));
    let error = preview(&config("x.y", "ftp://x"), &settings)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("name: must be") && error.contains("url: is not a URL"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_list_leaves_its_number_as_a_measure() {
    let server = StandIn::tcp(script([ok(list(100))], ok(list(10))));
    let mut setup = Setup::of(&server);
    setup.feeds.refresh("x").await.unwrap();
    std::fs::remove_file(setup.dir.path().join("feeds/x.list")).unwrap();
    setup.again(&[config("x", &server.url("/list?key=s3cret"))]);
    assert_eq!(setup.feeds.refresh("x").await.unwrap(), Refreshed::HeldBack);
    assert_eq!(setup.daemon.set("x").unwrap(), in_force(100));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_state_leaves_the_set_in_force_as_the_measure() {
    let other: String = list(200)
        .lines()
        .skip(100)
        .fold(String::new(), |all, l| all + l + "\n");
    let server = StandIn::tcp(script([ok(list(100))], ok(other)));
    let feed = config("x", &server.url("/list?key=s3cret"));
    let mut setup = Setup::of(&server);
    setup.feeds.refresh("x").await.unwrap();
    let dir = setup.dir.path().join("feeds");
    // As many networks, all others: a damaged list, then nothing at all.
    let path = dir.join("x.list");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    setup.again(std::slice::from_ref(&feed));
    assert_eq!(setup.feeds.refresh("x").await.unwrap(), Refreshed::HeldBack);
    std::fs::remove_dir_all(&dir).unwrap();
    setup.again(std::slice::from_ref(&feed));
    setup.daemon.away(true);
    setup.feeds.refresh("x").await.unwrap_err();
    setup.daemon.away(false);
    assert_eq!(setup.feeds.refresh("x").await.unwrap(), Refreshed::HeldBack);
    let status = setup.status();
    assert!(status.problem.unwrap().contains("was lost"));
    assert_eq!((status.networks, status.in_force), (100, true));
    assert_eq!(setup.daemon.set("x").unwrap(), in_force(100));
    setup.feeds.accept("x").await.unwrap();
    assert_ne!(setup.daemon.set("x").unwrap(), in_force(100));
    assert_eq!(setup.status().state, FeedState::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_the_operator_is_replaced_only_if_it_is_accepted() {
    let server = StandIn::tcp(|_| ok(list(100)));
    let mut shadow = config("x", &server.url("/list?key=s3cret"));
    shadow.shadow = None;
    let mut setup = Setup::new(shadow);
    let theirs = (
        (Policy::Drop, "feed-x".to_owned()),
        "1.2.3.4/32\n".to_owned(),
    );
    setup.daemon.sets.lock().unwrap().extend([theirs]);
    setup.feeds.refresh("x").await.unwrap();
    setup.again(&[config("x", &server.url("/list?key=s3cret"))]);
    setup.feeds.refresh("x").await.unwrap();
    assert_eq!(setup.daemon.set("x").unwrap(), "1.2.3.4/32\n");
    assert!(
        setup
            .status()
            .problem
            .unwrap()
            .contains("has not written it")
    );
    setup.feeds.accept("x").await.unwrap();
    assert_eq!(setup.daemon.set("x").unwrap(), in_force(100));
}
