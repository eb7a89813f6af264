//! Over a real Unix socket: pipelining, clients that stop half-way or never stop, crowds, shutdown.

use std::{path::PathBuf, sync::Arc, time::Duration};

use couic::api::{ServeSettings, ServeSummary, serve_with};
use couic_common::Group;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::support::{TestApi, start};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

struct Running {
    test: TestApi,
    path: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<ServeSummary>,
}

fn run(settings: ServeSettings) -> Running {
    let test = start();
    let path = test.dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let api = Arc::clone(&test.api);
    let shutdown = async {
        let _ = stopped.await;
    };
    let server = tokio::spawn(serve_with(listener, api, shutdown, settings));
    Running {
        test,
        path,
        stop: Some(stop),
        server,
    }
}

impl Running {
    async fn connect(&self) -> Client {
        Client {
            stream: UnixStream::connect(&self.path).await.unwrap(),
            buf: Vec::new(),
        }
    }

    fn signal(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    async fn ended(self) -> ServeSummary {
        timeout(LONG, self.server).await.unwrap().unwrap()
    }

    fn head(&self, method: &str, path: &str, more: &str) -> String {
        let token = self.test.token(Group::Admin);
        format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{more}\r\n"
        )
    }

    fn post(&self, path: &str, body: &str) -> String {
        let more = format!(
            "content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        self.head("POST", path, &more) + body
    }

    fn add(&self, cidr: &str) -> String {
        self.post(
            "/v1/drop",
            &json!({"cidr": cidr, "expiration": 0}).to_string(),
        )
    }

    fn rules(&self) -> usize {
        self.test.plane.rules().len()
    }
}

struct Client {
    stream: UnixStream,
    buf: Vec<u8>,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// False at the end of the stream.
    async fn fill(&mut self) -> bool {
        let read = timeout(LONG, self.stream.read_buf(&mut self.buf)).await;
        read.expect("the server is silent").is_ok_and(|n| n > 0)
    }

    async fn until(&mut self, mark: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.buf.windows(mark.len()).position(|w| w == mark) {
                let rest = self.buf.split_off(at + mark.len());
                return std::mem::replace(&mut self.buf, rest);
            }
            assert!(
                self.fill().await,
                "closed after {:?}",
                String::from_utf8_lossy(&self.buf)
            );
        }
    }

    async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.buf.len() < length {
            assert!(self.fill().await, "closed in the middle of a body");
        }
        let rest = self.buf.split_off(length);
        std::mem::replace(&mut self.buf, rest)
    }

    async fn head(&mut self) -> (u16, String) {
        let head = String::from_utf8(self.until(b"\r\n\r\n").await).unwrap();
        (head[9..12].parse().unwrap(), head)
    }

    async fn answer(&mut self) -> Answer {
        let (status, head) = self.head().await;
        let mut body = Vec::new();
        if head.contains("transfer-encoding: chunked") {
            loop {
                let size = String::from_utf8(self.until(b"\r\n").await).unwrap();
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                body.extend(self.exactly(size).await);
                self.until(b"\r\n").await;
                if size == 0 {
                    break;
                }
            }
        } else if let Some((_, rest)) = head.split_once("content-length: ") {
            let length = rest.split_once("\r\n").unwrap().0.parse().unwrap();
            body = self.exactly(length).await;
        }
        Answer { status, head, body }
    }

    async fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request).await;
        self.answer().await
    }

    /// Whether the server closes the connection without another byte.
    async fn is_closed(&mut self) -> bool {
        !self.fill().await && self.buf.is_empty()
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = run(ServeSettings::default());
    let mut client = server.connect().await;
    let text: String = (0..500)
        .map(|i| server.add(&format!("10.0.{}.{}/32", i / 256, i % 256)))
        .collect();
    // From another task: neither side's buffer holds all of it.
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

/// Not after some timer: the connection's own wake-ups must suffice.
#[tokio::test]
async fn answers_leave_at_once() {
    let server = run(ServeSettings::default());
    let mut client = server.connect().await;
    let started = Instant::now();
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
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
}

/// The first answer does not wait for the second, although a third request is there already.
#[tokio::test]
async fn an_answer_does_not_wait_for_the_work_behind_it() {
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
async fn a_half_sent_head_is_given_up() {
    let settings = ServeSettings {
        head: Duration::from_millis(200),
        ..ServeSettings::default()
    };
    let server = run(settings);
    let mut client = server.connect().await;
    assert_eq!(client.ask(server.add("1.0.0.0/8")).await.status, 201);
    client.send(&server.add("2.0.0.0/8")[..40]).await;
    assert!(client.is_closed().await);
    let mut idle = server.connect().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(
        idle.ask(server.add("3.0.0.0/8")).await.status,
        201,
        "an idle connection is not half a request"
    );
    assert_eq!(server.rules(), 2);
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_the_end() {
    let short = Duration::from_millis(200);
    let server = run(ServeSettings {
        idle: short,
        head: short,
        ..ServeSettings::default()
    });
    let mut client = server.connect().await;
    assert_eq!(client.ask(server.add("1.0.0.0/8")).await.status, 201);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_given_up() {
    let short = Duration::from_millis(300);
    let mut server = run(ServeSettings {
        write: short,
        ..ServeSettings::default()
    });
    let lines: String = (0..30_000_u32)
        .map(|i| {
            format!(
                "{{\"action\":\"add\",\"entry\":{{\"cidr\":\"10.0.{}.{}/32\"}}}}\n",
                i >> 8,
                i & 255
            )
        })
        .collect();
    let batch = server
        .test
        .ask("POST", "/v1/drop/batch")
        .header("content-type", "application/x-ndjson");
    batch.body(&lines).send().await.is(200);
    let mut client = server.connect().await;
    client.send(server.head("GET", "/v1/drop", "")).await;
    server.signal();
    let started = Instant::now();
    let summary = server.ended().await;
    assert_eq!(summary.aborted, 0, "{summary:?}");
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "not the drain's deadline ended it"
    );
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_leaves_nothing_behind() {
    let server = run(ServeSettings::default());
    for request in [&server.add("1.0.0.0/8")[..150], "GET /v1/dr", "", "\r\n"] {
        let mut client = server.connect().await;
        client.send(request).await;
    }
    let mut client = server.connect().await;
    assert_eq!(client.ask(server.add("2.0.0.0/8")).await.status, 201);
    assert_eq!(server.rules(), 1);
}

#[tokio::test]
async fn bodies_of_100_mb_are_413_even_for_clients_that_send_before_they_read() {
    let server = run(ServeSettings::default());
    let announced = server.head(
        "POST",
        "/v1/drop",
        "content-type: application/json\r\ncontent-length: 104857600\r\n",
    );
    let chunked = server.head(
        "POST",
        "/v1/drop",
        "content-type: application/json\r\ntransfer-encoding: chunked\r\n",
    );
    for (head, chunk) in [
        (announced, vec![b' '; 1 << 20]),
        (chunked, {
            let mut chunk = b"100000\r\n".to_vec();
            chunk.extend(std::iter::repeat_n(b' ', 1 << 20));
            chunk.extend(b"\r\n");
            chunk
        }),
    ] {
        let mut client = server.connect().await;
        client.send(head).await;
        for _ in 0..100 {
            client.send(&chunk).await;
        }
        let answer = client.answer().await;
        assert_eq!(answer.status, 413);
        assert_eq!(answer.json()["code"], "bad_request");
        assert!(answer.head.contains("connection: close"), "{}", answer.head);
        assert!(client.is_closed().await);
    }
    // Announced, it is refused before it is sent.
    let mut client = server.connect().await;
    let head = server.head(
        "POST",
        "/v1/drop",
        "content-type: application/json\r\ncontent-length: 104857600\r\n",
    );
    assert_eq!(client.ask(head).await.status, 413);
}

#[tokio::test]
async fn a_big_body_without_a_token_is_401_and_read_as_such() {
    let server = run(ServeSettings::default());
    let mut client = server.connect().await;
    client
        .send("POST /v1/drop HTTP/1.1\r\nhost: x\r\ncontent-length: 33554432\r\n\r\n")
        .await;
    for _ in 0..32 {
        client.send(vec![b' '; 1 << 20]).await;
    }
    assert_eq!(client.answer().await.status, 401);
}

#[tokio::test]
async fn who_expects_100_continue_gets_it_or_the_error_at_once() {
    let server = run(ServeSettings::default());
    let body = json!({"cidr": "1.0.0.0/8", "expiration": 0}).to_string();
    let more = format!(
        "content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n",
        body.len()
    );
    let mut client = server.connect().await;
    client.send(server.head("POST", "/v1/drop", &more)).await;
    assert_eq!(client.head().await.0, 100);
    assert_eq!(client.ask(&body).await.status, 201);
    let mut client = server.connect().await;
    assert_eq!(
        client
            .ask(server.head("POST", "/v1/DROP", &more))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn head_leaves_the_connection_in_step() {
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
        // RFC 9110, 9.3.2: what is known only while a body is made may be left out.
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
async fn a_batch_takes_effect_while_it_comes_in() {
    let server = run(ServeSettings::default());
    let mut client = server.connect().await;
    let more = "content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n";
    client
        .send(server.head("POST", "/v1/drop/batch", more))
        .await;
    for i in 0..1024_u32 {
        let line = format!(
            "{{\"action\":\"add\",\"entry\":{{\"cidr\":\"10.0.{}.{}/32\"}}}}\n",
            i >> 8,
            i & 255
        );
        // Chunks that end in the middle of lines.
        let (a, b) = line.split_at(20);
        client
            .send(format!("{:x}\r\n{a}\r\n{:x}\r\n{b}\r\n", a.len(), b.len()))
            .await;
    }
    let seen = async {
        while server.rules() < 1024 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, seen)
        .await
        .expect("the first lines are not in force");
    let answer = client.ask("0\r\n\r\n").await;
    assert_eq!(
        (answer.status, &answer.json()["added"]),
        (200, &json!(1024))
    );
}

#[tokio::test]
async fn what_a_broken_batch_applied_stays() {
    let server = run(ServeSettings::default());
    let mut client = server.connect().await;
    let more = "content-type: application/x-ndjson\r\ncontent-length: 100000\r\n";
    client
        .send(server.head("POST", "/v1/drop/batch", more))
        .await;
    client.send("{\"action\":\"add\",\"entry\":{\"cidr\":\"1.0.0.0/8\"}}\n{\"action\":\"add\",\"entry\":{\"cid").await;
    drop(client);
    let seen = async {
        while server.rules() < 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, seen)
        .await
        .expect("the whole line is not in force");
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
async fn what_is_not_http_is_refused_and_closed() {
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

#[tokio::test]
async fn a_thousand_idle_connections_disturb_nobody() {
    let server = run(ServeSettings::default());
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(server.connect().await);
    }
    let mut client = server.connect().await;
    assert_eq!(client.ask(server.add("1.0.0.0/8")).await.status, 201);
    for (i, client) in idle.iter_mut().enumerate().step_by(100) {
        let answer = client
            .ask(server.add(&format!("10.0.0.{}/32", i / 100)))
            .await;
        assert_eq!(answer.status, 201);
    }
}

#[tokio::test]
async fn too_many_connections_are_told_so() {
    let mut server = run(ServeSettings {
        max_connections: 3,
        ..ServeSettings::default()
    });
    let mut open = Vec::new();
    for i in 0..3 {
        let mut client = server.connect().await;
        assert_eq!(
            client
                .ask(server.add(&format!("{}.0.0.0/8", i + 1)))
                .await
                .status,
            201
        );
        open.push(client);
    }
    let mut client = server.connect().await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (503, &json!("internal"))
    );
    assert!(client.is_closed().await);
    open.pop();
    // The server notices the closed one in its own time.
    let served = async {
        loop {
            let mut client = server.connect().await;
            let _ = client
                .stream
                .write_all(server.head("GET", "/v1/stats", "").as_bytes())
                .await;
            if client.answer().await.status == 200 {
                break;
            }
        }
    };
    timeout(LONG, served).await.unwrap();
    drop(open);
    server.signal();
    let summary = server.ended().await;
    assert_eq!((summary.served, summary.aborted), (4, 0));
    assert!(summary.refused >= 1);
}

#[tokio::test]
async fn shutdown_closes_idle_connections_and_finishes_what_is_under_way() {
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
async fn shutdown_cuts_off_at_its_deadline() {
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
