//! State that survives a restart.

use super::*;

/// Ends it without a drain, and waits until its tasks have released the spools.
async fn stop(dispatcher: NotificationDispatcher) {
    let tasks = std::mem::take(&mut *dispatcher.tasks.lock());
    drop(dispatcher);
    for task in tasks {
        task.abort();
        task.await.unwrap_err();
    }
}

#[tokio::test]
async fn a_restart_does_not_undercut_retry_after() {
    let dir = TempDir::new().unwrap();
    let first = Scripted::new("n", [rate_limited(HOUR)]);
    let dispatcher = start_in(Some(&dir), [(Arc::clone(&first), Policy::default())]);
    enqueue(&dispatcher, "a");
    first.wait_attempts(1).await;
    soon(&dispatcher, |s| s.state == NotifierState::RateLimited).await;
    dispatcher.durable().await;
    // As after a kill: without a drain.
    stop(dispatcher).await;
    let second = Scripted::new("n", []);
    let dispatcher = start_in(Some(&dir), [(Arc::clone(&second), Policy::default())]);
    let status = dispatcher.list().remove(0);
    assert_eq!(
        (status.state, status.queue_events),
        (NotifierState::RateLimited, 1)
    );
    assert!(status.next_attempt_secs.unwrap() > 3_500);
    assert_eq!(second.attempts().len(), 0);
}

#[tokio::test]
async fn accepted_notifications_survive_a_restart() {
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
    soon(&dispatcher, |s| s.state == NotifierState::Failed).await;
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
    assert_eq!(dispatcher.dead_letters("n").unwrap()[0].text, "dead");
    assert_eq!(dispatcher.drain(HOUR).await, []);
    assert_eq!(dispatcher.list()[0].state, NotifierState::Stopped);
}

#[tokio::test]
async fn dropped_notifications_are_reported_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let first = Scripted::new("n", []).then(status(404));
    let dispatcher = start_in(Some(&dir), [(Arc::clone(&first), small(Merge::Digest))]);
    for n in 0..15 {
        enqueue(&dispatcher, &n.to_string());
    }
    dispatcher.durable().await;
    let dropped = dispatcher.list()[0].dropped;
    assert_eq!(dropped, 5);
    stop(dispatcher).await;
    let second = Scripted::new("n", []);
    let _dispatcher = start_in(Some(&dir), [(Arc::clone(&second), small(Merge::Digest))]);
    second.wait_delivered(11).await;
    let notices: Vec<_> = second
        .texts()
        .into_iter()
        .filter(|text| text.contains("dropped"))
        .collect();
    assert_eq!(
        notices,
        ["5 notifications were dropped: the queue of n was full"]
    );
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
    assert_eq!(status.problems.len(), 1, "{status:?}");
    assert_eq!(dispatcher.durable().await, Durability::Memory);
}
