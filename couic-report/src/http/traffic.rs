//! `POST /v1/reports/{secret}` with the header `Couic-Kind: traffic`.

use bytes::Bytes;
use couic_common::unix_seconds;
use serde::Serialize;
use uuid::Uuid;
use warp::{http::StatusCode, reply::Response};

use super::{
    Context,
    answer::{error, json, later},
    reports::aside,
};
use crate::{
    ingest::{self, NotReports},
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
    body: Bytes,
    id: Option<Uuid>,
    source: &str,
    context: &Context,
) -> Response {
    if body.len() > MAX_BODY {
        let message = format!("traffic is larger than {} KiB", MAX_BODY >> 10);
        return error(StatusCode::PAYLOAD_TOO_LARGE, message);
    }
    let parsed = aside(body, ingest::parse_traffic).await;
    let json_body = match parsed.unwrap_or_else(|| Err(NotReports::fault().to_string())) {
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
