//! Permanent errors, failed notifiers, panics, and expiry.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_permanent_error_removes_only_its_message() {
    let notifier = Scripted::new("n", [status(400)]);
    let dispatcher = one(&notifier);
    enqueue(&dispatcher, "bad");
    enqueue(&dispatcher, "good");
    notifier.wait_delivered(1).await;
    assert_eq!(notifier.texts(), ["good"]);
    let dead = dispatcher.dead_letters("n").unwrap();
    assert_eq!((dead.len(), dead[0].text.as_str()), (1, "bad"));
    assert_eq!(dead[0].reason, "the server answered 400");
    assert_eq!(dispatcher.replay("n", Some(dead[0].key)).unwrap(), 1);
    notifier.wait_delivered(2).await;
    assert_eq!(notifier.texts(), ["good", "bad"]);
    assert_eq!(notifier.delivered()[1].id, dead[0].id.unwrap());
    assert_eq!(dispatcher.dead_letters("n").unwrap(), []);
    let again = dispatcher.replay("n", Some(dead[0].key));
    assert!(matches!(again, Err(OperateError::NoSuchLetter { .. })));
    assert!(matches!(
        dispatcher.replay("x", None),
        Err(OperateError::Unknown { .. })
    ));
}

/// As a Discord forum channel, which refuses every message without a thread's name (400, code 220001).
#[tokio::test(start_paused = true)]
async fn a_receiver_that_refuses_every_notification_is_a_problem() {
    let notifier = Scripted::new("n", []).then(status(400));
    let dispatcher = one(&notifier);
    enqueue(&dispatcher, "a");
    let info = until(&dispatcher, |s| s.dead == 1).await;
    assert_eq!(info.state, NotifierState::Ok);
    let told =
        "has delivered nothing yet, 1 notification became a dead letter: the server answered 400";
    assert_eq!(info.problems, [told]);
    notifier.set_after(Play::End(Ok(Receipt::default())));
    enqueue(&dispatcher, "b");
    notifier.wait_delivered(1).await;
    assert_eq!(dispatcher.list()[0].problems, [""; 0]);
    // Once it works, single refusals are normal, and many in a row are not.
    notifier.set_after(status(400));
    for refused in 1..=3 {
        enqueue(&dispatcher, "c");
        let info = until(&dispatcher, |s| s.dead == 1 + refused).await;
        assert_eq!(info.problems.len(), usize::from(refused == 3), "{info:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_endpoint_keeps_the_queue_until_it_accepts() {
    for code in [401, 403, 404, 410] {
        let notifier = Scripted::new("n", []).then(status(code));
        let dispatcher = one(&notifier);
        enqueue(&dispatcher, "a");
        enqueue(&dispatcher, "b");
        let status = until(&dispatcher, |s| s.state == NotifierState::Failed).await;
        assert_eq!(status.queue_events, 2);
        assert_eq!(
            status.problems,
            [format!("has failed: the server answered {code}")]
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
        assert_eq!(dispatcher.list()[0].problems, [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn resume_tries_again() {
    let notifier = Scripted::new("n", [fails(NotifyError::bad_config("url"))]);
    let dispatcher = one(&notifier);
    enqueue(&dispatcher, "a");
    until(&dispatcher, |s| s.state == NotifierState::Failed).await;
    dispatcher.resume("n").unwrap();
    notifier.wait_delivered(1).await;
}

#[tokio::test(start_paused = true)]
async fn three_panics_in_a_row_make_a_dead_letter() {
    let notifier = Scripted::new("n", [Play::Panic, status(500), Play::Panic, Play::Panic]);
    let dispatcher = one(&notifier);
    enqueue(&dispatcher, "bad");
    enqueue(&dispatcher, "good");
    notifier.wait_delivered(1).await;
    assert_eq!(notifier.texts(), ["good"]);
    let dead = dispatcher.dead_letters("n").unwrap();
    assert_eq!(
        dead[0].reason,
        "3 times in a row: the plugin panicked: scripted"
    );
}

#[tokio::test(start_paused = true)]
async fn a_notification_expires_after_a_day() {
    let notifier = Scripted::new("n", []).then(status(502));
    let dispatcher = one(&notifier);
    let begun = Instant::now();
    enqueue(&dispatcher, "old");
    tokio::time::sleep(HOUR).await;
    enqueue(&dispatcher, "younger");
    until(&dispatcher, |s| s.dead_letters == 1).await;
    assert!((24 * HOUR..24 * HOUR + Duration::from_secs(2)).contains(&begun.elapsed()));
    let dead = dispatcher.dead_letters("n").unwrap();
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
async fn the_queue_of_a_failed_notifier_expires_too() {
    let notifier = Scripted::new("n", []).then(status(404));
    let dispatcher = one(&notifier);
    enqueue(&dispatcher, "old");
    let status = until(&dispatcher, |s| s.dead_letters == 1).await;
    assert_eq!(
        (status.state, status.queue_events),
        (NotifierState::Failed, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn an_old_one_behind_a_young_one_expires_without_a_spin() {
    let notifier = Scripted::new("n", []).then(status(404));
    let dispatcher = one(&notifier);
    enqueue(&dispatcher, "old");
    enqueue(&dispatcher, "old too");
    until(&dispatcher, |s| s.state == NotifierState::Failed).await;
    tokio::time::sleep(23 * HOUR).await;
    dispatcher.members[0]
        .queue
        .report_dropped(&note("young", Severity::Green));
    tokio::time::sleep(2 * HOUR).await;
    let status = dispatcher.list().remove(0);
    assert_eq!((status.queue_events, status.dead_letters), (1, 2));
}
