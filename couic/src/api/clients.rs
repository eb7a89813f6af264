//! The clients of the API: their names, groups and tokens.

use std::time::Duration;

use couic_common::{ClientName, ClientRequest, Group, ROTATE_GRACE_MAX, RotateRequest};

use super::{
    answer::{Answer, Outcome},
    body::Body,
    call::Call,
    error::Fault,
    validate::Defects,
};

/// `GET /v1/client`.
pub(super) fn list(call: &Call) -> Outcome {
    Answer::ok(&call.api().clients.list())
}

/// `GET /v1/client/{client}`.
pub(super) fn get(call: &Call) -> Outcome {
    let name = call.client()?;
    let found = call.api().clients.get(name);
    let found = found.ok_or_else(|| Fault::not_found(format!("there is no client {name}")))?;
    Answer::ok(&found)
}

/// `POST /v1/client`.
pub(super) fn create(call: &Call, body: &Body) -> Outcome {
    let ClientRequest { name, group } = body.json()?;
    let (name, group) = validated(&name, &group)?;
    let created = call.api().clients.create(name, group)?;
    let name = &created.name;
    tracing::info!(target: "couic::audit", action = "client_created", "client {name} created in group {group}");
    Answer::created(&created)
}

/// `POST /v1/client/{client}/rotate`.
pub(super) fn rotate(call: &Call, body: &Body) -> Outcome {
    let RotateRequest { grace } = body.json()?;
    if grace > ROTATE_GRACE_MAX {
        let most = format!("must be at most {ROTATE_GRACE_MAX} seconds");
        return Err(Fault::invalid("grace", &most));
    }
    let rotated = (call.api().clients).rotate(call.client()?, Duration::from_secs(grace))?;
    let (client, rotated_client) = (&call.who()?.name, &rotated.name);
    tracing::info!(target: "couic::audit", %client, %rotated_client, grace, "token of a client replaced");
    Answer::ok(&rotated)
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
