//! Every kind of failure, and its text.

use std::{os::unix::net::UnixListener, time::Duration};

use couic_client::{
    Client, ClientError, Endpoint,
    common::{Cidr, ErrorCode, Policy},
};

use couic_testkit::{Reply, StandIn};

use crate::{TOKEN, client};

fn at(endpoint: Endpoint) -> Client {
    with_timeout(endpoint, Duration::from_secs(60))
}

fn with_timeout(endpoint: Endpoint, timeout: Duration) -> Client {
    Client::builder(endpoint)
        .token(TOKEN.parse().unwrap())
        .timeout(timeout)
        .build()
        .unwrap()
}

async fn failure(client: &Client) -> ClientError {
    let error = client.stats().await.unwrap_err();
    let all = format!("{error} {error:?} {client:?}");
    assert!(!all.contains(&TOKEN[..8]), "{all}");
    assert!(!all.contains("http://"), "{all}");
    error
}

#[tokio::test]
async fn no_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.sock");
    let error = failure(&at(Endpoint::unix(&path))).await;
    assert_eq!(
        error.to_string(),
        format!(
            "cannot reach couic at {0}: No such file or directory (os error 2)\n  is the daemon running \
             (systemctl status couic), and is {0} the `socket` of its [server] settings?\n  \
             packets may still be filtered by the rules it left: couic detach, as root, lets all of them pass",
            path.display()
        )
    );
}

#[tokio::test]
async fn a_socket_left_over_from_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old.sock");
    drop(UnixListener::bind(&path).unwrap());
    let error = failure(&at(Endpoint::unix(&path))).await.to_string();
    assert!(error.contains("Connection refused"), "{error}");
    assert!(error.contains("the daemon is not running"), "{error}");
}

#[tokio::test]
async fn a_port_without_a_listener() {
    // Bound, so that the port stays ours; connections to the neighbouring address are refused.
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let error = failure(&at(Endpoint::plain("127.0.0.2", port))).await;
    let ClientError::Unreachable { endpoint, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(endpoint.to_string(), format!("127.0.0.2:{port}"));
    assert!(error.to_string().contains("nothing listens there"));
}

#[tokio::test]
async fn a_daemon_that_does_not_answer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("silent.sock");
    let _silent = UnixListener::bind(&path).unwrap();
    let impatient = with_timeout(Endpoint::unix(&path), Duration::from_millis(300));
    let error = failure(&impatient).await;
    assert!(matches!(error, ClientError::Timeout { .. }), "{error:?}");
    assert!(error.to_string().contains("within 0.3 s"), "{error}");
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer() {
    let rude = StandIn::unix(|_| Reply::Close);
    let error = failure(&at(Endpoint::unix(&rude.socket))).await;
    assert_eq!(rude.only().line(), "GET /v1/stats");
    assert!(
        matches!(error, ClientError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(
        error.to_string().contains("check before you repeat"),
        "{error}"
    );
}

#[tokio::test]
async fn a_refusal_keeps_the_daemons_words() {
    let daemon = StandIn::always(
        422,
        r#"{"code":"invalid","message":"invalid entry","errors":{"tag":{"code":"invalid","message":"too long"}}}"#,
    );
    let net: Cidr = "10.0.0.0/8".parse().unwrap();
    let error = client(&daemon).entry(Policy::Drop, net).await.unwrap_err();
    assert_eq!(error.status(), Some(422));
    assert_eq!(error.to_string(), "invalid entry\n  tag: too long");
    let ClientError::Refused { error, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(error.code, ErrorCode::Invalid);
}

#[tokio::test]
async fn something_else_responds() {
    for (status, advice) in [
        (502, "a proxy responded"),
        (301, "redirects are not followed"),
        (404, "something else listens there"),
    ] {
        let proxy = StandIn::tcp(move |_| Reply::text(status, "text/html", "<h1>no</h1>"));
        let error = failure(&client(&proxy)).await;
        assert!(matches!(error, ClientError::Protocol { .. }), "{error:?}");
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_is_not_what_was_asked_for() {
    for body in ["", "{", "[]", "{\"drop_cidr_count\":-1}"] {
        let daemon = StandIn::always(200, body);
        let error = failure(&client(&daemon)).await;
        assert!(error.to_string().contains("same version"), "{error}");
    }
}

#[tokio::test]
async fn a_response_larger_than_the_limit_is_an_error() {
    let server = StandIn::tcp(|_| Reply::json(200, " ".repeat(2 << 20)));
    let address = server.address.unwrap();
    let client = Client::builder(Endpoint::plain(address.ip().to_string(), address.port()))
        .token(TOKEN.parse().unwrap())
        .max_answer(1 << 20)
        .build()
        .unwrap();
    let error = failure(&client).await.to_string();
    assert!(
        error.contains("the response is larger than 1 MiB"),
        "{error}"
    );
}
