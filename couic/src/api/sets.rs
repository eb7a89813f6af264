//! Set files, and putting them in force.
//!
//! Creating, replacing and deleting a set touches its file only; the rules follow at the next reload. All of this waits
//! for the disk, so none of it runs where connections are served.

use couic_common::{
    Cidr, GuardRequest, Policy, ReloadStatus, SetBody, SetDeleted, SetName, SetUpdate,
};

use super::{
    answer::{Answer, Outcome},
    body::Body,
    call::Call,
    error::Fault,
    judge::{self, Defects},
};

/// `GET /v1/sets/{policy}`.
pub(super) fn list(call: &Call) -> Outcome {
    Answer::ok(&call.api().sets.list(call.policy()?)?)
}

/// `GET /v1/sets/{policy}/{set}`.
pub(super) fn get(call: &Call) -> Outcome {
    let name = call.set()?;
    let entries = call.api().sets.read(call.policy()?, name)?;
    Answer::ok(&set_body(name, &entries))
}

/// `POST /v1/sets/{policy}`.
pub(super) fn create(call: &Call, body: &Body) -> Outcome {
    let policy = call.policy()?;
    let SetBody {
        name,
        entries,
        force,
        guard,
    } = body.json()?;
    let mut defects = Defects::default();
    let name = name.parse::<SetName>();
    let name = name.map_err(|e| defects.invalid("name".to_owned(), e.to_string()));
    let entries = judged(call, policy, &entries, (force, guard.as_ref()), defects);
    let (Ok(name), entries) = (name, entries?) else {
        return Err(Fault::invalid("name", "the name cannot be used"));
    };
    call.api().sets.create(policy, &name, &entries)?;
    audit(call, "set created", policy, &name, entries.len())?;
    Answer::created(&set_body(&name, &entries))
}

/// `PUT /v1/sets/{policy}/{set}`.
pub(super) fn replace(call: &Call, body: &Body) -> Outcome {
    let (policy, name) = (call.policy()?, call.set()?);
    let SetUpdate {
        name: named,
        entries,
        force,
        guard,
    } = body.json()?;
    let mut defects = Defects::default();
    if named.is_some_and(|named| named != name.as_str()) {
        let message = format!("the path says {name}: sets are not renamed");
        defects.invalid("name".to_owned(), message);
    }
    let entries = judged(call, policy, &entries, (force, guard.as_ref()), defects)?;
    call.api().sets.replace(policy, name, &entries)?;
    audit(call, "set replaced", policy, name, entries.len())?;
    Answer::ok(&set_body(name, &entries))
}

/// `DELETE /v1/sets/{policy}/{set}`.
pub(super) fn delete(call: &Call) -> Outcome {
    let (policy, name) = (call.policy()?, call.set()?);
    call.api().sets.delete(policy, name)?;
    audit(call, "set deleted", policy, name, 0)?;
    Answer::ok(&SetDeleted {
        deleted: true,
        reload_required: true,
    })
}

/// `POST /v1/sets/reload`.
pub(super) fn reload(call: &Call) -> Outcome {
    let client = &call.who()?.name;
    let change = {
        let _one_at_a_time = call.shared.reloading.lock();
        let catalog = call.api().sets.load_strict()?;
        call.firewall().replace_sets(&catalog)?
    };
    let (added, removed, total) = (change.added, change.removed, change.total);
    tracing::info!(target: "couic::audit", %client, added, removed, total, "sets reloaded");
    Answer::created(&ReloadStatus {
        reload_status: "OK".to_owned(),
    })
}

/// The entries of a set as its file will hold them: networks, in order, each once.
fn judged(
    call: &Call,
    policy: Policy,
    entries: &[String],
    (force, guard): (bool, Option<&GuardRequest>),
    mut defects: Defects,
) -> Result<Vec<Cidr>, Fault> {
    let rails = &call.api().guard;
    let check = if force {
        None
    } else {
        rails.for_request(policy, guard)
    };
    let mut networks = Vec::with_capacity(entries.len());
    for (index, text) in entries.iter().enumerate() {
        let field = || format!("entries[{index}]");
        match text.parse::<Cidr>() {
            Err(error) => defects.invalid(field(), error.to_string()),
            Ok(cidr) => {
                if let Err(fault) = judge::passes(check.as_ref(), cidr) {
                    defects.refused(field(), fault.body.message);
                }
                networks.push(cidr);
            }
        }
    }
    defects.none()?;
    networks.sort_unstable();
    networks.dedup();
    Ok(networks)
}

fn set_body(name: &SetName, entries: &[Cidr]) -> SetBody {
    SetBody {
        name: name.to_string(),
        entries: entries.iter().map(Cidr::to_string).collect(),
        force: false,
        guard: None,
    }
}

fn audit(
    call: &Call,
    what: &str,
    policy: Policy,
    set: &SetName,
    entries: usize,
) -> Result<(), Fault> {
    let client = &call.who()?.name;
    tracing::info!(target: "couic::audit", %client, %policy, %set, entries, "{what}");
    Ok(())
}
