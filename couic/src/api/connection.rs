//! One connection to the API: requests, answers and timeouts.

use std::{
    future::pending,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use couic_httpd::{Known, Standing, Watcher};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::service::TowerToHyperService;
use tokio::{
    net::UnixStream,
    sync::watch,
    time::{self, MissedTickBehavior},
};
use warp::{
    Filter, Rejection,
    http::{Request, Response, Uri, header},
    reply,
};

use super::{
    answer::Streaming,
    commit::OwedCommit,
    origin::UnixPeer,
    serve::ServeSettings,
    unread::Watched,
    wire::{Patience, Progress, Wire},
};

/// The largest request head, and the buffer for an answer.
const BUFFER: usize = 64 * 1024;

/// Adds who sent it. `CONNECT host:port` and `GET host` have no path, on which warp panics: they get a 404.
fn complete(request: &mut Request<Incoming>, peer: Option<UnixPeer>) {
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    if request.uri().path_and_query().is_none() {
        *request.uri_mut() = Uri::from_static("/");
    }
}

/// Whether the client may still be sending when it receives this answer.
fn must_linger<B>(response: &Response<B>, is_unread: bool) -> bool {
    response.headers().contains_key(header::CONNECTION) || is_unread
}

/// What the answer means for the connection.
fn tell<B>(progress: &Progress, response: &Response<B>, is_unread: bool) {
    progress.stream(response.extensions().get::<Streaming>().is_some());
    let must_linger = must_linger(response, is_unread);
    progress.linger.store(must_linger, Relaxed);
}

/// How long the streams' readers may take for what was sent, once streams end.
const CUT_OFF: Duration = Duration::from_millis(250);

/// What a connection hears of the service.
pub(super) struct Turn {
    pub(super) stopping: Watcher,
    pub(super) standing: Standing,
    /// True once event streams end.
    pub(super) ended: watch::Receiver<bool>,
}

/// Resolves if the connection has a stream that has ended, and that its reader leaves unread.
async fn cut_off(mut ended: watch::Receiver<bool>, progress: &Progress) {
    let is_over = ended.wait_for(|ended| *ended).await.is_ok();
    time::sleep(CUT_OFF).await;
    if !is_over || !progress.is_streaming() {
        pending::<()>().await;
    }
}

/// Serves a connection until it ends, stalls, or the service stops and the current request is answered.
pub(super) async fn serve_connection<F>(
    stream: UnixStream,
    filter: F,
    commit: Arc<OwedCommit>,
    Turn {
        stopping,
        standing,
        ended,
    }: Turn,
    settings: ServeSettings,
) where
    F: Filter<Extract = (reply::Response,), Error = Rejection> + Clone + Send + Sync + 'static,
{
    let patience = Patience::of(&settings);
    let progress = Arc::new(Progress::new());
    let peer = UnixPeer::of(&stream);
    let wire = Wire::new(stream, Arc::clone(&progress), Arc::clone(&commit));
    let routes = TowerToHyperService::new(warp::service(filter));
    let service = service_fn(|mut request: Request<Incoming>| {
        complete(&mut request, peer);
        let (progress, commit, standing) = (&progress, &commit, &standing);
        progress.begin();
        standing.keep(true);
        // Clients that send the head first write a small body, too, after the answer has been made.
        let (head, body) = request.into_parts();
        let (body, unread) = Watched::new(body);
        let request = Request::from_parts(head, body);
        let may_change = !request.method().is_safe();
        let answer = routes.call(request);
        async move {
            let answer = answer.await;
            let had_token = answer
                .as_ref()
                .is_ok_and(|response| response.extensions().get::<Known>().is_some());
            standing.keep(progress.end(had_token));
            if may_change {
                commit.owe();
            }
            if let Ok(response) = &answer {
                tell(progress, response, unread.load(Relaxed));
            }
            answer
        }
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .max_buf_size(BUFFER)
        .serve_connection(wire, service);
    let mut connection = pin!(stopping.watch(connection));
    let mut cut_off = pin!(cut_off(ended, &progress));
    let mut checks = time::interval(settings.head.min(settings.write) / 4);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!("a connection ended: {error}");
                }
                return;
            }
            () = &mut cut_off => return,
            _ = checks.tick() => if let Some(stall) = progress.stalled(patience) {
                tracing::debug!(?stall, "a connection timed out");
                return;
            }
        }
    }
}
