//! Receivers that take traffic, that do not, and that say so only when it comes.

use couic_plugin_api::Traffic;

use super::*;

fn minute(until: u64) -> Notification {
    notification(Kind::Traffic(Traffic {
        from: until - 60,
        until,
        ..Traffic::default()
    }))
}

fn takes() -> Reply {
    Reply::status(200).with("couic-accepts", "weather, Traffic")
}

/// What came: `reports` or `traffic`, and the body.
fn came(server: &StandIn) -> Vec<(String, json::Value)> {
    let requests = server.requests().into_iter();
    requests
        .map(|request| {
            let kind = request.header("couic-kind").unwrap_or("reports");
            (kind.to_owned(), request.json())
        })
        .collect()
}

#[tokio::test]
async fn a_receiver_of_1_0_is_sent_nothing_that_it_does_not_know() {
    let (webhook, server) = webhook([], json::json!({}));
    for until in 1..5 {
        let receipt = webhook.notify(&minute(60 * until)).await.unwrap();
        assert_eq!(receipt.http_status, None);
    }
    assert_eq!(came(&server), [("reports".to_owned(), json::json!([]))]);
}

#[tokio::test]
async fn a_receiver_that_announces_it_is_sent_traffic() {
    let (webhook, server) = webhook(vec![takes(); 3], json::json!({}));
    let sent = minute(60);
    webhook.notify(&sent).await.unwrap();
    webhook.notify(&minute(120)).await.unwrap();
    let came = came(&server);
    let kinds: Vec<_> = came.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["reports", "traffic", "traffic"]);
    assert_eq!(came[1].1["until"], 60);
    let request = &server.requests()[1];
    assert_eq!(request.line(), "POST /v1/reports/secret");
    assert_eq!(
        request.header("idempotency-key"),
        Some(&*sent.id.to_string())
    );
    assert_eq!(request.header("couic-instance"), Some("here"));
}

#[tokio::test]
async fn the_announcement_in_the_answer_to_reports_is_enough() {
    let (webhook, server) = webhook(vec![takes(); 2], json::json!({}));
    let reports = notification(Kind::Reports(vec![report(1)]));
    webhook.notify(&reports).await.unwrap();
    webhook.notify(&minute(60)).await.unwrap();
    let came = came(&server);
    assert_eq!((came.len(), came[1].0.as_str()), (2, "traffic"));
}

#[tokio::test]
async fn refused_traffic_is_delivered_as_far_as_the_queue_is_concerned() {
    for status in [400, 401, 404, 413, 415, 500, 502] {
        let (webhook, server) = webhook([takes(), Reply::status(status)], json::json!({}));
        for until in [60, 120, 180] {
            webhook.notify(&minute(until)).await.unwrap();
        }
        assert_eq!(came(&server).len(), 2, "{status}: not again within an hour");
        // Reports go on.
        let reports = notification(Kind::Reports(vec![report(1)]));
        webhook.notify(&reports).await.unwrap();
        assert_eq!(came(&server).len(), 3);
    }
}

#[tokio::test]
async fn a_receiver_that_has_no_time_or_is_not_there_is_asked_again() {
    let (webhook, server) = webhook(
        [
            Reply::Reset,
            takes(),
            Reply::status(429),
            Reply::status(503),
            Reply::Close,
            takes(),
        ],
        json::json!({}),
    );
    let sent = minute(60);
    // The first is the question, the second has its answer and 429.
    for _ in 0..4 {
        webhook.notify(&sent).await.unwrap_err();
    }
    webhook.notify(&sent).await.unwrap();
    let kinds: Vec<_> = came(&server).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds[..2], ["reports", "reports"]);
    assert_eq!(kinds[2..], ["traffic", "traffic", "traffic", "traffic"]);
}
