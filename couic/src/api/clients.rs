//! The clients of the API: their names, groups and tokens.

use couic_common::{ClientName, ClientRequest, Group};

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
