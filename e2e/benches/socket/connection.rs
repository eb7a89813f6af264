//! A minimal pipelining HTTP/1.1 client: it shares the CPUs with the daemon.

use std::{
    io::{Read, Write},
    net::Ipv4Addr,
    os::unix::net::UnixStream,
    path::Path,
};

/// The `n`-th of 2^28 distinct hosts, scattered over 16.0.0.0/4: multiplying by an odd number is a bijection.
pub(crate) fn cidr(n: u32) -> String {
    let spread = n.wrapping_mul(2_654_435_761) & 0x0fff_ffff;
    format!("{}/32", Ipv4Addr::from_bits(0x1000_0000 + spread))
}

/// A request that adds it.
pub(crate) fn add_request(token: &str, n: u32) -> Vec<u8> {
    let body = format!(r#"{{"cidr":"{}","expiration":0,"tag":"bench"}}"#, cidr(n));
    format!(
        "POST /v1/drop HTTP/1.1\r\nHost: couic\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A persistent connection.
pub(crate) struct Connection {
    stream: UnixStream,
    unread: Vec<u8>,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(socket: &Path) -> Self {
        Self {
            stream: UnixStream::connect(socket).unwrap_or_else(|e| panic!("connect: {e}")),
            unread: Vec::new(),
            buffer: vec![0; 1 << 16],
        }
    }

    /// Sends all requests, with at most `window` in flight. Asserts the `status` of each response.
    pub(crate) fn pipeline(
        &mut self,
        requests: impl IntoIterator<Item = Vec<u8>>,
        window: usize,
        status: u16,
    ) {
        let mut requests = requests.into_iter();
        let mut unanswered = 0;
        loop {
            let mut burst = Vec::new();
            while unanswered < window
                && let Some(request) = requests.next()
            {
                burst.extend(request);
                unanswered += 1;
            }
            if unanswered == 0 {
                return;
            }
            self.stream
                .write_all(&burst)
                .unwrap_or_else(|e| panic!("send: {e}"));
            unanswered -= self.receive(status);
        }
    }

    /// Reads until at least one reply is complete. Returns how many are.
    fn receive(&mut self, status: u16) -> usize {
        let mut replies = 0;
        while replies == 0 {
            let got = self
                .stream
                .read(&mut self.buffer)
                .unwrap_or_else(|e| panic!("receive: {e}"));
            assert!(got > 0, "the daemon closed the connection");
            self.unread.extend_from_slice(&self.buffer[..got]);
            let mut done = 0;
            while let Some(len) = reply_len(&self.unread[done..], status) {
                done += len;
                replies += 1;
            }
            self.unread.drain(..done);
        }
        replies
    }
}

/// The length of the reply at the start of `bytes`, once it is complete.
fn reply_len(bytes: &[u8], status: u16) -> Option<usize> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&bytes[..head]);
    let got = text.get(9..12);
    assert_eq!(got, Some(status.to_string().as_str()), "{text}");
    let length = text
        .lines()
        .find_map(|l| l.strip_prefix("content-length: "))
        .unwrap_or_else(|| panic!("a reply without a length: {text}"));
    let length: usize = length.parse().unwrap_or_else(|e| panic!("{length}: {e}"));
    let whole = head + 4 + length;
    (bytes.len() >= whole).then_some(whole)
}
