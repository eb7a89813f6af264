use couic_plugin_api::Severity;
use couic_testkit::{Reply, StandIn, script};

use super::*;

fn report(tag_len: usize) -> Report {
    let text = format!(
        r#"{{"action":"add","policy":"drop","entry":{{"creation":1,"cidr":"192.0.2.0/24","tag":null,"expiration":0}},"metadata":{{"kind":"test","detail":"{}"}},"timestamp":7}}"#,
        "x".repeat(tag_len)
    );
    json::from_str(&text).unwrap()
}

fn notification(kind: Kind) -> Notification {
    Notification::new(kind, Severity::Green, "here")
}

fn webhook(
    replies: impl IntoIterator<Item = Reply>,
    mut config: json::Value,
) -> (Webhook, StandIn) {
    let server = StandIn::tcp(script(replies, Reply::status(200)));
    config["timeout_ms"] = 60_000.into();
    config["url"] = server.url("/v1/reports/secret").into();
    (
        Webhook::create(json::from_value(config).unwrap()).unwrap(),
        server,
    )
}

fn arrays(server: &StandIn) -> Vec<Vec<Report>> {
    let bodies = server.requests().into_iter().map(|r| r.body);
    bodies
        .map(|body| json::from_slice(&body).unwrap())
        .collect()
}

#[tokio::test]
async fn reports_go_out_as_one_array() {
    let (webhook, server) = webhook([], json::json!({}));
    let sent = vec![report(1), report(2)];
    let receipt = webhook
        .notify(&notification(Kind::Reports(sent.clone())))
        .await
        .unwrap();
    assert_eq!(receipt.http_status, Some(200));
    assert_eq!(arrays(&server), [sent]);
}

#[tokio::test]
async fn the_instance_names_itself_if_a_header_can_hold_its_name() {
    let (webhook, server) = webhook([], json::json!({}));
    let named = |source: &str| Notification {
        source: source.to_owned(),
        ..notification(Kind::Reports(vec![report(1)]))
    };
    for source in ["FW-Lyon 2", "pare-feu-é", "a\r\nx: y", ""] {
        webhook.notify(&named(source)).await.unwrap();
    }
    let requests = server.requests();
    let named = requests.iter().map(|r| r.header("couic-instance"));
    assert!(
        named.eq([Some("FW-Lyon 2"), None, None, None]),
        "{requests:?}"
    );
}

#[tokio::test]
async fn split_by_count_and_by_bytes_and_resumed_where_it_failed() {
    let (webhook, server) = webhook([Reply::status(200), Reply::status(500)], json::json!({}));
    let sent = vec![report(1); 12_000];
    let whole = notification(Kind::Reports(sent));
    let failed = webhook.notify(&whole).await;
    assert!(matches!(failed, Err(NotifyError::Retry { .. })));
    webhook.notify(&whole).await.unwrap();
    let lengths: Vec<_> = arrays(&server).iter().map(Vec::len).collect();
    assert_eq!(
        lengths,
        [5_000, 5_000, 5_000, 2_000],
        "the second part was sent twice, the first once"
    );

    let large = vec![report(300_000); 7];
    webhook
        .notify(&notification(Kind::Reports(large)))
        .await
        .unwrap();
    let requests = server.requests();
    assert!(requests[4..].iter().all(|r| r.body.len() <= MAX_BYTES));
    let lengths: Vec<_> = arrays(&server)[4..].iter().map(Vec::len).collect();
    assert_eq!(lengths, [3, 3, 1]);

    let huge = vec![report(2 << 20); 2];
    webhook
        .notify(&notification(Kind::Reports(huge)))
        .await
        .unwrap();
    assert_eq!(
        arrays(&server)[7..]
            .iter()
            .map(Vec::len)
            .collect::<Vec<_>>(),
        [1, 1]
    );
}

#[tokio::test]
async fn another_notification_starts_from_its_start() {
    let (webhook, server) = webhook([Reply::status(200), Reply::status(500)], json::json!({}));
    let first = notification(Kind::Reports(vec![report(1); 6_000]));
    webhook.notify(&first).await.unwrap_err();
    webhook
        .notify(&notification(Kind::Reports(vec![report(1); 6_000])))
        .await
        .unwrap();
    let lengths: Vec<_> = arrays(&server).iter().map(Vec::len).collect();
    assert_eq!(lengths, [5_000, 1_000, 5_000, 1_000]);
}

#[tokio::test]
async fn only_reports_unless_all_are_asked_for() {
    let (webhook, server) = webhook([], json::json!({}));
    webhook
        .notify(&notification(Kind::Summary(Default::default())))
        .await
        .unwrap();
    webhook.notify(&notification(Kind::Test)).await.unwrap();
    assert_eq!(server.requests().len(), 1);
    assert_eq!(server.requests()[0].body, b"[]");

    let (webhook, server) = self::webhook([], json::json!({"format": "notifications"}));
    let sent = notification(Kind::Summary(Default::default()));
    webhook.notify(&sent).await.unwrap();
    let got: Notification = json::from_slice(&server.requests()[0].body).unwrap();
    assert_eq!(got, sent);
}

#[tokio::test]
async fn http_statuses_map_to_notify_errors() {
    let script = [
        Reply::status(429).with("retry-after", "3"),
        Reply::status(413),
        Reply::status(400),
        Reply::Reset,
    ];
    let (webhook, _server) = webhook(script, json::json!({}));
    let sent = notification(Kind::Reports(vec![report(1)]));
    let limited = webhook.notify(&sent).await.unwrap_err();
    assert!(
        matches!(limited, NotifyError::RateLimited { retry_after, .. } if retry_after.as_secs() == 3)
    );
    assert!(matches!(
        webhook.notify(&sent).await,
        Err(NotifyError::TooLarge { .. })
    ));
    assert!(matches!(
        webhook.notify(&sent).await,
        Err(NotifyError::Permanent { .. })
    ));
    assert!(matches!(
        webhook.notify(&sent).await,
        Err(NotifyError::Retry { .. })
    ));
    assert_eq!(webhook.name(), "webhook");
}

#[test]
fn configuration_is_checked() {
    for bad in [
        json::json!({}),
        json::json!({"url": "http://x", "more": 1}),
        json::json!({"url": 1}),
    ] {
        assert!(json::from_value::<Config>(bad).is_err());
    }
    let config = json::from_value::<Config>(json::json!({"url": "not a URL"})).unwrap();
    assert_eq!(config.timeout_ms, 2_000);
    assert!(matches!(
        Webhook::create(config),
        Err(NotifyError::BadConfig { .. })
    ));
}

mod traffic;
