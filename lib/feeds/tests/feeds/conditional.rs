//! Conditional requests, and what a server may answer.

use couic_feeds::{FeedState, Refreshed};

use super::*;

fn tagged(body: String) -> Reply {
    ok(body)
        .with("etag", "\"one\"")
        .with("last-modified", "Tue, 01 Dec 2026 10:00:00 GMT")
}

/// 304 to whoever has the list.
fn server() -> StandIn {
    StandIn::tcp(|request| match request.header("if-none-match") {
        Some("\"one\"") => {
            Reply::Raw(b"HTTP/1.1 304 Not Modified\r\netag: \"one\"\r\n\r\n".to_vec())
        }
        _ => tagged(list(50)),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_asked_for_with_its_validators() {
    let server = server();
    let setup = Setup::of(&server);
    assert_eq!(setup.feeds.refresh("x").await.unwrap(), Refreshed::Taken);
    assert_eq!(
        setup.feeds.refresh("x").await.unwrap(),
        Refreshed::Unchanged
    );
    let requests = server.requests();
    assert_eq!(requests[0].header("if-none-match"), None);
    assert_eq!(
        requests[1].header("if-modified-since"),
        Some("Tue, 01 Dec 2026 10:00:00 GMT")
    );
    assert_eq!(requests[1].header("accept-encoding"), Some("gzip"));
    assert_eq!(
        setup.daemon.puts(),
        1,
        "an unchanged list is not written again"
    );
    assert_eq!(setup.status().state, FeedState::Ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_whole_list_a_feed_asks_for_all_of_it() {
    let server = server();
    let mut setup = Setup::of(&server);
    setup.feeds.refresh("x").await.unwrap();
    let path = setup.dir.path().join("feeds/x.list");
    let whole = std::fs::read(&path).unwrap();
    let configs = [config("x", &server.url("/list?key=s3cret"))];
    for damage in [&whole[..whole.len() - 1], b""] {
        std::fs::write(&path, damage).unwrap();
        setup.again(&configs);
        assert_eq!(setup.feeds.refresh("x").await.unwrap(), Refreshed::Taken);
    }
    std::fs::remove_file(&path).unwrap();
    setup.again(&configs);
    assert_eq!(setup.feeds.refresh("x").await.unwrap(), Refreshed::Taken);
    // A list of another origin has no validators for this one.
    setup.again(&[config("x", &server.url("/other"))]);
    assert_eq!(setup.feeds.refresh("x").await.unwrap(), Refreshed::Taken);
    let asked = server.requests();
    assert!(
        asked
            .iter()
            .all(|request| request.header("if-none-match").is_none())
    );
    assert_eq!(setup.daemon.set("x").unwrap(), in_force(50));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_304_without_a_condition_is_no_list() {
    let server = StandIn::tcp(|_| Reply::Raw(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()));
    let setup = Setup::of(&server);
    let error = setup.feeds.refresh("x").await.unwrap_err().to_string();
    assert_eq!(
        error,
        "it responded with 304 to a request without a condition"
    );
    assert_eq!(setup.daemon.set("x"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_may_ask_for_a_longer_pause() {
    let server = StandIn::tcp(|_| Reply::status(503).with("retry-after", "7000"));
    let setup = Setup::of(&server);
    setup.feeds.refresh("x").await.unwrap_err();
    let status = setup.status();
    let pause = status.next_at - couic_common::unix_seconds();
    assert!((6990..=7000).contains(&pause), "{pause}");
    assert_eq!((status.state, status.failures), (FeedState::Failing, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_list_is_unpacked_whatever_the_header_says() {
    let packed = {
        use std::io::Write;
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(list(50).as_bytes()).unwrap();
        packer.finish().unwrap()
    };
    let server = StandIn::tcp(move |request| {
        let reply = Reply::Answer {
            status: 200,
            headers: Vec::new(),
            body: packed.clone(),
        };
        if request.line().ends_with("gz") {
            reply
        } else {
            reply.with("content-encoding", "gzip")
        }
    });
    for path in ["/list.gz", "/list"] {
        let setup = Setup::new(config("x", &server.url(path)));
        setup.feeds.refresh("x").await.unwrap();
        assert_eq!(setup.daemon.set("x").unwrap(), in_force(50), "{path}");
    }
}
