//! A connection's byte stream, between hyper and the socket.
//!
//! - Answers to pipelined requests are sent together: what hyper flushes is collected while it has more requests to
//!   answer at once. It has none if the socket has nothing to read, or if a handler waits. (hyper's own
//!   `pipeline_flush` does the same, but reads streamed bodies into memory whole.)
//! - Before answers are sent, the commit that they owe is redeemed ([`OwedCommit`]).
//! - [`Progress`] tracks what the connection waits for and since when, so that clients that stall in the middle of a
//!   request, or of reading an answer, time out.
//! - A client that is refused while it still sends has time to read the answer: after the last answer its data is
//!   read and discarded for a while. Closing at once would make its writes fail before it reads.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::{
    net::UnixStream,
    time::{Sleep, sleep},
};

use super::{commit::OwedCommit, serve::ServeSettings};

/// How many bytes are collected before they are sent.
const COLLECT: usize = 32 * 1024;

/// How long a refused client may continue to send.
const LINGER: Duration = Duration::from_secs(5);

/// What a connection waits for. Written by the connection's own task alone.
#[derive(Debug)]
pub(super) struct Progress {
    start: Instant,
    /// Milliseconds since `start`: the last transfer, or the start of the present wait.
    since: AtomicU64,
    phase: AtomicU8,
    write_blocked: AtomicBool,
    /// Whether a request had a valid token.
    is_known: AtomicBool,
    /// Whether the answer that is sent is made while it is, possibly without end.
    is_streaming: AtomicBool,
    /// Whether the client may still be sending a body that is not read.
    pub(super) linger: AtomicBool,
}

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const WORKING: u8 = 2;

/// The wait that timed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stall {
    /// No request was sent.
    Idle,
    /// A request's head is incomplete.
    Head,
    /// An answer is not read.
    Write,
}

/// How long a connection may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) idle: Duration,
    /// The same before the first valid token.
    pub(super) newcomer: Duration,
    pub(super) head: Duration,
    pub(super) write: Duration,
}

impl Patience {
    pub(super) fn of(settings: &ServeSettings) -> Self {
        Self {
            idle: settings.idle,
            newcomer: settings.newcomer,
            head: settings.head,
            write: settings.write,
        }
    }
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            since: AtomicU64::new(0),
            phase: AtomicU8::new(IDLE),
            write_blocked: AtomicBool::new(false),
            is_known: AtomicBool::new(false),
            is_streaming: AtomicBool::new(false),
            linger: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The head was read: the handler has the request now, and its own timeouts.
    pub(super) fn begin(&self) {
        self.phase.store(WORKING, Relaxed);
    }

    /// The handler is done. Returns whether any request so far had a valid token.
    pub(super) fn end(&self, had_token: bool) -> bool {
        self.phase.store(IDLE, Relaxed);
        self.is_known.fetch_or(had_token, Relaxed) || had_token
    }

    /// Says whether the answer is a stream.
    pub(super) fn stream(&self, is_streaming: bool) {
        self.is_streaming.store(is_streaming, Relaxed);
    }

    /// Until the next answer.
    pub(super) fn is_streaming(&self) -> bool {
        self.is_streaming.load(Relaxed)
    }

    fn is_working(&self) -> bool {
        self.phase.load(Relaxed) == WORKING
    }

    fn received(&self) {
        if self.phase.load(Relaxed) == IDLE {
            self.phase.store(HEAD, Relaxed);
            self.since.store(self.now(), Relaxed);
        }
    }

    fn sent(&self) {
        self.write_blocked.store(false, Relaxed);
        if self.phase.load(Relaxed) != HEAD {
            self.since.store(self.now(), Relaxed);
        }
    }

    fn blocked(&self) {
        if !self.write_blocked.swap(true, Relaxed) {
            self.since.store(self.now(), Relaxed);
        }
    }

    /// The wait that has exceeded its limit, if any.
    pub(super) fn stalled(&self, patience: Patience) -> Option<Stall> {
        let waited = Duration::from_millis(self.now() - self.since.load(Relaxed));
        let (limit, stall) = match self.phase.load(Relaxed) {
            _ if self.write_blocked.load(Relaxed) => (patience.write, Stall::Write),
            IDLE if self.is_known.load(Relaxed) => (patience.idle, Stall::Idle),
            IDLE => (patience.newcomer, Stall::Idle),
            HEAD => (patience.head, Stall::Head),
            _ => return None,
        };
        (waited > limit).then_some(stall)
    }
}

/// A connection's socket.
pub(super) struct Wire {
    stream: TokioIo<UnixStream>,
    progress: Arc<Progress>,
    commit: Arc<OwedCommit>,
    /// Collected answers, of which the first `sent` bytes are sent.
    out: Vec<u8>,
    sent: usize,
    /// Whether the last read of the socket would have blocked.
    dry: bool,
    shut: bool,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl Wire {
    pub(super) fn new(
        stream: UnixStream,
        progress: Arc<Progress>,
        commit: Arc<OwedCommit>,
    ) -> Self {
        Self {
            stream: TokioIo::new(stream),
            progress,
            commit,
            out: Vec::new(),
            sent: 0,
            dry: false,
            shut: false,
            lingering: None,
        }
    }

    /// Sends the collected answers.
    fn drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.commit.redeem();
        while self.sent < self.out.len() {
            let Self {
                stream, out, sent, ..
            } = self;
            let Poll::Ready(wrote) = Pin::new(stream).poll_write(cx, &out[*sent..]) else {
                self.progress.blocked();
                return Poll::Pending;
            };
            match wrote? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => *sent += n,
            }
            self.progress.sent();
        }
        self.out.clear();
        self.sent = 0;
        Poll::Ready(Ok(()))
    }

    /// Reads and discards until the client closes or the time is up.
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let end = self
            .lingering
            .get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if end.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let mut space = [0; 8192];
            let mut buf = ReadBuf::new(&mut space);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, buf.unfilled())) {
                Ok(()) if !buf.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.dry = read.is_pending();
        ready!(read)?;
        self.progress.received();
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.out.len() + buf.len() > COLLECT {
            ready!(self.drain(cx))?;
            if buf.len() > COLLECT {
                self.commit.redeem();
                let Poll::Ready(wrote) = Pin::new(&mut self.stream).poll_write(cx, buf) else {
                    self.progress.blocked();
                    return Poll::Pending;
                };
                self.progress.sent();
                return Poll::Ready(wrote);
            }
        }
        self.out.extend_from_slice(buf);
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.dry || self.progress.is_working() || self.progress.is_streaming() {
            return self.drain(cx);
        }
        // hyper continues with the next request, and flushes again after it.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.drain(cx))?;
        if !self.shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.shut = true;
        }
        if self.progress.linger.load(Relaxed) {
            ready!(self.linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}
