//! Shutdown: idle connections are closed, requests in progress finished, and the rest aborted at the deadline.

use std::time::Duration;

use couic::api::{ServeSettings, ServeSummary};
use serde_json::json;
use tokio::{net::UnixStream, time::timeout};

use super::{LONG, run};

#[tokio::test]
async fn shutdown_closes_idle_connections_and_finishes_requests_in_progress() {
    let mut server = run(ServeSettings::default());
    let mut idle = server.connect().await;
    assert_eq!(idle.ask(server.add("1.0.0.0/8")).await.status, 201);
    let mut busy = server.connect().await;
    let line = "{\"action\":\"add\",\"entry\":{\"cidr\":\"2.0.0.0/8\"}}\n";
    let more = format!(
        "content-type: application/x-ndjson\r\ncontent-length: {}\r\n",
        2 * line.len()
    );
    busy.send(server.head("POST", "/v1/drop/batch", &more) + line)
        .await;
    let begun = async {
        while server.rules() < 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, begun).await.unwrap();
    server.signal();
    assert!(idle.is_closed().await);
    let path = server.path.clone();
    let refused = async {
        while UnixStream::connect(&path).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, refused).await.unwrap();
    let answer = busy.ask(line).await;
    assert_eq!((answer.status, &answer.json()["added"]), (200, &json!(1)));
    assert!(busy.is_closed().await);
    assert_eq!(
        server.ended().await,
        ServeSummary {
            served: 2,
            refused: 0,
            aborted: 0
        }
    );
}

#[tokio::test]
async fn shutdown_aborts_requests_at_its_deadline() {
    let mut server = run(ServeSettings {
        drain: Duration::from_millis(200),
        ..ServeSettings::default()
    });
    let mut stuck = server.connect().await;
    let line = "{\"action\":\"add\",\"entry\":{\"cidr\":\"2.0.0.0/8\"}}\n";
    let head = server.head(
        "POST",
        "/v1/drop/batch",
        "content-type: application/x-ndjson\r\ncontent-length: 9999\r\n",
    );
    stuck.send(head + line).await;
    let begun = async {
        while server.rules() < 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, begun).await.unwrap();
    server.signal();
    assert_eq!(server.ended().await.aborted, 1);
}
