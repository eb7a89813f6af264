//! A client that sends and receives raw bytes: partial requests, many at once, none. It uses little CPU, so that
//! benchmarks can run it beside the server that they measure.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    os::unix::net::UnixStream,
    path::Path,
};

use serde_json::Value;

use crate::{
    message::{Message, head_len, header},
    stream::Stream,
    wait::{LONG, patient},
};

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The status line and headers.
    pub head: String,
    /// The body; empty if there is none.
    pub body: String,
}

impl Answer {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {self:?}"))
    }

    /// Checks the status, and returns the answer.
    ///
    /// # Panics
    /// If the status is another.
    #[must_use]
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// An open connection, with a read timeout of [`LONG`].
#[derive(Debug)]
pub struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
    /// Received data.
    unread: Vec<u8>,
    /// How much of `unread` was returned already.
    done: usize,
}

impl Connection {
    /// Connects to a Unix socket.
    ///
    /// # Errors
    /// The system's.
    pub fn unix(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::over(Stream::Unix(UnixStream::connect(path)?))
    }

    /// Connects over TCP.
    ///
    /// # Errors
    /// The system's.
    pub fn tcp(address: impl ToSocketAddrs) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        Self::over(Stream::Tcp(stream))
    }

    fn over(stream: Stream) -> io::Result<Self> {
        stream.set_read_timeout(patient(LONG))?;
        Ok(Self {
            stream,
            buffer: vec![0; 1 << 18],
            unread: Vec::new(),
            done: 0,
        })
    }

    /// A second handle, to send from another thread while this one receives.
    ///
    /// # Panics
    /// If no descriptor is left.
    #[must_use]
    pub fn sender(&self) -> Stream {
        self.stream.try_clone().expect("a second descriptor")
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// The system's: the server has closed.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// If the server has closed.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap_or_else(|e| panic!("send: {e}"));
    }

    /// Ends the sending side, as a client that breaks off a body; the answer can still be received.
    ///
    /// # Panics
    /// If the server has closed.
    #[track_caller]
    pub fn shutdown(&mut self) {
        self.stream.finish().expect("shutdown");
    }

    /// Receives at least one byte, and returns all unread data. Empty at the end of the connection.
    ///
    /// # Errors
    /// The system's; [`ErrorKind::WouldBlock`] after a silence of [`LONG`].
    pub fn receive(&mut self) -> io::Result<&[u8]> {
        self.unread.drain(..std::mem::take(&mut self.done));
        // With a timeout, the system does not go on by itself after a signal.
        let read = loop {
            match self.stream.read(&mut self.buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.unread.extend_from_slice(&self.buffer[..read]);
        Ok(if read == 0 { &[] } else { &self.unread })
    }

    fn more(&mut self) -> io::Result<()> {
        if self.receive()?.is_empty() {
            let text = String::from_utf8_lossy(&self.unread);
            return Err(io::Error::new(
                ErrorKind::UnexpectedEof,
                format!("closed after {text:?}"),
            ));
        }
        Ok(())
    }

    /// The head of the next answer, and its status.
    ///
    /// # Errors
    /// The system's, or the answer is not HTTP.
    pub fn try_head(&mut self) -> io::Result<(u16, String)> {
        loop {
            if let Some(length) = head_len(&self.unread[self.done..]) {
                let head = &self.unread[self.done..self.done + length];
                let head = String::from_utf8(head.to_vec()).map_err(io::Error::other)?;
                let status = status(head.as_bytes())?;
                self.done += length;
                return Ok((status, head));
            }
            self.more()?;
        }
    }

    /// The head of the next answer, and its status.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn head(&mut self) -> (u16, String) {
        self.try_head().unwrap_or_else(|e| panic!("no answer: {e}"))
    }

    /// The next answer.
    ///
    /// # Errors
    /// The system's, or the answer is not HTTP.
    pub fn try_answer(&mut self) -> io::Result<Answer> {
        loop {
            let unread = &self.unread[self.done..];
            if let Some(found) = Message::find(unread) {
                let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(io::Error::other);
                let answer = Answer {
                    status: status(unread)?,
                    head: text(unread[..found.head].to_vec())?,
                    body: text(found.body_of(unread))?,
                };
                self.done += found.end;
                return Ok(answer);
            }
            self.more()?;
        }
    }

    /// The next answer.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        self.try_answer()
            .unwrap_or_else(|e| panic!("no answer: {e}"))
    }

    /// Sends a request, and returns its answer.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request);
        self.answer()
    }

    /// Sends all requests with at most `window` unanswered ones, each of which must be answered with `status`.
    ///
    /// # Panics
    /// If one is answered otherwise, or not at all.
    pub fn pipeline<R: AsRef<[u8]>>(
        &mut self,
        requests: impl IntoIterator<Item = R>,
        window: usize,
        expected: u16,
    ) {
        let mut requests = requests.into_iter();
        let (mut unanswered, mut burst) = (0, Vec::new());
        loop {
            burst.clear();
            while unanswered < window
                && let Some(request) = requests.next()
            {
                burst.extend_from_slice(request.as_ref());
                unanswered += 1;
            }
            if unanswered == 0 {
                return;
            }
            self.send(&burst);
            self.more().unwrap_or_else(|e| panic!("no answer: {e}"));
            while let Some(found) = Message::find(&self.unread[self.done..]) {
                let message = &self.unread[self.done..self.done + found.end];
                let text = || String::from_utf8_lossy(message);
                assert_eq!(status(message).ok(), Some(expected), "{}", text());
                self.done += found.end;
                unanswered -= 1;
            }
        }
    }

    /// Whether the server closes the connection without another byte.
    ///
    /// # Panics
    /// If it does neither within [`LONG`].
    pub fn is_closed(&mut self) -> bool {
        match self.receive() {
            Ok(bytes) => bytes.is_empty() && self.unread.is_empty(),
            Err(error) => {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "it stays open");
                self.unread.is_empty()
            }
        }
    }
}

/// The status in the head of an answer.
fn status(head: &[u8]) -> io::Result<u16> {
    let digits = head
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok());
    let status = digits.and_then(|digits| digits.parse().ok());
    status.ok_or_else(|| io::Error::other("the answer is not HTTP"))
}
