//! Delivery of queued notifications: in order, in parts, at the pace that the receiver asks for.

use super::*;

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
    assert_eq!(status.state, NotifierState::Ok);
    assert_eq!(status.attempts["delivered"], 3);
    assert_eq!(status.attempts["retry"], 3);
    assert_eq!((status.enqueued, status.delivered), (3, 3));
    assert_eq!(dispatcher.attempt_times()[0].1.count, 6);
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
    let status = until(&dispatcher, |s| s.attempts.get("timeout") >= Some(&2)).await;
    assert_eq!((status.name.as_str(), status.queue_events), ("hangs", 100));
    assert_eq!(hangs.attempts()[1].1, hangs.attempts()[0].1);
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
    let status = until(&dispatcher, |s| s.state == NotifierState::RateLimited).await;
    assert!(status.next_attempt_secs.unwrap() > 80);
    let test = dispatcher.test("n").await;
    let Err(OperateError::NotDelivered(NotifyError::RateLimited { retry_after, .. })) = test else {
        panic!("a test must honor Retry-After, too: {test:?}");
    };
    assert!(retry_after <= wait);
    notifier.wait_delivered(2).await;
    let attempts = notifier.attempts();
    assert!(attempts[2].0 - attempts[1].0 >= wait);
    assert!(attempts[3].0 - attempts[2].0 >= wait);
    assert_eq!(
        attempts[4].0, attempts[3].0,
        "the failures before are forgotten"
    );
}

#[tokio::test(start_paused = true)]
async fn a_silly_retry_after_holds_for_an_hour_and_is_a_problem_meanwhile() {
    let silly = Duration::from_secs(99_999_999_999);
    let notifier = Scripted::new("n", [rate_limited(silly), rate_limited(silly)]);
    let dispatcher = one(&notifier);
    enqueue(&dispatcher, "a");
    notifier.wait_attempts(1).await;
    let status = until(&dispatcher, |s| s.state == NotifierState::RateLimited).await;
    assert!(status.next_attempt_secs.unwrap() <= 3_600);
    assert!(
        status.problems[0].starts_with("waits 60 more minutes because its receiver asked"),
        "{:?}",
        status.problems
    );
    notifier.wait_attempts(2).await;
    let attempts = notifier.attempts();
    assert_eq!((attempts[1].0 - attempts[0].0).as_secs(), 3_600);
    let status = until(&dispatcher, |s| s.state == NotifierState::RateLimited).await;
    assert!(
        status.problems[0].starts_with("has not delivered for 60 minutes"),
        "{:?}",
        status.problems
    );
    let before = Instant::now();
    dispatcher.resume("n").unwrap();
    notifier.wait_delivered(1).await;
    assert!(before.elapsed().as_secs() < 10, "resume ends the wait");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_too_large_is_halved_until_it_fits() {
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
    assert_eq!(notifier.texts(), ["drop 192.0.2.0/24 added", "after"]);
    assert_eq!(
        dispatcher.dead_letters("n").unwrap().len(),
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
    assert_eq!(dispatcher.list()[0].enqueued, 3, "5,000 each at most");
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
async fn names_that_cannot_be_folders_are_refused() {
    for name in ["", "..", "a/b", ".hidden", "spa ce", &"x".repeat(65)] {
        let member = Member::new(Scripted::new(name, []), Policy::default());
        let refused = NotificationDispatcher::start("all", "here", None, vec![member]);
        assert!(refused.is_err(), "{name:?}");
    }
    let twice = ["a", "a"].map(|name| Member::new(Scripted::new(name, []), Policy::default()));
    assert!(NotificationDispatcher::start("all", "here", None, twice.to_vec()).is_err());
}
