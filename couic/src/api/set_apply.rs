//! `?apply=true`: the file of one set and its rules change together, or neither does.
//!
//! No other set's file is looked at. The guard rails of set files hold: entries that they refuse are in the file, are kept
//! out of force, and are named, as by a reload.

use couic_common::{Cidr, Policy, RefusedSetEntry, SetName, SetSummary, SetWritten};
use couic_firewall::{
    confirm::{Change, ConfirmError, FileChange, SetChange, Ticket},
    guard::{Guard, RefusedEntry},
    rules::{Expected, SetCatalog, SetChange as SetCounts, SetError, SetStore},
};

use super::{call::Call, confirm, error::Fault, sets::exposed};

/// How many refused entries are listed.
const LISTED: usize = 1_000;

/// A set as it is to be.
pub(super) struct Wanted {
    pub(super) policy: Policy,
    pub(super) set: SetName,
    /// Sorted, each once; None = the set is deleted.
    pub(super) entries: Option<Vec<Cidr>>,
    pub(super) expected: Expected,
    /// What looks like a mistake.
    pub(super) notes: Vec<String>,
}

/// A set that was applied.
pub(super) struct Applied {
    /// What its file has; None if it is deleted.
    summary: Option<SetSummary>,
    /// Whether there was a file before.
    pub(super) was_there: bool,
    counts: SetCounts,
    refused: Vec<RefusedEntry>,
    notes: Vec<String>,
    pub(super) ticket: Option<Ticket>,
}

impl Applied {
    /// The answer, if the set is not deleted.
    pub(super) fn written(&self) -> Option<SetWritten> {
        let summary = self.summary.clone()?;
        let refused = self.refused.iter().take(LISTED);
        Some(SetWritten {
            name: summary.name,
            entry_count: summary.entry_count,
            file_size: summary.file_size,
            applied: true,
            added: self.counts.added as u64,
            removed: self.counts.removed as u64,
            refused_count: self.refused.len() as u64,
            refused: refused.map(RefusedSetEntry::from).collect(),
            notes: self.notes.clone(),
        })
    }
}

/// Changes a set's file and rules, confirmably if the request asks for that.
///
/// # Errors
/// Why nothing has changed.
pub(super) fn apply(call: &Call, wanted: Wanted) -> Result<Applied, Fault> {
    let Wanted {
        policy,
        set,
        entries,
        expected,
        notes,
    } = wanted;
    let (sets, firewall) = (&call.api().sets, call.firewall());
    let _one_at_a_time = sets.turn();
    let was_there = sets.check_there(policy, &set, expected)?;
    let verb = if entries.is_some() { "apply" } else { "delete" };
    if entries.is_none() && !was_there && firewall.set_in_force(policy, &set).is_empty() {
        let name = set;
        return Err(SetError::NotFound { policy, name }.into());
    }
    // On the disk, and beside the present one, before anything changes.
    let file = entries.as_ref().map(|e| sets.new_file(policy, &set, e));
    let file = file.transpose()?;
    let summary = file.as_ref().map(|file| file.summary.clone());
    let text = entries.as_ref().filter(|_| call.confirm_within.is_some());
    let text = text.map(|entries| SetStore::text_of(entries));
    let mut catalog = SetCatalog::one(policy, set.clone(), entries.unwrap_or_default());
    let check = firewall.guard().map(Guard::for_sets_and_peers);
    let sifted = check.as_ref().map(|c| c.sift_some(firewall, &mut catalog));
    let sifted = sifted.transpose().map_err(|refusal| exposed(&refusal))?;
    let (permit, refused) = sifted.unzip();
    let refused = refused.unwrap_or_default();
    let mut change = confirm::begin(call, || format!("set {policy}/{set} {verb}"))?;
    let plan = || changes(call, (policy, &set), text, &catalog);
    let counts = change.make(plan, || firewall.apply_set(sets, file, &catalog))?;
    drop(permit);
    call.api().confirmations.file_followed(policy, &set);
    if let Some(guard) = firewall.guard() {
        guard.loaded_one(policy, &set, refused.clone(), notes.clone());
    }
    let applied = Applied {
        summary,
        was_there,
        counts,
        refused,
        notes,
        ticket: change.finish(),
    };
    audit(policy, &set, &applied);
    Ok(applied)
}

/// What undoes it: file and rules.
fn changes(
    call: &Call,
    (policy, set): (Policy, &SetName),
    text: Option<String>,
    catalog: &SetCatalog,
) -> Result<Vec<Change>, Fault> {
    let before = call.api().sets.raw(policy, set)?;
    let before = before.map(String::from_utf8).transpose();
    let before = before.map_err(|_| ConfirmError::NotText(format!("{policy}/{set}")))?;
    let file = FileChange {
        policy,
        set: set.clone(),
        before,
        after: text,
    };
    let rules = SetChange {
        policy,
        set: set.clone(),
        before: call.firewall().set_in_force(policy, set),
        after: catalog.entries().into_values().next().unwrap_or_default(),
    };
    Ok(vec![Change::File(file), Change::Set(rules)])
}

fn audit(policy: Policy, set: &SetName, applied: &Applied) {
    let SetCounts { added, removed, .. } = applied.counts;
    let rules = format!("{added} rules added, {removed} removed");
    let mut text = match &applied.summary {
        Some(SetSummary { entry_count, .. }) => {
            format!("set {policy}/{set} applied, {entry_count} entries: {rules}")
        }
        None => format!("set {policy}/{set} deleted and applied: {rules}"),
    };
    if !applied.refused.is_empty() {
        text += &format!(", {} refused by guard rails", applied.refused.len());
    }
    let action = if applied.summary.is_some() {
        "set_applied"
    } else {
        "set_deleted"
    };
    tracing::info!(target: "couic::audit", action, %policy, "{text}");
}
