//! Set files, and loading them.
//!
//! Creating, replacing and deleting a set touches its file only, and the rules follow at the next reload; with `?apply=true`
//! they change together (`set_apply`). All of this waits for the disk, so it runs on blocking threads.

use std::sync::Arc;

use couic_common::{
    Cidr, Policy, ReloadStatus, RuleKey, SetBody, SetDeleted, SetName, SetUpdate, SetWritten,
};
use warp::http::StatusCode;

use super::{
    Api,
    answer::{Answer, Outcome},
    body::Body,
    call::Call,
    confirm,
    error::Fault,
    guard::{self, Asked},
    scope,
    set_apply::{self, Wanted},
    set_list::{self, List},
    validate::Defects,
};
use couic_firewall::{
    confirm::{Change, ChangeSession, ConfirmError, FileChange, SetChange, Ticket},
    guard::{Change as Judged, Guard, GuardCheck, GuardReason, GuardRefusal, Rails, RefusedEntry},
    rules::{Actor, ClaimScope, Expected, SetChange as SetCounts, SetEntries, SetError, SetStore},
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
    let asked = Asked {
        force,
        guard: guard.as_ref(),
    };
    let entries = validated(call, policy, &entries, asked, defects);
    let (Ok(name), (entries, lifted)) = (name, entries?) else {
        return Err(Fault::invalid("name", "the name cannot be used"));
    };
    if call.flag("apply")? {
        let wanted = Wanted {
            policy,
            set: name,
            entries: Some(entries),
            expected: Expected::Missing,
            notes: Vec::new(),
        };
        return Ok(applied(call, wanted)?.over(lifted));
    }
    let work = |sets: &SetStore| sets.create(policy, &name, &entries).map(drop);
    let ((), ticket) = change_file(call, policy, &name, Some(&entries), work)?;
    audit("set_created", "created", policy, &name, entries.len());
    let answer = Answer::created(&set_body(&name, &entries))?;
    Ok(answer.confirmable(ticket).over(lifted))
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
    let asked = Asked {
        force,
        guard: guard.as_ref(),
    };
    scope::rails(call, asked)?;
    let (entries, lifted) = validated(call, policy, &entries, asked, defects)?;
    scope::entries(call, &entries)?;
    if call.flag("apply")? {
        let wanted = Wanted {
            policy,
            set: name.clone(),
            entries: Some(entries),
            expected: Expected::There,
            notes: Vec::new(),
        };
        return Ok(applied(call, wanted)?.over(lifted));
    }
    let work = |sets: &SetStore| sets.replace(policy, name, &entries).map(drop);
    let ((), ticket) = change_file(call, policy, name, Some(&entries), work)?;
    audit("set_replaced", "replaced", policy, name, entries.len());
    let answer = Answer::ok(&set_body(name, &entries))?;
    Ok(answer.confirmable(ticket).over(lifted))
}

/// `PUT /v1/sets/{policy}/{set}` with a list.
pub(super) fn put_list(call: &Call, List { lines, is_cut }: List) -> Outcome {
    let (policy, name) = (call.policy()?, call.set()?);
    let (query, expected) = (guard::in_query(call)?, set_list::expected(call)?);
    let asked = Asked::from(&query);
    scope::rails(call, asked)?;
    if lines.is_suspect() {
        return Err(set_list::empty(policy, name));
    }
    let entries = lines.finish();
    call.api().sets.check_count(policy, name, entries.len())?;
    scope::entries(call, &entries)?;
    let lifted = judged(call, policy, &entries, asked)?;
    let note = || {
        format!(
            "sets/{policy}/{name}.couic is of a list that does not end with a line end: if it was downloaded, it may be cut off"
        )
    };
    let notes = is_cut.then(note).into_iter().collect();
    if call.flag("apply")? {
        let wanted = Wanted {
            policy,
            set: name.clone(),
            entries: Some(entries),
            expected,
            notes,
        };
        return Ok(applied(call, wanted)?.over(lifted));
    }
    let work = |sets: &SetStore| {
        let was_there = sets.check_there(policy, name, expected)?;
        Ok((was_there, sets.put(policy, name, &entries)?))
    };
    let ((was_there, summary), ticket) = change_file(call, policy, name, Some(&entries), work)?;
    let (action, verb) = if was_there {
        ("set_replaced", "replaced")
    } else {
        ("set_created", "created")
    };
    audit(action, verb, policy, name, entries.len());
    let written = SetWritten {
        name: summary.name,
        entry_count: summary.entry_count,
        file_size: summary.file_size,
        applied: false,
        added: 0,
        removed: 0,
        refused_count: 0,
        refused: Vec::new(),
        notes,
    };
    let answer = Answer::json(status(was_there), &written)?;
    Ok(answer.confirmable(ticket).over(lifted))
}

/// Applies a set, and answers.
fn applied(call: &Call, wanted: Wanted) -> Outcome {
    let applied = set_apply::apply(call, wanted)?;
    let answer = Answer::json(status(applied.was_there), &applied.written())?;
    Ok(answer.confirmable(applied.ticket))
}

const fn status(was_there: bool) -> StatusCode {
    if was_there {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    }
}

/// `DELETE /v1/sets/{policy}/{set}`.
pub(super) fn delete(call: &Call) -> Outcome {
    let (policy, name) = (call.policy()?, call.set()?);
    let apply = call.flag("apply")?;
    scope::set(call, name, apply)?;
    if apply {
        let wanted = Wanted {
            policy,
            set: name.clone(),
            entries: None,
            expected: Expected::Either,
            notes: Vec::new(),
        };
        let ticket = set_apply::apply(call, wanted)?.ticket;
        let deleted = SetDeleted {
            deleted: true,
            reload_required: false,
        };
        return Ok(Answer::ok(&deleted)?.confirmable(ticket));
    }
    let work = |sets: &SetStore| sets.delete(policy, name);
    let ((), ticket) = change_file(call, policy, name, None, work)?;
    audit("set_deleted", "deleted", policy, name, 0);
    let deleted = SetDeleted {
        deleted: true,
        reload_required: true,
    };
    Ok(Answer::ok(&deleted)?.confirmable(ticket))
}

/// Changes a set's file, whose entries will be `after`; confirmable if the request asks for that.
fn change_file<T>(
    call: &Call,
    policy: Policy,
    set: &SetName,
    after: Option<&[Cidr]>,
    work: impl FnOnce(&SetStore) -> Result<T, SetError>,
) -> Result<(T, Option<Ticket>), Fault> {
    let sets = &call.api().sets;
    let _one_at_a_time = sets.turn();
    let verb = if after.is_some() { "write" } else { "delete" };
    let mut change = confirm::begin(call, || format!("set {policy}/{set} {verb}"))?;
    let plan = || -> Result<_, Fault> {
        let before = sets.raw(policy, set)?.map(String::from_utf8).transpose();
        let before = before.map_err(|_| ConfirmError::NotText(format!("{policy}/{set}")))?;
        Ok(vec![Change::File(FileChange {
            policy,
            set: set.clone(),
            before,
            after: after.map(SetStore::text_of),
        })])
    };
    let done = change.make(plan, || work(sets))?;
    Ok((done, change.finish()))
}

/// `POST /v1/sets/reload`.
pub(super) fn reload(call: &Call) -> Outcome {
    let begin = || confirm::begin(call, || "sets reload".to_owned());
    let (_, ticket) = put_in_force(call.api(), begin)?;
    let skipped = call.api().sets.skipped();
    for problem in &skipped {
        tracing::warn!("{}", problem.message);
    }
    let report = call.firewall().guard().map(Guard::set_report);
    let (refused, notes) = report.unwrap_or_default();
    let status = ReloadStatus {
        reload_status: "OK".to_owned(),
        skipped,
        refused,
        notes,
    };
    Ok(Answer::created(&status)?.confirmable(ticket))
}

/// `POST /v1/sets/reload`, as the daemon does it when its configuration is reloaded. Returns what has changed.
///
/// # Errors
/// Why nothing has.
pub(crate) fn reload_for_daemon(api: &Api) -> Result<String, String> {
    let begin = || Ok(ChangeSession::Immediate(Arc::clone(&api.firewall)));
    let done = put_in_force(api, begin);
    done.map(|(text, _)| text)
        .map_err(|fault| fault.body.message)
}

/// Loads the set files but for what the guard rails refuse, as the session begun records it. Returns what has changed.
fn put_in_force(
    api: &Api,
    begin: impl FnOnce() -> Result<ChangeSession, Fault>,
) -> Result<(String, Option<Ticket>), Fault> {
    let (sets, firewall) = (&api.sets, &*api.firewall);
    let _one_at_a_time = sets.turn();
    let mut catalog = sets.load_strict()?;
    firewall.check_emptied(&catalog)?;
    let check = firewall.guard().map(Guard::for_sets_and_peers);
    let sifted = check.as_ref().map(|c| c.sift(firewall, &mut catalog));
    let sifted = sifted.transpose().map_err(|refusal| exposed(&refusal))?;
    let (permit, refused) = sifted.unzip();
    let refused: Vec<RefusedEntry> = refused.unwrap_or_default();
    let count = refused.len();
    let mut change = begin()?;
    let plan = || Ok::<_, Fault>(differing(firewall.sets_in_force(), catalog.entries()));
    let counts = change.make(plan, || firewall.replace_sets(&catalog))?;
    drop(permit);
    api.confirmations.files_followed();
    if let Some(guard) = firewall.guard() {
        guard.loaded(refused, catalog.cut_off());
    }
    let SetCounts {
        added,
        removed,
        total,
        ..
    } = counts;
    let mut text = format!("sets reloaded: {added} added, {removed} removed, {total} in all");
    if count > 0 {
        text += &format!(", {count} refused by guard rails");
    }
    tracing::info!(target: "couic::audit", action = "sets_reloaded", "{text}");
    Ok((text, change.finish()))
}

/// The error of a reload after which a drop would cut off what the host needs.
pub(super) fn exposed(refusal: &GuardRefusal) -> Fault {
    let rail = refusal.reason.rail();
    let GuardReason::Exposed(_, addr, role) = &refusal.reason else {
        return refusal.clone().into();
    };
    let message = format!(
        "nothing was changed: by the set files {addr}, {role}, is no longer in ignore, and a drop that no set made would cut it off (guard rail {rail}): put it back, or delete the drop"
    );
    Fault::refused("cidr", message).by_rail(rail)
}

fn differing(mut before: SetEntries, after: SetEntries) -> Vec<Change> {
    let change = |(policy, set), before, after| {
        Change::Set(SetChange {
            policy,
            set,
            before,
            after,
        })
    };
    let mut changes = Vec::new();
    for (key, after) in after {
        let before = before.remove(&key).unwrap_or_default();
        if before != after {
            changes.push(change(key, before, after));
        }
    }
    let gone = before.into_iter();
    changes.extend(gone.map(|(key, before)| change(key, before, Vec::new())));
    changes
}

/// The entries of a set as its file will hold them: networks, sorted, without duplicates. And the guard rails that a
/// forced one goes over.
fn validated(
    call: &Call,
    policy: Policy,
    entries: &[String],
    asked: Asked<'_>,
    mut defects: Defects,
) -> Result<(Vec<Cidr>, Rails), Fault> {
    let check = rails(call, asked)?;
    let mut over = Rails::default();
    let mut networks = Vec::with_capacity(entries.len());
    for (index, text) in entries.iter().enumerate() {
        let field = || format!("entries[{index}]");
        match text.parse::<Cidr>() {
            Err(error) => defects.invalid(field(), error.to_string()),
            Ok(cidr) => {
                let rule = RuleKey::new(policy, cidr);
                match passes(call, check.as_ref(), rule, Some(text)) {
                    Ok(lifted) => over = over.with(lifted),
                    Err(fault) => {
                        let message = fault.body.message.clone();
                        match guard::rail_of(&fault) {
                            Some(rail) => defects.guarded(field(), message, rail),
                            None => defects.refused(field(), message),
                        }
                    }
                }
                networks.push(cidr);
            }
        }
    }
    defects.none()?;
    networks.sort_unstable();
    networks.dedup();
    Ok((networks, over))
}

/// The guard rails that refuse a whole request. If a set is applied, those for set files hold anyway, which leave entries out;
/// a request that names some is refused by these.
fn rails<'a>(call: &'a Call, asked: Asked<'_>) -> Result<Option<GuardCheck<'a>>, Fault> {
    let leaves_out = call.flag("apply")? && asked.guard.is_none();
    Ok(if leaves_out {
        None
    } else {
        guard::check(call, asked)
    })
}

/// Asks the guard rails about every entry of a list. Returns those that a forced one goes over.
fn judged(call: &Call, policy: Policy, entries: &[Cidr], asked: Asked<'_>) -> Result<Rails, Fault> {
    let check = rails(call, asked)?;
    let mut over = Rails::default();
    for cidr in entries.iter().filter(|_| check.is_some()) {
        let rule = RuleKey::new(policy, *cidr);
        over = over.with(passes(call, check.as_ref(), rule, None)?);
    }
    Ok(over)
}

/// Asks the guard rails about an entry. It comes into force at a reload, which asks again.
fn passes(
    call: &Call,
    check: Option<&GuardCheck<'_>>,
    key: RuleKey,
    text: Option<&str>,
) -> Result<Rails, Fault> {
    // No set is called so, so that no claim is taken for this one's.
    let actor = Actor::Expiry;
    let change = Judged::Add(key, &ClaimScope::OWN, &actor, 0);
    guard::judge(call, check, &[change], text).map(|(_, lifted)| lifted)
}

fn set_body(name: &SetName, entries: &[Cidr]) -> SetBody {
    SetBody {
        name: name.to_string(),
        entries: entries.iter().map(Cidr::to_string).collect(),
        force: false,
        guard: None,
    }
}

fn audit(action: &str, verb: &str, policy: Policy, set: &SetName, entries: usize) {
    let entries = (entries > 0).then(|| format!(", {entries} entries"));
    let entries = entries.unwrap_or_default();
    tracing::info!(target: "couic::audit", action, %policy, "set {policy}/{set} {verb}{entries}");
}
