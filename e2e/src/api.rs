//! A plain HTTP/1.1 client over the daemon's Unix socket: sees the bytes that any client sees.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use couic_common::{Counter, Health, Stats, TagStats};
use serde_json::{Value, json};

use crate::wait::patient;

/// The API of one daemon, as the client `couicctl` (group admin).
#[derive(Clone, Debug)]
pub struct Api {
    socket: PathBuf,
    token: String,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body; empty where there is none.
    pub body: String,
}

impl Reply {
    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {self:?}"))
    }

    /// The reply itself, if its status is the one expected.
    ///
    /// # Panics
    /// Where it is another.
    #[must_use]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl Api {
    pub(crate) fn new(socket: &Path, token: String) -> Self {
        Self {
            socket: socket.to_owned(),
            token,
        }
    }

    /// Sends a request. `body` is JSON, or NDJSON where it has several lines.
    ///
    /// # Panics
    /// Where the daemon is not reachable or its answer is not HTTP.
    #[must_use]
    pub fn request(&self, method: &str, path: &str, body: Option<&str>) -> Reply {
        self.try_request(method, path, body)
            .unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// The same, with the error of the transport.
    ///
    /// # Errors
    /// Where the daemon is not reachable, hangs for 30 s (times `COUIC_PATIENCE`), or its answer is not HTTP.
    pub fn try_request(&self, method: &str, path: &str, body: Option<&str>) -> io::Result<Reply> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(patient(Duration::from_secs(30))))?;
        let body = body.unwrap_or_default();
        let kind = if body.trim_end().contains('\n') {
            "application/x-ndjson"
        } else {
            "application/json"
        };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: couic\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            self.token,
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parse(&answer).ok_or_else(|| io::Error::other("the answer is not HTTP"))
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

    /// Sends jobs as one NDJSON batch and answers its outcome.
    ///
    /// # Panics
    /// Where the status is not 200.
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

    /// Replaces what a set holds (PUT) or makes it (POST), and reloads.
    pub fn write_set(&self, method: &str, policy: &str, name: &str, entries: &[&str]) {
        let body = json!({"name": name, "entries": entries}).to_string();
        let (path, status) = match method {
            "POST" => (format!("/v1/sets/{policy}"), 201),
            _ => (format!("/v1/sets/{policy}/{name}"), 200),
        };
        let _ = self.request(method, &path, Some(&body)).expect(status);
        self.reload();
    }

    /// Reloads the set files, which must answer 201.
    pub fn reload(&self) {
        let _ = self.request("POST", "/v1/sets/reload", None).expect(201);
    }

    /// The health document, whatever its status.
    #[must_use]
    pub fn health(&self) -> (u16, Health) {
        let reply = self.request("GET", "/v1/health", None);
        let health = serde_json::from_str(&reply.body)
            .unwrap_or_else(|e| panic!("not a health document ({e}): {reply:?}"));
        (reply.status, health)
    }

    /// The global figures.
    #[must_use]
    pub fn stats(&self) -> Stats {
        serde_json::from_value(self.get("/v1/stats")).expect("the form of stats")
    }

    /// Figures by tag.
    #[must_use]
    pub fn tags(&self, policy: &str) -> std::collections::BTreeMap<String, Counter> {
        let stats: TagStats = serde_json::from_value(self.get(&format!("/v1/stats/tags/{policy}")))
            .expect("the form of tag stats");
        stats.tags
    }
}

fn parse(answer: &[u8]) -> Option<Reply> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let rest = answer.get(end + 4..)?;
    let chunked = head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked");
    let body = if chunked {
        dechunk(rest)?
    } else {
        rest.to_vec()
    };
    Some(Reply {
        status,
        body: String::from_utf8(body).ok()?,
    })
}

/// RFC 9112, section 7.1.
fn dechunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 2 + size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_plain_and_chunked_answers() {
        let plain = parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
        assert_eq!((plain.status, plain.body.as_str()), (204, ""));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1;x=y\r\n]\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap().json(), json!([1]));
        assert!(parse(b"HTTP/1.1 200 OK\r\n").is_none());
        // Cut short in the middle of a chunk.
        assert!(parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n[1").is_none());
    }
}
