//! The least HTTP that a load generator needs: it must not cost what it measures.

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
};

/// A request with a body.
pub fn post(path: &str, kind: &str, token: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: couic\r\nauthorization: Bearer {token}\r\ncontent-type: {kind}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A request without one.
pub fn get(path: &str, token: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: couic\r\nauthorization: Bearer {token}\r\n\r\n")
        .into_bytes()
}

/// Reads answers off a connection.
pub struct Answers {
    buf: Vec<u8>,
    start: usize,
    end: usize,
}

impl Answers {
    pub fn new() -> Self {
        Self {
            buf: vec![0; 256 * 1024],
            start: 0,
            end: 0,
        }
    }

    /// Reads what is there, at least something.
    pub fn fill(&mut self, stream: &mut UnixStream) {
        self.buf.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let n = stream.read(&mut self.buf[self.end..]).unwrap();
        assert!(n > 0, "the server closed the connection");
        self.end += n;
    }

    /// Takes one whole answer with a `content-length`, and checks its status.
    pub fn take(&mut self, status: &str) -> bool {
        let text = &self.buf[self.start..self.end];
        let Some(head) = text.windows(4).position(|w| w == b"\r\n\r\n") else {
            return false;
        };
        assert_eq!(
            &text[9..12],
            status.as_bytes(),
            "{}",
            String::from_utf8_lossy(text)
        );
        let length = content_length(&text[..head]);
        let whole = head + 4 + length;
        if text.len() < whole {
            return false;
        }
        self.start += whole;
        true
    }
}

fn content_length(head: &[u8]) -> usize {
    const NAME: &[u8] = b"\r\ncontent-length: ";
    let at = head.windows(NAME.len()).position(|w| w == NAME).unwrap();
    let digits = head[at + NAME.len()..]
        .iter()
        .take_while(|b| b.is_ascii_digit());
    digits.fold(0, |n, digit| n * 10 + usize::from(digit - b'0'))
}

/// One request, one answer with a `content-length`. Returns the head and the body.
pub fn exchange(stream: &mut UnixStream, request: &[u8]) -> String {
    stream.write_all(request).unwrap();
    let mut text = Vec::new();
    let mut buf = vec![0; 256 * 1024];
    loop {
        let n = stream.read(&mut buf).unwrap();
        assert!(n > 0, "the server closed the connection");
        text.extend_from_slice(&buf[..n]);
        if let Some(head) = text.windows(4).position(|w| w == b"\r\n\r\n")
            && text.len() >= head + 4 + content_length(&text[..head])
        {
            return String::from_utf8(text).unwrap();
        }
    }
}

/// One request whose answer is streamed. Returns how many bytes came.
pub fn download(stream: &mut UnixStream, request: &[u8]) -> usize {
    stream.write_all(request).unwrap();
    let mut buf = vec![0; 256 * 1024];
    let (mut total, mut tail) = (0, Vec::new());
    while !tail.ends_with(b"\r\n0\r\n\r\n") {
        let n = stream.read(&mut buf).unwrap();
        assert!(n > 0, "the server closed the connection");
        assert!(total > 0 || buf.starts_with(b"HTTP/1.1 200 "));
        total += n;
        tail.extend_from_slice(&buf[n.saturating_sub(7)..n]);
        tail.drain(..tail.len().saturating_sub(7));
    }
    total
}
