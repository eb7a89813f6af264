//! A service on a real Unix socket, and raw clients.

mod bodies;
mod durable;
mod patience;
mod pipelining;
mod shutdown;

use std::{path::PathBuf, sync::Arc, time::Duration};

use couic::api::{ServeSettings, ServeSummary, serve_with};
use couic_common::Group;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};

use crate::support::{TestApi, start};

/// The deadline of every condition.
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
