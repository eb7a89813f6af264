//! Queues at their limit: merging, dropping, and the notice about it.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_the_oldest_of_the_least_severe_and_reports_it_once() {
    let notifier = Scripted::new("n", [rate_limited(HOUR)]);
    let dispatcher = start([(Arc::clone(&notifier), small(Merge::Digest))]);
    enqueue(&dispatcher, "held");
    notifier.wait_attempts(1).await;
    dispatcher.enqueue(&note("red", Severity::Red)).unwrap();
    for n in 0..20 {
        enqueue(&dispatcher, &format!("green {n}"));
    }
    let status = dispatcher.list().remove(0);
    assert_eq!((status.queue_events, status.dropped), (10, 12));
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
        until(&dispatcher, |s| s.queue_events == 0).await.delivered,
        11
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
    assert_eq!(status.dropped, 0);
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
    assert_eq!(dispatcher.list()[0].dropped, 0);
}
