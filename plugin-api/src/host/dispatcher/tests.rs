//! The dispatcher's promises, one by one, in virtual time.

use tempfile::TempDir;

use super::{testing::*, *};

const HOUR: Duration = Duration::from_secs(3600);

fn start(members: impl IntoIterator<Item = (Arc<Scripted>, Policy)>) -> NotificationDispatcher {
    start_in(None, members)
}

fn start_in(
    dir: Option<&TempDir>,
    members: impl IntoIterator<Item = (Arc<Scripted>, Policy)>,
) -> NotificationDispatcher {
    let members = members
        .into_iter()
        .map(|(notifier, policy)| Member::new(notifier, policy));
    NotificationDispatcher::start("all", "here", dir.map(TempDir::path), members.collect()).unwrap()
}

fn one(notifier: &Arc<Scripted>) -> NotificationDispatcher {
    start([(Arc::clone(notifier), Policy::default())])
}

fn enqueue(dispatcher: &NotificationDispatcher, text: &str) {
    dispatcher.enqueue(&note(text, Severity::Green)).unwrap();
}

/// Waits until the only member looks like this: in virtual time, seconds pass meanwhile.
async fn until(
    dispatcher: &NotificationDispatcher,
    looks: impl Fn(&NotifierStatus) -> bool,
) -> NotifierStatus {
    poll(dispatcher, looks, || {
        tokio::time::sleep(Duration::from_secs(1))
    })
    .await
}

/// The same for tests with a real disk, whose clock is real.
async fn soon(
    dispatcher: &NotificationDispatcher,
    looks: impl Fn(&NotifierStatus) -> bool,
) -> NotifierStatus {
    poll(dispatcher, looks, tokio::task::yield_now).await
}

async fn poll<F: Future<Output = ()>>(
    dispatcher: &NotificationDispatcher,
    looks: impl Fn(&NotifierStatus) -> bool,
    pause: impl Fn() -> F,
) -> NotifierStatus {
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        let status = dispatcher.list().remove(0);
        if looks(&status) {
            return status;
        }
        pause().await;
    }
    panic!("never came: {:?}", dispatcher.list());
}

#[tokio::test(start_paused = true)]
async fn in_order_and_the_same_id_in_every_attempt() {
    let script = [
        status(500),
        fails(NotifyError::retry("connection reset")),
        status(503),
    ];
    let notifier = Scripted::new("n", script);
    let dispatcher = one(&notifier);
    for text in ["a", "b", "c"] {
        enqueue(&dispatcher, text);
    }
    notifier.wait_delivered(3).await;
    assert_eq!(notifier.texts(), ["a", "b", "c"]);
    let attempts = notifier.attempts();
    assert_eq!(attempts.len(), 6);
    assert!(attempts[..4].iter().all(|(_, n)| n.id == attempts[0].1.id));
    let status = until(&dispatcher, |s| s.queue_events == 0).await;
    assert_eq!(status.state, LaneState::Ok);
    assert_eq!(status.counters.attempts["delivered"], 3);
    assert_eq!(status.counters.attempts["retry"], 3);
    assert_eq!(
        (status.counters.enqueued, status.counters.delivered),
        (3, 3)
    );
    assert_eq!(status.counters.attempt_seconds.count, 6);
    assert_eq!(
        status.last_error.unwrap().message,
        "the server answered 503"
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_does_not_hold_up_another() {
    let hangs = Scripted::new("hangs", []).then(Play::Hang);
    let works = Scripted::new("works", []);
    let dispatcher = start([
        (Arc::clone(&hangs), Policy::default()),
        (Arc::clone(&works), Policy::default()),
    ]);
    let begun = Instant::now();
    for n in 0..100 {
        enqueue(&dispatcher, &n.to_string());
    }
    works.wait_delivered(100).await;
    assert_eq!(begun.elapsed(), Duration::ZERO, "no virtual time passed");
    let status = until(&dispatcher, |s| {
        s.counters.attempts.get("timeout") >= Some(&2)
    })
    .await;
    assert_eq!((status.name.as_str(), status.queue_events), ("hangs", 100));
    assert_eq!(hangs.attempts()[1].1, hangs.attempts()[0].1);
}

#[tokio::test(start_paused = true)]
async fn what_will_never_be_taken_removes_only_itself() {
    let notifier = Scripted::new("n", [status(400)]);
    let dispatcher = one(&notifier);
    enqueue(&dispatcher, "bad");
    enqueue(&dispatcher, "good");
    notifier.wait_delivered(1).await;
    assert_eq!(notifier.texts(), ["good"]);
    let dead = dispatcher.dead_letters(Some("n")).unwrap();
    assert_eq!((dead.len(), dead[0].text.as_str()), (1, "bad"));
    assert_eq!(dead[0].reason, "the server answered 400");
    assert_eq!(dispatcher.replay("n", Some(dead[0].key)).unwrap(), 1);
    notifier.wait_delivered(2).await;
    assert_eq!(notifier.texts(), ["good", "bad"]);
    assert_eq!(notifier.delivered()[1].id, dead[0].id.unwrap());
    assert_eq!(dispatcher.dead_letters(None).unwrap(), []);
    let again = dispatcher.replay("n", Some(dead[0].key));
    assert!(matches!(again, Err(OperateError::NoSuchLetter { .. })));
    assert!(matches!(
        dispatcher.replay("x", None),
        Err(OperateError::Unknown { .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_never_undercut_and_is_no_attempt() {
    let wait = Duration::from_millis(90_500);
    let script = [status(500), rate_limited(wait), rate_limited(wait)];
    let notifier = Scripted::new("n", script);
    let dispatcher = one(&notifier);
    enqueue(&dispatcher, "a");
    notifier.wait_attempts(2).await;
    enqueue(&dispatcher, "b");
    let status = until(&dispatcher, |s| s.state == LaneState::RateLimited).await;
    assert!(status.next_attempt_secs.unwrap() > 80);
    let test = dispatcher.test("n").await;
    let Err(OperateError::NotDelivered(NotifyError::RateLimited { retry_after, .. })) = test else {
        panic!("a test must not break the peace either: {test:?}");
    };
    assert!(retry_after <= wait);
    dispatcher.resume("n").unwrap();
    notifier.wait_delivered(2).await;
    let attempts = notifier.attempts();
    assert!(attempts[2].0 - attempts[1].0 >= wait);
    assert!(attempts[3].0 - attempts[2].0 >= wait);
    assert_eq!(
        attempts[4].0, attempts[3].0,
        "the failures before are forgotten"
    );
}

#[tokio::test]
async fn a_restart_does_not_undercut_retry_after() {
    let dir = TempDir::new().unwrap();
    let first = Scripted::new("n", [rate_limited(HOUR)]);
    let dispatcher = start_in(Some(&dir), [(Arc::clone(&first), Policy::default())]);
    enqueue(&dispatcher, "a");
    first.wait_attempts(1).await;
    soon(&dispatcher, |s| s.state == LaneState::RateLimited).await;
    dispatcher.durable().await;
    // As after a kill: without a drain.
    stop(dispatcher).await;
    let second = Scripted::new("n", []);
    let dispatcher = start_in(Some(&dir), [(Arc::clone(&second), Policy::default())]);
    let status = dispatcher.list().remove(0);
    assert_eq!(
        (status.state, status.queue_events),
        (LaneState::RateLimited, 1)
    );
    assert!(status.next_attempt_secs.unwrap() > 3_500);
    assert_eq!(second.attempts().len(), 0);
}

/// Ends it without a drain, and waits until its tasks have let go of the spools.
async fn stop(dispatcher: NotificationDispatcher) {
    let tasks = std::mem::take(&mut *dispatcher.tasks.lock());
    drop(dispatcher);
    for task in tasks {
        task.abort();
        task.await.unwrap_err();
    }
}

#[tokio::test]
async fn what_was_accepted_survives_a_restart() {
    let dir = TempDir::new().unwrap();
    let script = [status(400), Play::End(Ok(Receipt::default())), status(401)];
    let first = Scripted::new("n", script);
    let policy = Policy {
        part_reports: 4,
        ..Policy::default()
    };
    let dispatcher = start_in(Some(&dir), [(Arc::clone(&first), policy.clone())]);
    enqueue(&dispatcher, "dead");
    enqueue(&dispatcher, "delivered");
    dispatcher.enqueue(&batch(10)).unwrap();
    enqueue(&dispatcher, "last");
    soon(&dispatcher, |s| s.state == LaneState::Failed).await;
    assert_eq!(dispatcher.durable().await, Durability::Disk);
    stop(dispatcher).await;

    let second = Scripted::new("n", []);
    let dispatcher = start_in(Some(&dir), [(Arc::clone(&second), policy)]);
    second.wait_delivered(4).await;
    let expected = [
        "4 changes of the rules",
        "4 changes of the rules",
        "2 changes of the rules",
        "last",
    ];
    assert_eq!(second.texts(), expected);
    let (before, after) = (first.attempts(), second.attempts());
    assert_eq!(before[2].1, after[0].1, "the same part, the same id");
    assert_eq!(dispatcher.dead_letters(None).unwrap()[0].text, "dead");
    assert_eq!(dispatcher.drain(HOUR).await, []);
    assert_eq!(dispatcher.list()[0].state, LaneState::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_bad_door_keeps_the_queue_until_it_opens() {
    for door in [401, 403, 404, 410] {
        let notifier = Scripted::new("n", []).then(status(door));
        let dispatcher = one(&notifier);
        enqueue(&dispatcher, "a");
        enqueue(&dispatcher, "b");
        let status = until(&dispatcher, |s| s.state == LaneState::Failed).await;
        assert_eq!(status.queue_events, 2);
        assert_eq!(
            status.alarms(),
            [format!("notifier n has failed: the server answered {door}")]
        );
        tokio::time::sleep(HOUR).await;
        assert_eq!(notifier.attempts().len(), 1, "no hammering");
        assert!(matches!(
            dispatcher.test("n").await,
            Err(OperateError::NotDelivered(_))
        ));
        notifier.set_after(Play::End(Ok(Receipt::default())));
        dispatcher.test("n").await.unwrap();
        notifier.wait_delivered(3).await;
        assert_eq!(notifier.texts()[1..], ["a", "b"]);
        assert_eq!(dispatcher.list()[0].alarms(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn resume_tries_again() {
    let notifier = Scripted::new("n", [fails(NotifyError::bad_config("url"))]);
    let dispatcher = one(&notifier);
    enqueue(&dispatcher, "a");
    until(&dispatcher, |s| s.state == LaneState::Failed).await;
    dispatcher.resume("n").unwrap();
    notifier.wait_delivered(1).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_is_halved_until_it_fits() {
    let too_large = || {
        fails(NotifyError::TooLarge {
            message: "too large".to_owned(),
        })
    };
    let notifier = Scripted::new("n", [too_large(), too_large()]);
    let dispatcher = one(&notifier);
    dispatcher.enqueue(&batch(10)).unwrap();
    notifier.wait_delivered(5).await;
    assert_eq!(notifier.texts(), ["2 changes of the rules"; 5]);
    let mut ids: Vec<_> = notifier.delivered().iter().map(|n| n.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);

    let notifier = Scripted::new("n", [too_large(), too_large()]);
    let dispatcher = one(&notifier);
    dispatcher.enqueue(&batch(2)).unwrap();
    enqueue(&dispatcher, "after");
    notifier.wait_delivered(2).await;
    assert_eq!(notifier.texts(), ["1 change of the rules", "after"]);
    assert_eq!(
        dispatcher.dead_letters(None).unwrap().len(),
        1,
        "the one that never fits"
    );
}

#[tokio::test(start_paused = true)]
async fn parts_have_a_size() {
    let notifier = Scripted::new("n", []);
    let policy = Policy {
        part_bytes: 400,
        ..Policy::default()
    };
    let dispatcher = start([(Arc::clone(&notifier), policy)]);
    dispatcher.enqueue(&batch(12_000)).unwrap();
    let count = |all: &[Notification]| {
        let reports = all.iter().map(|n| match &n.kind {
            Kind::Reports(reports) => {
                assert!(serde_json::to_vec(reports).unwrap().len() <= 400);
                reports.len()
            }
            _ => panic!("not reports"),
        });
        reports.sum::<usize>()
    };
    until(&dispatcher, |s| s.queue_events == 0).await;
    assert_eq!(count(&notifier.delivered()), 12_000);
    assert_eq!(
        dispatcher.list()[0].counters.enqueued,
        3,
        "5,000 each at most"
    );
}

#[tokio::test(start_paused = true)]
async fn three_panics_in_a_row_make_a_dead_letter() {
    let notifier = Scripted::new("n", [Play::Panic, status(500), Play::Panic, Play::Panic]);
    let dispatcher = one(&notifier);
    enqueue(&dispatcher, "bad");
    enqueue(&dispatcher, "good");
    notifier.wait_delivered(1).await;
    assert_eq!(notifier.texts(), ["good"]);
    let dead = dispatcher.dead_letters(None).unwrap();
    assert_eq!(
        dead[0].reason,
        "3 times in a row: the plugin panicked: scripted"
    );
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_day_is_given_up() {
    let notifier = Scripted::new("n", []).then(status(502));
    let dispatcher = one(&notifier);
    let begun = Instant::now();
    enqueue(&dispatcher, "old");
    tokio::time::sleep(HOUR).await;
    enqueue(&dispatcher, "younger");
    until(&dispatcher, |s| s.dead_letters == 1).await;
    assert!((24 * HOUR..24 * HOUR + Duration::from_secs(2)).contains(&begun.elapsed()));
    let dead = dispatcher.dead_letters(None).unwrap();
    assert_eq!(dead[0].text, "old");
    assert_eq!(
        dead[0].reason,
        "not delivered within 86400 s: the server answered 502"
    );
    let attempts = notifier.attempts();
    let longest = attempts
        .windows(2)
        .map(|pair| pair[1].0 - pair[0].0)
        .max()
        .unwrap();
    assert!(longest <= Duration::from_secs(301), "{longest:?}");
    assert!(attempts.len() > 24 * 12, "300 s at most, 150 s on average");
    // A replay starts a new day.
    notifier.set_after(Play::End(Ok(Receipt::default())));
    assert_eq!(dispatcher.replay("n", None).unwrap(), 1);
    notifier.wait_delivered(2).await;
    assert_eq!(notifier.texts(), ["younger", "old"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_notifier_lets_go_of_the_old_too() {
    let notifier = Scripted::new("n", []).then(status(404));
    let dispatcher = one(&notifier);
    enqueue(&dispatcher, "old");
    let status = until(&dispatcher, |s| s.dead_letters == 1).await;
    assert_eq!((status.state, status.queue_events), (LaneState::Failed, 0));
}

#[tokio::test(start_paused = true)]
async fn an_old_one_behind_a_young_one_expires_without_a_spin() {
    let notifier = Scripted::new("n", []).then(status(404));
    let dispatcher = one(&notifier);
    enqueue(&dispatcher, "old");
    enqueue(&dispatcher, "old too");
    until(&dispatcher, |s| s.state == LaneState::Failed).await;
    tokio::time::sleep(23 * HOUR).await;
    dispatcher.members[0]
        .lane
        .tell_dropped(&note("young", Severity::Green));
    tokio::time::sleep(2 * HOUR).await;
    let status = dispatcher.list().remove(0);
    assert_eq!((status.queue_events, status.dead_letters), (1, 2));
}

fn small(merge: Merge) -> Policy {
    Policy {
        max_events: 10,
        merge,
        ..Policy::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_the_oldest_of_the_least_and_says_so_once() {
    let notifier = Scripted::new("n", [rate_limited(HOUR)]);
    let dispatcher = start([(Arc::clone(&notifier), small(Merge::Digest))]);
    enqueue(&dispatcher, "held");
    notifier.wait_attempts(1).await;
    dispatcher.enqueue(&note("red", Severity::Red)).unwrap();
    for n in 0..20 {
        enqueue(&dispatcher, &format!("green {n}"));
    }
    let status = dispatcher.list().remove(0);
    assert_eq!((status.queue_events, status.counters.dropped), (10, 12));
    notifier.wait_delivered(11).await;
    let mut expected = vec!["held".to_owned(), "red".to_owned()];
    expected.extend((12..20).map(|n| format!("green {n}")));
    let mut texts = notifier.texts();
    let notice = texts
        .iter()
        .position(|text| text.starts_with("12 notifications were dropped"))
        .unwrap();
    texts.remove(notice);
    assert_eq!(texts, expected);
    assert_eq!(
        until(&dispatcher, |s| s.queue_events == 0)
            .await
            .counters
            .delivered,
        11
    );
}

#[tokio::test]
async fn what_was_dropped_is_told_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let first = Scripted::new("n", []).then(status(404));
    let dispatcher = start_in(Some(&dir), [(Arc::clone(&first), small(Merge::Digest))]);
    for n in 0..15 {
        enqueue(&dispatcher, &n.to_string());
    }
    dispatcher.durable().await;
    let dropped = dispatcher.list()[0].counters.dropped;
    assert_eq!(dropped, 5);
    stop(dispatcher).await;
    let second = Scripted::new("n", []);
    let _dispatcher = start_in(Some(&dir), [(Arc::clone(&second), small(Merge::Digest))]);
    second.wait_delivered(11).await;
    let told: Vec<_> = second
        .texts()
        .into_iter()
        .filter(|text| text.contains("dropped"))
        .collect();
    assert_eq!(
        told,
        ["5 notifications were dropped: the queue of n was full"]
    );
}

#[tokio::test(start_paused = true)]
async fn over_four_fifths_neighbours_become_a_digest() {
    let notifier = Scripted::new("n", [rate_limited(HOUR)]);
    let dispatcher = start([(Arc::clone(&notifier), small(Merge::Digest))]);
    enqueue(&dispatcher, "held");
    notifier.wait_attempts(1).await;
    for n in 1..=300 {
        dispatcher.enqueue(&batch(n)).unwrap();
        tokio::task::yield_now().await;
    }
    let status = until(&dispatcher, |s| s.queue_events <= 8).await;
    assert_eq!(status.counters.dropped, 0);
    until(&dispatcher, |s| s.queue_events == 0).await;
    let added = notifier.delivered().into_iter().map(|n| match &n.kind {
        Kind::Digest(digest) => (digest.merged, digest.added),
        Kind::Reports(reports) => (1, reports.len() as u64),
        _ => (0, 0),
    });
    let (merged, added) = added.reduce(|a, b| (a.0 + b.0, a.1 + b.1)).unwrap();
    assert_eq!(
        (merged, added),
        (300, 45_150),
        "every figure is in some digest"
    );
}

#[tokio::test(start_paused = true)]
async fn machines_get_every_report_from_merged_batches() {
    let notifier = Scripted::new("n", [rate_limited(HOUR)]);
    let policy = small(Merge::Batches);
    let dispatcher = start([(Arc::clone(&notifier), policy)]);
    for _ in 0..500 {
        dispatcher.enqueue(&batch(3)).unwrap();
        tokio::task::yield_now().await;
    }
    until(&dispatcher, |s| s.queue_events == 0).await;
    let reports = notifier.delivered().into_iter().map(|n| match &n.kind {
        Kind::Reports(reports) => reports.len(),
        other => panic!("{other:?}"),
    });
    assert_eq!(reports.sum::<usize>(), 1_500);
    assert_eq!(dispatcher.list()[0].counters.dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn a_pace_is_kept_and_a_pause_respected() {
    let pause = Duration::from_secs(42);
    let paused = Receipt {
        http_status: Some(204),
        pause: Some(pause),
    };
    let notifier = Scripted::new("n", [Play::End(Ok(paused))]);
    let policy = Policy {
        pace: Some(Duration::from_secs(1)),
        ..Policy::default()
    };
    let dispatcher = start([(Arc::clone(&notifier), policy)]);
    for n in 0..4 {
        enqueue(&dispatcher, &n.to_string());
    }
    notifier.wait_delivered(4).await;
    let times: Vec<_> = notifier.attempts().iter().map(|(at, _)| *at).collect();
    assert!(times[1] - times[0] >= pause);
    assert!(times[2] - times[1] >= Duration::from_secs(1));
    assert!(times[3] - times[2] >= Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn groups_compose() {
    let (a, b) = (Scripted::new("a", [status(500)]), Scripted::new("b", []));
    let inner = start([
        (Arc::clone(&a), Policy::default()),
        (Arc::clone(&b), Policy::default()),
    ]);
    let outer = Member::new(Arc::new(inner), Policy::default());
    let outer = NotificationDispatcher::start("outer", "here", None, vec![outer]).unwrap();
    let sent = note("hello", Severity::Red);
    outer.notify(&sent).await.unwrap();
    a.wait_delivered(1).await;
    b.wait_delivered(1).await;
    assert_eq!(
        (a.delivered(), b.delivered()),
        (vec![sent.clone()], vec![sent])
    );
}

#[tokio::test(start_paused = true)]
async fn a_drain_delivers_what_it_can_and_ends_in_time() {
    let works = Scripted::new("works", [status(500)]);
    let hangs = Scripted::new("hangs", []).then(Play::Hang);
    let limited = Scripted::new("limited", [rate_limited(HOUR)]);
    let all = [&works, &hangs, &limited].map(|n| (Arc::clone(n), Policy::default()));
    let dispatcher = start(all);
    enqueue(&dispatcher, "a");
    enqueue(&dispatcher, "b");
    let begun = Instant::now();
    let left = dispatcher.drain(Duration::from_secs(5)).await;
    assert!(begun.elapsed() <= Duration::from_secs(5));
    assert_eq!(works.texts(), ["a", "b"]);
    let left: Vec<_> = left
        .iter()
        .map(|l| (l.name.as_str(), l.events, l.kept))
        .collect();
    assert_eq!(
        left,
        [
            ("hangs", 2, Durability::Memory),
            ("limited", 2, Durability::Memory)
        ]
    );
    let refused = dispatcher.enqueue(&note("late", Severity::Red));
    assert_eq!(refused, Err(NotifyError::Cancelled));
    assert_eq!(dispatcher.test("works").await, Err(OperateError::Stopping));
}

#[tokio::test]
async fn a_spool_that_cannot_be_opened_is_an_alarm() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("n"), "not a folder").unwrap();
    let notifier = Scripted::new("n", []);
    let dispatcher = start_in(Some(&dir), [(Arc::clone(&notifier), Policy::default())]);
    enqueue(&dispatcher, "a");
    notifier.wait_delivered(1).await;
    let status = dispatcher.list().remove(0);
    assert_eq!(status.alarms().len(), 1, "{status:?}");
    assert_eq!(dispatcher.durable().await, Durability::Memory);
}

#[tokio::test]
async fn names_that_cannot_be_folders_are_refused() {
    for name in ["", "..", "a/b", ".hidden", "spa ce", &"x".repeat(65)] {
        let member = Member::new(Scripted::new(name, []), Policy::default());
        let refused = NotificationDispatcher::start("all", "here", None, vec![member]);
        assert!(refused.is_err(), "{name:?}");
    }
    let twice = ["a", "a"].map(|name| Member::new(Scripted::new(name, []), Policy::default()));
    assert!(NotificationDispatcher::start("all", "here", None, twice.to_vec()).is_err());
}
