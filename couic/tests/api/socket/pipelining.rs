//! Several requests on one connection: order, and latency of responses.

use couic::api::ServeSettings;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout},
};

use super::{Client, LONG, run};

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = run(ServeSettings::default());
    let mut client = server.connect().await;
    let text: String = (0..500)
        .map(|i| server.add(&format!("10.0.{}.{}/32", i / 256, i % 256)))
        .collect();
    // In another task: the socket buffers do not hold all of it.
    let (mut read, mut write) = client.stream.into_split();
    let sending = tokio::spawn(async move {
        write.write_all(text.as_bytes()).await.unwrap();
        write
    });
    let mut bytes = Vec::new();
    while bytes.windows(12).filter(|w| w == b"HTTP/1.1 201").count() < 500 || !bytes.ends_with(b"}")
    {
        assert!(
            timeout(LONG, read.read_buf(&mut bytes))
                .await
                .unwrap()
                .unwrap()
                > 0
        );
    }
    let text = String::from_utf8(bytes).unwrap();
    let mut last = 0;
    for i in 0..500 {
        let cidr = format!("\"10.0.{}.{}/32\"", i / 256, i % 256);
        let at = text[last..]
            .find(&cidr)
            .unwrap_or_else(|| panic!("{cidr} is not in its place"));
        last += at;
    }
    client = Client {
        stream: read.reunite(sending.await.unwrap()).unwrap(),
        buf: Vec::new(),
    };
    assert_eq!(
        client.ask(server.head("GET", "/v1/stats", "")).await.json()["drop_cidr_count"],
        500
    );
}

/// Not after a timer: the connection's own wakeups must suffice.
#[tokio::test]
async fn answers_are_sent_at_once() {
    let server = run(ServeSettings::default());
    let mut client = server.connect().await;
    let started = Instant::now();
    // The connection's timer ticks every 2.5 s.
    for i in 0..50 {
        assert_eq!(
            client
                .ask(server.add(&format!("10.0.0.{i}/32")))
                .await
                .status,
            201
        );
        assert_eq!(
            client.ask(server.head("GET", "/v1/stats", "")).await.status,
            200
        );
        assert_eq!(
            client
                .ask(server.head("GET", "/v1/sets/drop", ""))
                .await
                .status,
            200
        );
    }
    assert!(started.elapsed() < LONG, "{:?}", started.elapsed());
}

/// The first answer does not wait for the second, although a third request is there already.
#[tokio::test]
async fn an_answer_does_not_wait_for_the_next_request() {
    let server = run(ServeSettings::default());
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let blocked = move || {
        let _ = wait.lock().unwrap().recv_timeout(LONG);
        crate::support::healthy()
    };
    *server.test.health.lock().unwrap() = Box::new(blocked);
    let mut client = server.connect().await;
    let health = server.head("GET", "/v1/health", "");
    client
        .send([server.add("1.0.0.0/8"), health, server.add("2.0.0.0/8")].concat())
        .await;
    assert_eq!(client.answer().await.status, 201);
    go.send(()).unwrap();
    assert_eq!(client.answer().await.status, 200);
    assert_eq!(client.answer().await.status, 201);
}

#[tokio::test]
async fn errors_between_pipelined_requests_do_not_break_the_connection() {
    let server = run(ServeSettings::default());
    let mut client = server.connect().await;
    let bad = server.post("/v1/drop", "nonsense");
    let unknown = server.head("GET", "/v1/nothing/here", "");
    let anonymous = "POST /v1/drop HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc";
    client
        .send(
            [
                server.add("1.0.0.0/8"),
                bad,
                unknown,
                anonymous.to_owned(),
                server.add("2.0.0.0/8"),
            ]
            .concat(),
        )
        .await;
    for status in [201, 400, 404, 401, 201] {
        assert_eq!(client.answer().await.status, status);
    }
    assert_eq!(server.rules(), 2);
}

#[tokio::test]
async fn slow_work_does_not_overtake_pipelined_answers() {
    let server = run(ServeSettings::default());
    let mut client = server.connect().await;
    let set = server.post("/v1/sets/drop", "{\"name\":\"s\",\"entries\":[]}");
    let reload = server.head("POST", "/v1/sets/reload", "content-length: 0\r\n");
    client
        .send(
            [
                server.add("1.0.0.0/8"),
                set,
                server.add("1.0.0.0/8"),
                reload,
            ]
            .concat(),
        )
        .await;
    for status in [201, 201, 409, 201] {
        assert_eq!(client.answer().await.status, status);
    }
}

#[tokio::test]
async fn head_keeps_the_connection_in_sync() {
    let server = run(ServeSettings::default());
    let jobs: Vec<Value> = (0..3000_u32)
        .map(|i| json!({"action": "add", "entry": {"cidr": format!("10.0.{}.{}/32", i >> 8, i & 255)}}))
        .collect();
    server
        .test
        .post("/v1/drop/batch", &Value::Array(jobs))
        .await
        .is(200);
    let mut client = server.connect().await;
    for path in [
        "/v1/drop?limit=5",
        "/v1/drop",
        "/v1/stats",
        "/v1/health",
        "/v1/nothing/here",
    ] {
        let get = client.ask(server.head("GET", path, "")).await;
        client.send(server.head("HEAD", path, "")).await;
        let (status, head) = client.head().await;
        assert_eq!(status, get.status, "{path}");
        // RFC 9110, 9.3.2: headers determined while generating the body may be omitted.
        let names = |head: &str| {
            let left_out = |line: &&str| {
                line.starts_with("date") || line.starts_with("transfer-encoding") || line.is_empty()
            };
            let lines = head.lines().skip(1).filter(|line| !left_out(line));
            let mut names: Vec<String> = lines.map(str::to_owned).collect();
            names.sort();
            names
        };
        assert_eq!(names(&head), names(&get.head), "{path}");
    }
    assert_eq!(client.ask(server.add("1.0.0.0/8")).await.status, 201);
}

#[tokio::test]
async fn lists_are_streamed_over_http_1_0_too() {
    let server = run(ServeSettings::default());
    let mut client = server.connect().await;
    let request = server
        .head("GET", "/v1/drop", "")
        .replace("HTTP/1.1", "HTTP/1.0");
    let answer = client.ask(request).await;
    assert_eq!((answer.status, answer.body), (200, b"[]".to_vec()));
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn targets_without_a_path_are_404_and_the_connection_stays_open() {
    let server = run(ServeSettings::default());
    let mut client = server.connect().await;
    for (method, target) in [("CONNECT", "x:1"), ("GET", "x"), ("OPTIONS", "*")] {
        let answer = client.ask(server.head(method, target, "")).await;
        assert_eq!(answer.status, 404, "{method} {target}");
        assert_eq!(answer.json()["code"], "not_found");
    }
    assert_eq!(client.ask(server.add("1.0.0.0/8")).await.status, 201);
}

#[tokio::test]
async fn invalid_http_is_refused_and_the_connection_closed() {
    let server = run(ServeSettings::default());
    for text in [
        "nonsense\r\n\r\n",
        "\x16\x03\x01\x02\x00",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\u{0} HTTP/1.1\r\n\r\n",
    ] {
        let mut client = server.connect().await;
        client.send(text).await;
        assert_eq!(client.head().await.0, 400, "{text:?}");
        assert!(client.is_closed().await, "{text:?}");
    }
    let mut client = server.connect().await;
    let long = format!(
        "GET /v1/drop HTTP/1.1\r\nx: {}\r\n\r\n",
        "x".repeat(200_000)
    );
    let _ = client.stream.write_all(long.as_bytes()).await;
    assert_eq!(client.head().await.0, 431);
}
