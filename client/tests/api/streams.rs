//! Lists and batches of any length.

use couic_client::{
    ClientError, Endpoint, ListQuery,
    common::{BatchJob, BatchRule, PeerAction, Policy},
};
use couic_testkit::{Reply, StandIn};
use futures_util::{TryStreamExt, stream};
use std::time::Duration;

use crate::{TOKEN, client};

const NDJSON: &str = "application/x-ndjson";
const COUNTS: &str =
    r#"{"added":2500,"updated":0,"unchanged":0,"removed":0,"failed":0,"failures":[]}"#;

fn line(n: u32) -> String {
    let ip = std::net::Ipv4Addr::from_bits(n);
    format!("{{\"creation\":1,\"cidr\":\"{ip}/32\",\"tag\":null,\"expiration\":0}}\n")
}

fn job(n: u32) -> BatchJob {
    BatchJob {
        action: PeerAction::Add,
        entry: BatchRule {
            cidr: format!("{}/32", std::net::Ipv4Addr::from_bits(n)),
            expiration: 0,
            tag: None,
            metadata: None,
            force: false,
            guard: None,
            ttl: None,
            longer: false,
        },
    }
}

#[tokio::test]
async fn a_list_arrives_in_order_whatever_form_the_daemon_chooses() {
    let lines: String = (0..50_000).map(line).collect();
    let array = format!("[{}]", lines.trim_end().replace('\n', ","));
    for (kind, body) in [
        (NDJSON, lines.trim_end().to_owned()),
        ("application/json", array),
    ] {
        let daemon = StandIn::unix(move |_| Reply::text(200, kind, body.as_str()));
        let list = client(&daemon)
            .stream_entries(Policy::Drop, &ListQuery::default())
            .await
            .unwrap();
        let entries: Vec<_> = list.try_collect().await.unwrap();
        assert_eq!(entries.len(), 50_000);
        assert!(entries.is_sorted_by_key(|e| e.cidr));
        let asked = daemon.only();
        assert!(asked.header("accept").unwrap().starts_with(NDJSON));
    }
}

#[tokio::test]
async fn a_bad_line_ends_the_stream_with_an_error() {
    let daemon =
        StandIn::unix(|_| Reply::text(200, NDJSON, format!("{}garbage\n{}", line(1), line(2))));
    let mut list = client(&daemon)
        .stream_entries(Policy::Drop, &ListQuery::default())
        .await
        .unwrap();
    assert!(list.try_next().await.unwrap().is_some());
    let error = list.try_next().await.unwrap_err();
    assert!(matches!(&error, ClientError::Protocol { .. }), "{error}");
    assert!(list.try_next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_batch_is_sent_as_lines() {
    let daemon = StandIn::unix(|_| Reply::json(200, COUNTS));
    let jobs = stream::iter((0..2_500).map(job));
    let outcome = client(&daemon)
        .batch_stream(Policy::Ignore, jobs)
        .await
        .unwrap();
    assert_eq!(outcome.added, 2_500);
    let seen = daemon.only();
    assert_eq!(seen.line(), "POST /v1/ignore/batch");
    assert_eq!(seen.header("content-type"), Some(NDJSON));
    let sent: Vec<BatchJob> = serde_json::Deserializer::from_slice(&seen.body)
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(sent, (0..2_500).map(job).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_short_batch_is_sent_as_an_array() {
    let daemon = StandIn::always(200, COUNTS);
    let jobs = [job(1), job(2)];
    client(&daemon).batch(Policy::Drop, &jobs).await.unwrap();
    let sent: Vec<BatchJob> = serde_json::from_slice(&daemon.only().body).unwrap();
    assert_eq!(sent, jobs);
}

#[tokio::test]
async fn a_batch_to_a_silent_daemon_times_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("silent.sock");
    let _silent = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let client = couic_client::Client::builder(Endpoint::unix(&path))
        .token(TOKEN.parse().unwrap())
        .timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    let endless = stream::iter((0..).map(job));
    let error = client
        .batch_stream(Policy::Drop, endless)
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn the_timeout_does_not_count_pauses_of_the_caller() {
    let daemon = StandIn::always(200, COUNTS);
    let patience = Duration::from_secs(60);
    let client = couic_client::Client::builder(Endpoint::unix(&daemon.socket))
        .token(TOKEN.parse().unwrap())
        .timeout(patience)
        .build()
        .unwrap();
    let slow = stream::unfold(0, move |n| async move {
        // In virtual time: three and a half timeouts of the client.
        tokio::time::pause();
        tokio::time::sleep(patience * 7 / 2).await;
        tokio::time::resume();
        (n < 2).then(|| (job(n), n + 1))
    });
    let outcome = client.batch_stream(Policy::Drop, slow).await.unwrap();
    assert_eq!(outcome.added, 2_500);
    assert_eq!(
        daemon.only().body.iter().filter(|b| **b == b'\n').count(),
        2
    );
}
