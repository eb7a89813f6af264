//! A server with scripted replies, which misbehaves on demand and records its requests. It uses raw sockets, so that it
//! can do what no library would.

mod record;
mod reply;
mod serve;

use std::{
    collections::VecDeque,
    fmt, io,
    net::{SocketAddr, TcpListener},
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use record::{Handler, Shared, State};
pub use reply::{Reply, Request};

use crate::{
    stream::{Listener, Stream},
    wait::{LONG, patient, until},
};

/// A running stand-in. It ends when it is dropped; connections end with their clients.
pub struct StandIn {
    /// Its TCP address.
    pub address: Option<SocketAddr>,
    /// Its Unix socket.
    pub socket: PathBuf,
    /// The socket's directory, which may also hold files of the test.
    pub dir: TempDir,
    shared: Arc<Shared>,
    listener: Arc<Listener>,
    accepting: Option<JoinHandle<()>>,
}

/// A handler that plays these replies in order, then always `after`.
pub fn script(
    replies: impl IntoIterator<Item = Reply>,
    after: Reply,
) -> impl FnMut(&Request) -> Reply + Send + 'static {
    let mut replies: VecDeque<Reply> = replies.into_iter().collect();
    move |_| replies.pop_front().unwrap_or_else(|| after.clone())
}

impl StandIn {
    /// Listens on a free port of the loopback. `handler` returns the reply to each request, one at a time; a panic in it
    /// closes the connection.
    ///
    /// # Panics
    /// If no port is free.
    pub fn tcp(handler: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self::on(listener, handler)
    }

    /// Serves a listener of the test, for example in a namespace.
    ///
    /// # Panics
    /// If the listener has no address.
    pub fn on(
        listener: TcpListener,
        handler: impl FnMut(&Request) -> Reply + Send + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("an address");
        let dir = TempDir::new().expect("a temporary directory");
        Self::start(
            dir,
            Some(address),
            Listener::Tcp(listener),
            Box::new(handler),
            serve::plain,
        )
    }

    /// Listens on a Unix socket in a new directory.
    ///
    /// # Panics
    /// If the socket cannot be created.
    pub fn unix(handler: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        let dir = TempDir::new().expect("a temporary directory");
        let listener = UnixListener::bind(dir.path().join("couic.sock")).expect("a Unix socket");
        Self::start(
            dir,
            None,
            Listener::Unix(listener),
            Box::new(handler),
            serve::plain,
        )
    }

    /// Always answers the same JSON, on a Unix socket.
    #[must_use]
    pub fn always(status: u16, body: &str) -> Self {
        Self::unix(script([], Reply::json(status, body)))
    }

    /// Listens with TLS on a free port of this address, with a certificate and its key in PEM. Connections whose
    /// handshake fails record no request.
    ///
    /// # Panics
    /// If no port is free, or the certificate cannot be used.
    #[cfg(feature = "tls")]
    pub fn tls(
        address: &str,
        (certificate, key): (&[u8], &[u8]),
        handler: impl FnMut(&Request) -> Reply + Send + 'static,
    ) -> Self {
        let secure = serve::with_tls(certificate, key);
        let listener = TcpListener::bind((address, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let dir = TempDir::new().expect("a temporary directory");
        Self::start(
            dir,
            Some(address),
            Listener::Tcp(listener),
            Box::new(handler),
            secure,
        )
    }

    fn start(
        dir: TempDir,
        address: Option<SocketAddr>,
        listener: Listener,
        handler: Handler,
        serving: impl Fn(Stream, &Shared) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let (exchanges, taken) = (Vec::new(), 0);
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                handler,
                exchanges,
                taken,
            }),
            arrived: Condvar::new(),
            sent: AtomicU64::new(0),
        });
        let listener = Arc::new(listener);
        let (accepts, served) = (Arc::clone(&listener), Arc::clone(&shared));
        let serving = Arc::new(serving);
        let accepting = thread::spawn(move || {
            while let Ok(stream) = accepts.accept() {
                let (served, serving) = (Arc::clone(&served), Arc::clone(&serving));
                // Broken connections are expected.
                thread::spawn(move || serving(stream, &served).ok());
            }
        });
        Self {
            address,
            socket: dir.path().join("couic.sock"),
            dir,
            shared,
            listener,
            accepting: Some(accepting),
        }
    }

    /// A URL on it.
    ///
    /// # Panics
    /// If it listens on a Unix socket.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address.expect("a stand-in on TCP"))
    }

    /// All requests so far, oldest first.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        let state = self.shared.lock();
        state
            .exchanges
            .iter()
            .map(|(request, _)| request.clone())
            .collect()
    }

    /// All requests so far, each with its reply.
    #[must_use]
    pub fn exchanges(&self) -> Vec<(Request, Reply)> {
        self.shared.lock().exchanges.clone()
    }

    /// The only request so far.
    ///
    /// # Panics
    /// If there is none, or more than one.
    #[must_use]
    pub fn only(&self) -> Request {
        match &self.requests()[..] {
            [only] => only.clone(),
            other => panic!("exactly one request is expected: {other:?}"),
        }
    }

    /// The oldest request that neither this nor [`StandIn::rest`] has returned; `None` on a timeout.
    pub fn try_next(&self, deadline: Duration) -> Option<Request> {
        let end = Instant::now() + patient(deadline);
        let mut state = self.shared.lock();
        loop {
            if let Some((request, _)) = state.exchanges.get(state.taken) {
                let request = request.clone();
                state.taken += 1;
                return Some(request);
            }
            let left = end.checked_duration_since(Instant::now())?;
            let waited = self.shared.arrived.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The same, for an expected request.
    ///
    /// # Panics
    /// On a timeout.
    #[must_use]
    pub fn next(&self, deadline: Duration) -> Request {
        let next = self.try_next(deadline);
        next.unwrap_or_else(|| panic!("no request within {deadline:?}"))
    }

    /// The requests that [`StandIn::try_next`] has not returned.
    #[must_use]
    pub fn rest(&self) -> Vec<Request> {
        std::iter::from_fn(|| self.try_next(Duration::ZERO)).collect()
    }

    /// Refuses further connections, awaits the end of the open ones, and returns all requests.
    ///
    /// # Panics
    /// If a client leaves its connection open.
    #[must_use]
    pub fn finish(mut self) -> Vec<Request> {
        self.close();
        // Each connection holds a reference.
        let alone = || (Arc::strong_count(&self.shared) == 1).then_some(());
        until("all connections have ended", LONG, alone);
        self.requests()
    }

    fn close(&mut self) {
        let closed = self.listener.close();
        if let Some(accepting) = self.accepting.take()
            && closed.is_ok()
        {
            // It does not panic.
            let _ = accepting.join();
        }
    }

    /// Bytes of gigabyte bodies that clients have read.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StandIn")
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.close();
    }
}
