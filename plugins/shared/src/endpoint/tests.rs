//! HTTP servers that misbehave.

use couic_testkit::{Reply, StandIn, script};

use super::*;

/// Longer than any attempt here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn endpoint(url: String, timeout: Duration) -> Endpoint {
    let config = EndpointConfig {
        url,
        timeout,
        token: None,
    };
    Endpoint::new("url", config).unwrap()
}

/// Posts to a server that sends this reply.
async fn post_to(reply: Reply) -> (Result<Answer, NotifyError>, StandIn) {
    let server = StandIn::tcp(script([], reply));
    let endpoint = endpoint(server.url("/secret-path"), PATIENCE);
    let result = endpoint.post(b"[]".to_vec(), Uuid::nil()).await;
    (result, server)
}

#[tokio::test]
async fn the_request_says_what_it_is() {
    let (result, server) = post_to(Reply::status(204)).await;
    assert_eq!(result.unwrap().status, 204);
    let request = server.only();
    assert_eq!(request.line(), "POST /secret-path");
    for (name, value) in [
        ("user-agent", USER_AGENT),
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("idempotency-key", &Uuid::nil().to_string()),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
    assert_eq!(request.body, b"[]");
}

#[tokio::test]
async fn a_token_goes_along_and_stays_hidden() {
    let server = StandIn::tcp(|_| Reply::status(200));
    let config = EndpointConfig {
        url: server.url("/"),
        timeout: PATIENCE,
        token: Some("hunter2".to_owned()),
    };
    assert!(!format!("{config:?}").contains("hunter2"));
    let endpoint = Endpoint::new("url", config).unwrap();
    assert!(!format!("{endpoint:?}").contains("hunter2"));
    endpoint.post(Vec::new(), Uuid::nil()).await.unwrap();
    let request = server.only();
    assert_eq!(request.header("authorization"), Some("Bearer hunter2"));
}

#[tokio::test]
async fn retry_after_in_all_its_forms() {
    for (code, value, expected) in [
        (429, "7", 7.0),
        (429, "0.65", 0.65),
        (503, "7", 7.0),
        (429, "x", 30.0),
    ] {
        let (result, _server) = post_to(Reply::status(code).with("retry-after", value)).await;
        let Err(NotifyError::RateLimited { retry_after, .. }) = result else {
            panic!("{code} {value}: {result:?}");
        };
        assert_eq!(retry_after.as_secs_f64(), expected, "{code} {value}");
    }
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
    let (result, _server) = post_to(Reply::status(429).with("retry-after", date)).await;
    let Err(NotifyError::RateLimited { retry_after, .. }) = result else {
        panic!("{result:?}");
    };
    assert!(
        (90..=100).contains(&retry_after.as_secs()),
        "{retry_after:?}"
    );
    let discord = Reply::json(429, r#"{"message":"…","retry_after":1.337,"global":false}"#);
    let (result, _server) = post_to(discord.with("retry-after", "1")).await;
    let wait = Duration::from_secs_f64(1.337);
    assert!(
        matches!(result, Err(NotifyError::RateLimited { retry_after, .. }) if retry_after == wait)
    );
}

#[tokio::test]
async fn transient_failures_are_retried() {
    for reply in [
        Reply::status(500),
        Reply::status(503),
        Reply::status(408),
        Reply::Reset,
        Reply::Close,
        Reply::half_body(502),
    ] {
        let (result, server) = post_to(reply.clone()).await;
        let error = result.unwrap_err();
        assert!(
            matches!(error, NotifyError::Retry { .. }),
            "{reply:?}: {error:?}"
        );
        for secret in [
            "secret-path",
            "127.0.0.1",
            &server.address.unwrap().to_string(),
        ] {
            assert!(!format!("{error} {error:?}").contains(secret), "{error}");
        }
    }
}

#[tokio::test]
async fn a_refused_connection_is_retried_and_shown_without_the_url() {
    // The port is released once the server's task has ended.
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    let endpoint = endpoint(format!("http://127.0.0.2:{port}/secret-path"), PATIENCE);
    let error = endpoint.post(Vec::new(), Uuid::nil()).await.unwrap_err();
    assert!(matches!(error, NotifyError::Retry { .. }), "{error:?}");
    assert!(!error.to_string().contains("secret-path"), "{error}");
    // Short: without the library's generic outer errors.
    let text = error.to_string();
    assert!(text.starts_with("cannot connect: "), "{text}");
    assert!(!text.contains("error sending request"), "{text}");
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let server = StandIn::tcp(|_| Reply::Hang);
    let timeout = Duration::from_millis(150);
    let result = endpoint(server.url("/"), timeout)
        .post(Vec::new(), Uuid::nil())
        .await;
    assert_eq!(result.unwrap_err(), NotifyError::Timeout { after: timeout });
}

#[tokio::test]
async fn the_status_decides_whatever_the_body_does() {
    let server = StandIn::tcp(script([Reply::half_body(200)], Reply::HangInBody(200)));
    // The second body ends with this timeout alone.
    let endpoint = endpoint(server.url("/"), Duration::from_secs(5));
    for _ in 0..2 {
        let answer = endpoint.post(Vec::new(), Uuid::nil()).await;
        assert_eq!(answer.unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_huge_response_is_not_read() {
    for code in [200, 400] {
        let (result, server) = post_to(Reply::Gigabyte(code)).await;
        match (code, result) {
            (200, Ok(answer)) => assert_eq!(answer.status, 200),
            (_, Err(error)) => {
                assert_eq!(error.http_status(), Some(400));
                assert!(error.to_string().len() < 800, "{error}");
            }
            (_, other) => panic!("{other:?}"),
        }
        // No more than fits into the socket buffers.
        assert!(server.sent() < 64 << 20, "{} bytes", server.sent());
    }
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = StandIn::tcp(|_| Reply::status(200));
    for code in [301, 302, 307, 308] {
        let (result, server) = post_to(Reply::status(code).with("location", other.url("/"))).await;
        assert_eq!(result.unwrap_err().http_status(), Some(code));
        assert_eq!(server.requests().len(), 1);
    }
    assert_eq!(other.requests().len(), 0);
}

#[tokio::test]
async fn text_of_the_server_is_shown_shortened_and_without_control_characters() {
    let hostile = format!("inva\u{202e}lid\n\u{1b}payload{}", "x".repeat(10_000));
    let (result, _server) = post_to(Reply::text(400, "text/plain", hostile)).await;
    let text = result.unwrap_err().to_string();
    assert!(
        text.starts_with("the server answered 400: invalid payloadxxx"),
        "{text}"
    );
    assert!(text.ends_with('…') && text.len() < 300);
}

#[test]
fn invalid_urls_are_reported_by_their_configuration_key() {
    for url in ["", "secret", "ftp://secret/x", "http://", "file:///secret"] {
        let config = EndpointConfig {
            url: url.to_owned(),
            timeout: Duration::from_secs(1),
            token: None,
        };
        let error = Endpoint::new("webhook_url", config)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("webhook_url") && !error.contains("secret"),
            "{error}"
        );
    }
}
