//! The REST API, version 1, on warp.
//!
//! What holds for every request:
//! - One table (`routes`) lists paths, methods, rights and handlers; the OpenAPI document is made from it. Checked in
//!   this order: path (404), method (405), token (401), path variables (400), body (400, 413, 422), the present state
//!   (404, 409, 422).
//! - Every error answer carries the error body. Answers of status 500 reveal no details; the log has them.
//! - Tokens and headers are never logged.
//! - Memory is bounded: JSON bodies have a limit, NDJSON and lists are streamed.
//! - A panic in a handler is a 500 for that request and nothing else.
//!
//! warp's usual style, a filter a route joined by `or`, tries one route after the other and decides about 404, 405
//! and 401 by ranking rejections. Here warp takes requests apart and puts responses together, and the table decides.

mod answer;
mod auth;
mod batch;
mod body;
mod call;
mod clients;
mod commit;
mod confirm;
mod connection;
mod dispatch;
mod entry_json;
mod error;
mod events;
mod exchange;
mod guard;
mod health;
mod jobs;
mod list;
mod log;
mod lookup;
mod notifiers;
mod openapi;
mod origin;
mod panic;
mod peer;
mod peers;
mod policy;
mod routes;
mod scope;
mod serve;
mod set_apply;
mod set_list;
mod sets;
mod shape;
mod socket;
mod stats;
mod status;
mod table;
mod unread;
mod validate;
mod wire;

use std::sync::Arc;

use couic_common::Health;
use warp::{Filter, Rejection, filters, reply};

use self::dispatch::{Head, dispatch};
pub use self::openapi::openapi_document;
pub use self::serve::{ServeSettings, serve, serve_with};
pub(crate) use self::sets::reload_for_daemon;
pub use self::socket::{ListeningSocket, SocketError, SocketPlace};
pub(crate) use self::{auth::bearer, call::exposition};
use crate::{
    events::Events, host::Host, logging::AuditFiles, metrics::MetricsRegistry, peering::Engine,
    rbac::ClientStore, reporting::Notifiers,
};
use couic_firewall::{
    confirm::Confirmations,
    panic_switch::PanicSwitch,
    rules::{Firewall, SetStore},
};

/// What the API serves.
pub struct Api {
    /// The rules.
    pub firewall: Arc<Firewall>,
    /// The set files.
    pub sets: Arc<SetStore>,
    /// The clients and their tokens.
    pub clients: Arc<ClientStore>,
    /// Where requests are counted.
    pub metrics: Arc<MetricsRegistry>,
    /// The notifiers; None if reporting is off.
    pub notifiers: Option<Notifiers>,
    /// The rules shared with other nodes; None if peering is off.
    pub peering: Option<Arc<Engine>>,
    /// The audit log; None if there is none.
    pub audit: Option<AuditFiles>,
    /// The panic switch.
    pub panic: Arc<PanicSwitch>,
    /// Changes that wait to be confirmed.
    pub confirmations: Arc<Confirmations>,
    /// The last changes of rules, for those who follow them.
    pub events: Arc<Events>,
    /// The state of the machine.
    pub host: Host,
    /// The state of the filter now. May block.
    pub health: Arc<dyn Fn() -> Health + Send + Sync>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

/// All routes, as one filter that never rejects a request.
pub fn routes(
    api: Arc<Api>,
) -> impl Filter<Extract = (reply::Response,), Error = Rejection> + Clone + Send + Sync + 'static {
    warp::any()
        .map(move || Arc::clone(&api))
        .and(warp::method())
        .and(warp::path::full())
        .and(warp::query())
        .and(warp::header::headers_cloned())
        .and(warp::ext::optional())
        .and(filters::body::stream())
        .then(|api, method, path, query, headers, peer, body| {
            let head = Head {
                method,
                path,
                query,
                headers,
                peer,
            };
            dispatch(api, head, body)
        })
}
