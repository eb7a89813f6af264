//! One connection's bytes, between hyper and the socket.
//!
//! - Answers to pipelined requests leave together: what hyper flushes is collected while it has requests left to answer
//!   at once. It has none when the socket has nothing to read, or when a handler has to wait. (hyper's own
//!   `pipeline_flush` does the like, but then takes streamed bodies into memory whole.)
//! - Before answers leave, the commit that they owe is redeemed ([`OwedCommit`]).
//! - [`Progress`] knows what the connection waits for and since when, so that clients that stop in the middle of a
//!   request, or of reading an answer, do not stay for ever.
//! - A client that is refused while it still sends gets the time to read why: after the last answer, its input is read
//!   and discarded for a while. Closing at once would make its writes fail before it reads.

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

use super::commit::OwedCommit;

/// How much is collected before it is sent.
const COLLECT: usize = 32 * 1024;

/// How long a client that is refused may go on sending.
const LINGER: Duration = Duration::from_secs(5);

/// What a connection waits for. Written by the connection's own task alone.
#[derive(Debug)]
pub(super) struct Progress {
    start: Instant,
    /// Milliseconds since `start`: when bytes last moved, or when the present wait began.
    since: AtomicU64,
    phase: AtomicU8,
    write_blocked: AtomicBool,
    /// Whether the client may still be sending a body that is not read.
    pub(super) linger: AtomicBool,
}

const IDLE: u8 = 0;
const HEAD: u8 = 1;
const WORKING: u8 = 2;

/// What took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stall {
    /// Nothing was asked for.
    Idle,
    /// A request's head has begun and does not end.
    Head,
    /// An answer is not read.
    Write,
}

/// How long a connection may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) idle: Duration,
    pub(super) head: Duration,
    pub(super) write: Duration,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            since: AtomicU64::new(0),
            phase: AtomicU8::new(IDLE),
            write_blocked: AtomicBool::new(false),
            linger: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A whole head was read: a handler has the request now, and minds its own time.
    pub(super) fn begin(&self) {
        self.phase.store(WORKING, Relaxed);
    }

    /// The handler is done.
    pub(super) fn end(&self) {
        self.phase.store(IDLE, Relaxed);
    }

    /// Whether a handler has a request and is not done with it.
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

    /// What the connection has waited for too long, if anything.
    pub(super) fn stalled(&self, patience: Patience) -> Option<Stall> {
        let waited = Duration::from_millis(self.now() - self.since.load(Relaxed));
        let (limit, stall) = match self.phase.load(Relaxed) {
            _ if self.write_blocked.load(Relaxed) => (patience.write, Stall::Write),
            IDLE => (patience.idle, Stall::Idle),
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
    /// Collected, of which the first `sent` bytes have left.
    out: Vec<u8>,
    sent: usize,
    /// Whether the socket had nothing when it was last read.
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

    /// Sends what was collected.
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

    /// Reads and forgets, until the client has closed or time is up.
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
        if self.dry || self.progress.is_working() {
            return self.drain(cx);
        }
        // hyper goes on with the next request, and flushes again after it.
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
