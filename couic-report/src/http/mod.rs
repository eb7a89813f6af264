//! The HTTP service: reports in, health and metrics out.
//!
//! Authentication precedes the body: an unauthenticated request costs a few hundred bytes. Bodies are bounded each and
//! in total, and a sender that stalls is timed out.

mod answer;
pub(crate) mod connection;
mod health;
mod metrics;
mod reports;
mod serve;
mod traffic;

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use couic_delivery::NotificationDispatcher;
use couic_httpd::{BodyReader, ConnectionCounts};
use tokio::task::{AbortHandle, JoinHandle};
use uuid::Uuid;
use warp::{Filter, Rejection, Reply, http::StatusCode, reject::MethodNotAllowed, reply::Response};

use self::answer::error;
pub(crate) use self::{metrics::Meter, serve::serve};
use crate::{config::Config, history::History, state::Journal};

/// State shared by all requests.
pub(crate) struct Context {
    pub(crate) journal: Journal,
    pub(crate) history: History,
    pub(crate) dispatcher: Arc<NotificationDispatcher>,
    pub(crate) meter: Meter,
    pub(crate) connections: Arc<ConnectionCounts>,
    /// Those of the page, if there is one.
    pub(crate) page_connections: Option<Arc<ConnectionCounts>>,
    /// The task that serves it.
    page: Option<AbortHandle>,
    /// Length of an interval, in seconds.
    pub(crate) interval_secs: u64,
    secret: couic_settings::Secret<Uuid>,
    bodies: BodyReader,
}

impl Context {
    pub(crate) fn new(
        config: &Config,
        journal: Journal,
        dispatcher: Arc<NotificationDispatcher>,
    ) -> Self {
        Self {
            history: journal.history().clone(),
            journal,
            dispatcher,
            meter: Meter::default(),
            connections: Arc::default(),
            page_connections: None,
            page: None,
            interval_secs: config.interval.as_secs(),
            secret: config.server.secret.clone(),
            bodies: BodyReader::new(reports::limits(config.server.max_body)),
        }
    }

    /// The same with the connections to the page, for the metrics, and its task, for health.
    pub(crate) fn with_page(
        mut self,
        connections: Option<Arc<ConnectionCounts>>,
        task: Option<&JoinHandle<()>>,
    ) -> Self {
        self.page_connections = connections;
        self.page = task.map(JoinHandle::abort_handle);
        self
    }
}

/// Every route.
pub(crate) fn routes(
    context: Arc<Context>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    let meter = Arc::clone(&context);
    let with = warp::any().map(move || Arc::clone(&context));
    let read = || warp::get().or(warp::head()).unify();
    let reports = warp::path!("v1" / "reports" / String)
        .and(warp::post())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional::<SocketAddr>())
        .and(warp::body::stream())
        .and(with.clone())
        .then(reports::accept);
    let health = warp::path!("v1" / "health")
        .and(read())
        .and(with.clone())
        .map(|context: Arc<Context>| health::answer(&context));
    let metrics = warp::path!("v1" / "metrics")
        .or(warp::path!("metrics"))
        .unify()
        .and(read())
        .and(with)
        .and(warp::header::headers_cloned())
        .map(|context: Arc<Context>, headers| metrics::answer(&context, &headers));
    reports
        .or(health)
        .unify()
        .or(metrics)
        .unify()
        .recover(rejected)
        .unify()
        .map(move |answer: Response| {
            meter.meter.answered(answer.status());
            answer
        })
}

/// The response if no route matched.
async fn rejected(rejection: Rejection) -> Result<Response, Infallible> {
    let answer = if rejection.find::<MethodNotAllowed>().is_some() {
        error(
            StatusCode::METHOD_NOT_ALLOWED,
            "this method is not served on this path",
        )
    } else if rejection.is_not_found() {
        error(StatusCode::NOT_FOUND, "there is nothing on this path")
    } else {
        error(StatusCode::BAD_REQUEST, "the request cannot be read")
    };
    Ok(answer.into_response())
}

#[cfg(test)]
mod tests;
