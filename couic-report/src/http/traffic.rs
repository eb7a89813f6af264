//! `POST /v1/reports/{secret}` with the header `Couic-Kind: traffic`.

use couic_common::unix_seconds;
use serde::Serialize;
use uuid::Uuid;
use warp::{http::StatusCode, reply::Response};

use super::{
    Context,
    answer::{error, json, later},
};
use crate::{
    ingest,
    state::{Accepted, TrafficRecord},
};

/// The largest body: some 200 tags and 64 interfaces with names of 255 bytes.
const MAX_BODY: usize = 256 << 10;

#[derive(Serialize)]
struct Taken {
    /// The request was a retry, and had been counted already.
    repeated: bool,
}

/// Counts the traffic of a firewall, or answers with the error.
pub(super) async fn accept(
    body: &[u8],
    id: Option<Uuid>,
    source: &str,
    context: &Context,
) -> Response {
    if body.len() > MAX_BODY {
        let message = format!("traffic is larger than {} KiB", MAX_BODY >> 10);
        return error(StatusCode::PAYLOAD_TOO_LARGE, message);
    }
    let json_body = match ingest::parse_traffic(body) {
        Ok(json) => json,
        Err(message) => {
            tracing::info!("refused a request with traffic: {message}");
            return error(StatusCode::BAD_REQUEST, message);
        }
    };
    let record = TrafficRecord {
        id,
        received: unix_seconds(),
        source,
        json: &json_body,
    };
    match context.journal.traffic(&record).await {
        Ok(accepted) => {
            let repeated = accepted == Accepted::Repeated;
            context.meter.traffic(repeated);
            json(StatusCode::OK, &Taken { repeated })
        }
        // The reason names local files; it is logged.
        Err(_) => later("the traffic cannot be stored at the moment: retry later"),
    }
}
