//! What the listeners of reports and of the page share: HTTP/1 connections within bounds, and who is behind a proxy.

use std::{
    error::Error,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use couic_httpd::Watcher;
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::HttpService,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tracing::debug;
use warp::http::HeaderMap;

/// The bounds of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// The largest request head, in bytes.
    pub(crate) head: usize,
    /// Timeout of a request's head, and of an idle connection.
    pub(crate) patience: Duration,
}

/// Answers the requests of a connection until one side ends it.
pub(crate) async fn serve<S>(
    (stream, peer): (TcpStream, SocketAddr),
    bounds: Bounds,
    service: S,
    stopping: Watcher,
) where
    S: HttpService<Incoming, Error: Into<Box<dyn Error + Send + Sync>>>,
    S::ResBody: Body<Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
{
    // Responses are small: Nagle's algorithm would only delay them.
    if let Err(error) = stream.set_nodelay(true) {
        debug!("TCP_NODELAY: {error}");
    }
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.patience)
        .max_buf_size(bounds.head);
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    if let Err(error) = stopping.watch(connection).await {
        debug!("connection from {}: {error}", peer.ip());
    }
}

/// The client that a reverse proxy saw: each adds the address of its own client at the end, or a line of its own.
pub(crate) fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?;
    let last = last.to_str().ok()?.rsplit(',').next()?;
    let ip = last.trim().parse::<IpAddr>().ok()?;
    Some(ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_of_itself_is_not_believed() {
        let forwarded = |lines: &[&str]| {
            let lines = lines
                .iter()
                .map(|line| ("x-forwarded-for".parse().unwrap(), line.parse().unwrap()));
            forwarded_for(&lines.collect())
        };
        let proxied = "192.0.2.7".parse().ok();
        assert_eq!(forwarded(&["6.6.6.6, 192.0.2.7"]), proxied);
        assert_eq!(forwarded(&["6.6.6.6", "::ffff:192.0.2.7"]), proxied);
        assert_eq!((forwarded(&["192.0.2.7, x"]), forwarded(&[])), (None, None));
    }
}
