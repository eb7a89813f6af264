//! The clients of the API: their names, groups and tokens.

use std::time::Duration;

use couic_common::{ClientInfo, ClientName, ClientRequest, Group, ROTATE_GRACE_MAX, RotateRequest};

use super::{
    answer::{Answer, Outcome},
    body::Body,
    call::Call,
    error::Fault,
    validate::Defects,
};
use crate::rbac::NewClient;

/// `GET /v1/client`.
pub(super) fn list(call: &Call) -> Outcome {
    let all = call.api().clients.list().into_iter();
    let all: Result<Vec<_>, _> = all.map(|client| told(call, client)).collect();
    Answer::ok(&all?)
}

/// `GET /v1/client/{client}`.
pub(super) fn get(call: &Call) -> Outcome {
    let name = call.client()?;
    let found = call.api().clients.get(name);
    let found = found.ok_or_else(|| Fault::not_found(format!("there is no client {name}")))?;
    Answer::ok(&told(call, found)?)
}

/// The client as who asks is told of it.
fn told(call: &Call, client: ClientInfo) -> Result<ClientInfo, Fault> {
    let own = call.who()?.name == client.name;
    Ok(ClientInfo { own, ..client })
}

/// The limits of a client, for the audit log.
fn terms(client: &ClientInfo) -> String {
    let limits = client.limits.as_ref().map(serde_json::to_string);
    match limits {
        Some(Ok(limits)) => format!(", with the limits {limits}"),
        _ => String::new(),
    }
}

/// `POST /v1/client`.
pub(super) fn create(call: &Call, body: &Body) -> Outcome {
    let ClientRequest {
        name,
        group,
        limits,
    } = body.json()?;
    let (name, group) = validated(&name, &group)?;
    let client = NewClient {
        name,
        group,
        limits,
    };
    let created = (call.api().clients).create(client, call.firewall().now())?;
    let (name, terms) = (&created.name, terms(&created));
    tracing::info!(target: "couic::audit", action = "client_created", "client {name} created in group {group}{terms}");
    Answer::created(&created)
}

/// `POST /v1/client/{client}/rotate`.
pub(super) fn rotate(call: &Call, body: &Body) -> Outcome {
    let RotateRequest { grace } = body.json()?;
    if grace > ROTATE_GRACE_MAX {
        let most = format!("must be at most {ROTATE_GRACE_MAX} seconds");
        return Err(Fault::invalid("grace", &most));
    }
    let (clients, grace_time) = (&call.api().clients, Duration::from_secs(grace));
    let rotated = clients.rotate(call.client()?, grace_time, call.firewall().now())?;
    let (name, terms) = (&rotated.name, terms(&rotated));
    tracing::info!(target: "couic::audit", action = "client_rotated", "token of the client {name} replaced, the old one is accepted for {grace} s{terms}");
    Answer::ok(&told(call, rotated)?)
}

/// `DELETE /v1/client/{client}`.
pub(super) fn delete(call: &Call) -> Outcome {
    let name = call.client()?;
    call.api().clients.delete(name)?;
    tracing::info!(target: "couic::audit", action = "client_deleted", "client {name} deleted");
    Ok(Answer::no_content())
}

fn validated(name: &str, group: &str) -> Result<(ClientName, Group), Fault> {
    let mut defects = Defects::default();
    let name = name.parse::<ClientName>();
    let name = name.map_err(|e| defects.invalid("name".to_owned(), e.to_string()));
    let group = group.parse::<Group>();
    let group = group.map_err(|e| defects.invalid("group".to_owned(), e));
    defects.none()?;
    match (name, group) {
        (Ok(name), Ok(group)) => Ok((name, group)),
        _ => Err(Fault::invalid("name", "the client cannot be created")),
    }
}
