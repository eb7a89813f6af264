//! HTTP servers that misbehave.

use super::*;
use crate::stand_in::{Reply, StandIn, status, with_header};

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
    let server = StandIn::start([], reply).await.unwrap();
    let endpoint = endpoint(server.url("/secret-path"), Duration::from_secs(60));
    let result = endpoint.post(b"[]".to_vec(), Uuid::nil()).await;
    (result, server)
}

#[tokio::test]
async fn requests_carry_user_agent_content_type_and_idempotency_key() {
    let (result, server) = post_to(status(204)).await;
    assert_eq!(result.unwrap().status, 204);
    let requests = server.requests();
    let head = &requests[0].head;
    assert!(head.starts_with("post /secret-path http/1.1\r\n"), "{head}");
    for line in [
        format!("user-agent: couic/{}", env!("CARGO_PKG_VERSION")),
        "content-type: application/json".to_owned(),
        "accept: application/json".to_owned(),
        format!("idempotency-key: {}", Uuid::nil()),
    ] {
        assert!(
            head.contains(&format!("\r\n{line}\r\n")),
            "{line:?} in {head}"
        );
    }
    assert_eq!(requests[0].body, b"[]");
}

#[tokio::test]
async fn a_token_is_sent_and_never_printed() {
    let server = StandIn::start([], status(200)).await.unwrap();
    let config = EndpointConfig {
        url: server.url("/"),
        timeout: Duration::from_secs(2),
        token: Some("hunter2".to_owned()),
    };
    assert!(!format!("{config:?}").contains("hunter2"));
    let endpoint = Endpoint::new("url", config).unwrap();
    assert!(!format!("{endpoint:?}").contains("hunter2"));
    endpoint.post(Vec::new(), Uuid::nil()).await.unwrap();
    assert!(
        server.requests()[0]
            .head
            .contains("authorization: bearer hunter2\r\n")
    );
}

#[tokio::test]
async fn retry_after_in_all_its_forms() {
    for (code, value, expected) in [
        (429, "7", 7.0),
        (429, "0.65", 0.65),
        (503, "7", 7.0),
        (429, "x", 30.0),
    ] {
        let (result, _server) = post_to(with_header(code, "retry-after", value)).await;
        let Err(NotifyError::RateLimited { retry_after, .. }) = result else {
            panic!("{code} {value}: {result:?}");
        };
        assert_eq!(retry_after.as_secs_f64(), expected, "{code} {value}");
    }
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(100));
    let (result, _server) = post_to(with_header(429, "retry-after", &date)).await;
    let Err(NotifyError::RateLimited { retry_after, .. }) = result else {
        panic!("{result:?}");
    };
    assert!(
        (90..=100).contains(&retry_after.as_secs()),
        "{retry_after:?}"
    );
    let discord = Reply::Answer {
        status: 429,
        headers: vec![("retry-after", "1".to_owned())],
        body: r#"{"message":"…","retry_after":1.337,"global":false}"#.to_owned(),
    };
    let (result, _server) = post_to(discord).await;
    let wait = Duration::from_secs_f64(1.337);
    assert!(
        matches!(result, Err(NotifyError::RateLimited { retry_after, .. }) if retry_after == wait)
    );
}

#[tokio::test]
async fn transient_failures_are_retried() {
    for reply in [
        status(500),
        status(503),
        status(408),
        Reply::Reset,
        Reply::Close,
        Reply::HalfBody(502),
    ] {
        let (result, server) = post_to(reply.clone()).await;
        let error = result.unwrap_err();
        assert!(
            matches!(error, NotifyError::Retry { .. }),
            "{reply:?}: {error:?}"
        );
        for secret in ["secret-path", "127.0.0.1", &server.address_text()] {
            assert!(!format!("{error} {error:?}").contains(secret), "{error}");
        }
    }
}

#[tokio::test]
async fn a_refused_connection_is_retried() {
    let server = StandIn::start([], status(200)).await.unwrap();
    let url = server.url("/secret-path");
    drop(server);
    // The port is released once the server's task has ended.
    let error = loop {
        let endpoint = endpoint(url.clone(), Duration::from_secs(2));
        match endpoint.post(Vec::new(), Uuid::nil()).await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, NotifyError::Retry { .. }), "{error:?}");
    assert!(!error.to_string().contains("secret-path"), "{error}");
    // Short: without the library's generic outer errors.
    let text = error.to_string();
    let begins = ["cannot connect: ", "the request broke off: "];
    assert!(begins.iter().any(|b| text.starts_with(b)), "{text}");
    assert!(!text.contains("error sending request"), "{text}");
}

#[tokio::test]
async fn silence_is_a_timeout() {
    let server = StandIn::start([], Reply::Hang).await.unwrap();
    let timeout = Duration::from_millis(150);
    let result = endpoint(server.url("/"), timeout)
        .post(Vec::new(), Uuid::nil())
        .await;
    assert_eq!(result.unwrap_err(), NotifyError::Timeout { after: timeout });
}

#[tokio::test]
async fn the_status_decides_even_if_the_body_fails() {
    let server = StandIn::start([Reply::HalfBody(200)], Reply::HangInBody(200))
        .await
        .unwrap();
    let endpoint = endpoint(server.url("/"), Duration::from_secs(2));
    for _ in 0..2 {
        assert_eq!(
            endpoint.post(Vec::new(), Uuid::nil()).await.unwrap().status,
            200
        );
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
    let other = StandIn::start([], status(200)).await.unwrap();
    for code in [301, 302, 307, 308] {
        let (result, server) = post_to(with_header(code, "location", &other.url("/"))).await;
        assert_eq!(result.unwrap_err().http_status(), Some(code));
        assert_eq!(server.requests().len(), 1);
    }
    assert_eq!(other.requests().len(), 0);
}

#[tokio::test]
async fn the_response_text_is_sanitized_and_truncated() {
    let reply = Reply::Answer {
        status: 400,
        headers: Vec::new(),
        body: format!("inva\u{202e}lid\n\u{1b}payload{}", "x".repeat(10_000)),
    };
    let (result, _server) = post_to(reply).await;
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
