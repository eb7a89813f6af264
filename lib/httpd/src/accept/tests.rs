//! Both policies, failed accepts and the drain, on a listener without sockets.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::{Mutex, mpsc, oneshot};

use super::*;

type Connection = oneshot::Receiver<()>;

/// A connection ends when its sender is dropped.
type Client = oneshot::Sender<()>;

struct Backlog(Mutex<mpsc::UnboundedReceiver<io::Result<Connection>>>);

impl Listener for Backlog {
    type Connection = Connection;

    async fn accept(&self) -> io::Result<Connection> {
        match self.0.lock().await.recv().await {
            Some(next) => next,
            None => pending().await,
        }
    }
}

struct Running {
    backlog: mpsc::UnboundedSender<io::Result<Connection>>,
    open: Arc<AtomicUsize>,
    stop: oneshot::Sender<()>,
    service: tokio::task::JoinHandle<ServeSummary>,
}

fn run(max_connections: usize, overload: Overload<Connection>) -> Running {
    run_with(max_connections, overload, true)
}

/// `keeps`: whether connections keep their places when new ones need them.
fn run_with(max_connections: usize, overload: Overload<Connection>, keeps: bool) -> Running {
    let (backlog, waiting) = mpsc::unbounded_channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let open = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&open);
    let acceptor = Acceptor {
        name: "the test",
        shares: Shares {
            total: max_connections,
            per_source: max_connections,
            reserve: 0,
        },
        source: |_| Source::user(7, false),
        overload,
        drain: Duration::from_secs(5),
        counts: Arc::default(),
    };
    let service = tokio::spawn(async move {
        let shutdown = async { drop(stopped.await) };
        let serve = |connection: Connection, _, standing: Standing| {
            count.fetch_add(1, Relaxed);
            standing.keep(keeps);
            async { drop(connection.await) }
        };
        acceptor
            .run(Backlog(Mutex::new(waiting)), shutdown, serve)
            .await
    });
    Running {
        backlog,
        open,
        stop,
        service,
    }
}

impl Running {
    fn connect(&self) -> Client {
        let (client, connection) = oneshot::channel();
        self.backlog.send(Ok(connection)).unwrap();
        client
    }

    /// With paused time, every task has come to rest before a timer fires.
    async fn opened(&self) -> usize {
        time::sleep(Duration::from_millis(1)).await;
        self.open.load(Relaxed)
    }

    async fn ended(self) -> ServeSummary {
        self.stop.send(()).unwrap();
        self.service.await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_limit_wait_until_one_closes() {
    let service = run(2, Overload::Wait);
    let mut clients: Vec<Client> = (0..4).map(|_| service.connect()).collect();
    assert_eq!(service.opened().await, 2);
    drop(clients.remove(0));
    assert_eq!(service.opened().await, 3);
    drop(clients);
    assert_eq!(service.opened().await, 4);
    let summary = service.ended().await;
    assert_eq!(
        (summary.served, summary.refused, summary.aborted),
        (4, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_limit_are_refused_until_one_closes() {
    let service = run(1, Overload::Refuse(drop));
    let first = service.connect();
    assert_eq!(service.opened().await, 1);
    let mut second = service.connect();
    second.closed().await;
    drop(first);
    assert_eq!(service.opened().await, 1);
    drop(service.connect());
    assert_eq!(service.opened().await, 2);
    let summary = service.ended().await;
    assert_eq!(
        (summary.served, summary.refused, summary.aborted),
        (2, 1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn idle_connections_of_strangers_make_room_for_a_new_one() {
    for overload in [Overload::Wait, Overload::Refuse(drop)] {
        let service = run_with(2, overload, false);
        let mut clients: Vec<Client> = Vec::new();
        for opened in 1..=100 {
            clients.push(service.connect());
            assert_eq!(service.opened().await, opened);
        }
        let open = clients.iter().filter(|client| !client.is_closed()).count();
        assert_eq!(open, 2);
        assert!(!clients[99].is_closed() && !clients[98].is_closed());
        drop(clients);
        assert_eq!(service.ended().await.refused, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_accept_pauses_the_service_and_does_not_end_it() {
    let service = run(1, Overload::Wait);
    for _ in 0..3 {
        let error = io::Error::from_raw_os_error(24);
        service.backlog.send(Err(error)).unwrap();
    }
    let _client = service.connect();
    let start = Instant::now();
    while service.opened().await == 0 {
        assert!(start.elapsed() < Duration::from_secs(1));
    }
    assert!(start.elapsed() >= 3 * ACCEPT_PAUSE);
}

#[tokio::test(start_paused = true)]
async fn the_drain_has_a_deadline() {
    let service = run(9, Overload::Wait);
    let (_stuck, short) = (service.connect(), service.connect());
    assert_eq!(service.opened().await, 2);
    let ended = tokio::spawn(service.ended());
    time::sleep(Duration::from_secs(1)).await;
    assert!(!ended.is_finished(), "requests in progress may finish");
    drop(short);
    let start = Instant::now();
    assert_eq!(ended.await.unwrap().aborted, 1);
    assert!(start.elapsed() <= Duration::from_secs(5));
}
