//! The stream of events: it resumes, and ends when it should.

use couic_client::{ClientError, Event, EventsQuery, common::Policy};
use couic_testkit::{Reply, StandIn, script};

use crate::client;

const CHANGE: &str = r#"{"at":7,"action":"removed","policy":"drop","cidr":"192.0.2.7/32","tag":null,"expiration":0,"creation":1,"owner":{"kind":"client","name":"web"},"actor":{"kind":"expiry"},"later":1}"#;

fn events(text: impl Into<String>) -> Reply {
    Reply::text(200, "text/event-stream", text)
}

#[tokio::test]
async fn a_stream_goes_on_behind_its_last_event() {
    let first = format!(
        ":\nid: 00000000000000ab-5\n\nid: 00000000000000ab-6\ndata: {CHANGE}\n\nevent: later\ndata: x\n\nid: 00000000000000ab-8\n\n"
    );
    let second =
        "event: gap\nid: 00000000000000ab-9\ndata: {\"missed\":1}\n\nid: 00000000000000ab-99\nda";
    let refusal = r#"{"code":"unauthorized","message":"no","errors":{}}"#;
    let replies = [events(first), events(second), Reply::Close];
    let daemon = StandIn::unix(script(replies, Reply::json(401, refusal)));
    let query = EventsQuery {
        policy: Some(Policy::Drop),
        ..EventsQuery::default()
    };
    let mut stream = client(&daemon).events(query).await.unwrap();
    let Some(Event::Change(change)) = stream.next().await.unwrap() else {
        unreachable!("a change");
    };
    assert_eq!(change.cidr.to_string(), "192.0.2.7/32");
    let ended = stream.next().await.unwrap_err();
    assert!(matches!(ended, ClientError::Unreachable { .. }), "{ended}");
    assert_eq!(
        stream.last_id().unwrap().to_string(),
        "00000000000000ab-8",
        "a position counts without an event"
    );
    let Some(Event::Gap(gap)) = stream.next().await.unwrap() else {
        unreachable!("a gap");
    };
    assert_eq!(gap.missed, Some(1));
    for _ in 0..2 {
        let broken = stream.next().await.unwrap_err();
        assert!(
            matches!(broken, ClientError::Unreachable { .. }),
            "{broken}"
        );
    }
    assert_eq!(stream.next().await.unwrap_err().status(), Some(401));
    let asked: Vec<String> = daemon
        .requests()
        .iter()
        .map(|r| r.line().to_owned())
        .collect();
    let after = |id: &str| format!("GET /v1/events?policy=drop&after=00000000000000ab-{id}");
    assert_eq!(
        asked,
        [
            "GET /v1/events?policy=drop",
            &after("8"),
            &after("9"),
            &after("9")
        ]
    );
}

#[tokio::test]
async fn what_is_kept_ends() {
    let text = format!("id: 00000000000000ab-6\ndata: {CHANGE}\n\n");
    let daemon = StandIn::unix(move |_| events(text.as_str()));
    let query = EventsQuery {
        kept_only: true,
        ..EventsQuery::default()
    };
    let mut stream = client(&daemon).events(query).await.unwrap();
    assert!(stream.next().await.unwrap().is_some());
    for _ in 0..2 {
        assert_eq!(stream.next().await.unwrap(), None);
    }
    assert_eq!(daemon.requests().len(), 1);
}

#[tokio::test]
async fn what_is_no_change_is_said() {
    let daemon = StandIn::unix(|_| events("data: {}\n\n"));
    let mut stream = client(&daemon)
        .events(EventsQuery::default())
        .await
        .unwrap();
    let error = stream.next().await.unwrap_err();
    assert!(matches!(error, ClientError::Protocol { .. }), "{error}");
}
