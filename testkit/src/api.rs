//! The API of a daemon over plain HTTP/1.1, independent of the client library.

use std::{io, net::SocketAddr, path::PathBuf};

use couic_common::{Counter, Health, Stats, TagStats};
use serde_json::{Value, json};

use crate::{Answer, Connection, Netns};

/// The address of a server.
#[derive(Clone, Debug)]
pub enum At {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP port.
    Tcp(SocketAddr),
    /// A TCP port in a network namespace.
    Inside(Netns, SocketAddr),
}

impl At {
    /// Connects.
    ///
    /// # Errors
    /// The system's.
    pub fn connect(&self) -> io::Result<Connection> {
        match self {
            Self::Unix(path) => Connection::unix(path),
            Self::Tcp(address) => Connection::tcp(address),
            Self::Inside(netns, address) => netns.enter(|| Connection::tcp(address)),
        }
    }
}

/// A request with a body. `headers` are further lines, each with its CRLF.
#[must_use]
pub fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: couic\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A server's API, with the token of one client.
#[derive(Clone, Debug)]
pub struct Api {
    at: At,
    /// Header lines of every request.
    headers: String,
}

impl Api {
    /// The API of a server, with a token or without.
    #[must_use]
    pub fn new(at: At, token: Option<&str>) -> Self {
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let headers = format!("Connection: close\r\n{}", token.unwrap_or_default());
        Self { at, headers }
    }

    /// The same with further header lines, each with its CRLF.
    #[must_use]
    pub fn with(&self, headers: &str) -> Self {
        let headers = format!("{}{headers}", self.headers);
        Self {
            at: self.at.clone(),
            headers,
        }
    }

    /// Sends a request. `body` is JSON, or NDJSON if it has several lines.
    ///
    /// # Panics
    /// If the server is not reachable or its answer is not HTTP.
    #[must_use]
    pub fn request(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        self.try_request(method, path, body)
            .unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// The same, with the error of the transport.
    ///
    /// # Errors
    /// The server is not reachable, is silent for [`crate::LONG`], or its answer is not HTTP.
    pub fn try_request(&self, method: &str, path: &str, body: Option<&str>) -> io::Result<Answer> {
        let body = body.unwrap_or_default();
        let kind = if body.trim_end().contains('\n') {
            "application/x-ndjson"
        } else {
            "application/json"
        };
        let headers = format!("{}Content-Type: {kind}\r\n", self.headers);
        let mut connection = self.at.connect()?;
        let sent = connection.try_send(request(method, path, &headers, body));
        // A server may answer and close before the whole request is sent.
        connection
            .try_answer()
            .or_else(|error| sent.and(Err(error)))
    }

    /// `GET path`, which must answer 200.
    #[must_use]
    pub fn get(&self, path: &str) -> Value {
        self.request("GET", path, None).expect(200).json()
    }

    /// Adds an entry, which must answer 201.
    pub fn add(&self, policy: &str, cidr: &str, tag: Option<&str>, expiration: u64) {
        let body = json!({"cidr": cidr, "tag": tag, "expiration": expiration}).to_string();
        let _ = self
            .request("POST", &format!("/v1/{policy}"), Some(&body))
            .expect(201);
    }

    /// Removes an entry, which must answer 204.
    pub fn remove(&self, policy: &str, cidr: &str) {
        let _ = self
            .request("DELETE", &format!("/v1/{policy}/{cidr}"), None)
            .expect(204);
    }

    /// Sends jobs as one NDJSON batch and returns its outcome.
    ///
    /// # Panics
    /// If the status is not 200.
    #[must_use]
    pub fn batch(&self, policy: &str, jobs: &[Value]) -> Value {
        let lines: String = jobs.iter().map(|job| format!("{job}\n")).collect();
        // The blank line makes NDJSON of a single job as well.
        self.request(
            "POST",
            &format!("/v1/{policy}/batch"),
            Some(&format!("\n{lines}")),
        )
        .expect(200)
        .json()
    }

    /// Replaces (PUT) or creates (POST) a set, and reloads.
    pub fn write_set(&self, method: &str, policy: &str, name: &str, entries: &[&str]) {
        let body = json!({"name": name, "entries": entries}).to_string();
        let (path, status) = match method {
            "POST" => (format!("/v1/sets/{policy}"), 201),
            _ => (format!("/v1/sets/{policy}/{name}"), 200),
        };
        let _ = self.request(method, &path, Some(&body)).expect(status);
        self.reload();
    }

    /// Sends a list as a set, and has it applied: file and rules.
    ///
    /// # Errors
    /// The transport's.
    pub fn put_list(&self, policy: &str, name: &str, list: &str) -> io::Result<Answer> {
        let path = format!("/v1/sets/{policy}/{name}?apply=true");
        let headers = format!("{}Content-Type: text/plain\r\n", self.headers);
        let mut connection = self.at.connect()?;
        let sent = connection.try_send(request("PUT", &path, &headers, list));
        // A server may answer and close before the whole request is sent.
        let answer = connection.try_answer();
        answer.map_err(|error| sent.err().unwrap_or(error))
    }

    /// Reloads the set files, which must answer 201.
    pub fn reload(&self) {
        let _ = self.request("POST", "/v1/sets/reload", None).expect(201);
    }

    /// The status and body of the health route.
    #[must_use]
    pub fn health(&self) -> (u16, Health) {
        let reply = self.request("GET", "/v1/health", None);
        let health = serde_json::from_str(&reply.body)
            .unwrap_or_else(|e| panic!("not a health document ({e}): {reply:?}"));
        (reply.status, health)
    }

    /// The global statistics.
    #[must_use]
    pub fn stats(&self) -> Stats {
        serde_json::from_value(self.get("/v1/stats")).expect("the form of stats")
    }

    /// Statistics by tag.
    #[must_use]
    pub fn tags(&self, policy: &str) -> std::collections::BTreeMap<String, Counter> {
        let stats: TagStats = serde_json::from_value(self.get(&format!("/v1/stats/tags/{policy}")))
            .expect("the form of tag stats");
        stats.tags
    }
}
