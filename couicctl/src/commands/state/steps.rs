//! The order in which a plan is carried out: what protects comes before what drops, and goes after it.

use couic_common::{Policy, counted};

use super::plan::{Action, ClientChange, Plan, RuleChange, SetChange};

/// One step: requests that belong together.
pub(super) struct Step<'p> {
    /// What it does, for messages.
    pub(super) what: String,
    pub(super) work: Work<'p>,
}

/// What is sent.
pub(super) enum Work<'p> {
    /// Creates clients, or deletes and creates them.
    Clients(Vec<&'p ClientChange>),
    DeleteClients(Vec<&'p ClientChange>),
    Rules(Policy, Vec<&'p RuleChange>),
    Sets(Policy, Vec<&'p SetChange>),
}

/// The steps of a plan, without those that have nothing to do.
///
/// Clients come first, since what is wrong with them shows before any rule has changed. Of a policy, additions come before
/// deletions, so that a network that is written in another way is covered all along.
pub(super) fn of(plan: &Plan) -> Vec<Step<'_>> {
    let deletes = |change: &&ClientChange| change.action() == Action::Delete;
    let (deleted, made): (Vec<_>, Vec<_>) = plan.clients.iter().partition(|c| deletes(c));
    let rules = |policy, wanted: fn(Action) -> bool| {
        let rules = plan
            .rules
            .iter()
            .filter(|c| c.policy == policy && wanted(c.action()));
        let mut rules: Vec<_> = rules.collect();
        // Stable: each part stays in the order of addresses.
        rules.sort_by_key(|change| change.action() == Action::Delete);
        rules_step(policy, rules)
    };
    let sets = |policy, wanted: fn(&SetChange) -> bool| {
        let sets = plan.sets.iter().filter(|c| c.policy == policy && wanted(c));
        sets_step(policy, sets.collect())
    };
    let all = [
        clients_step("create", made).map(|(what, all)| Step {
            what,
            work: Work::Clients(all),
        }),
        rules(Policy::Ignore, |action| action != Action::Delete),
        sets(Policy::Ignore, SetChange::gains),
        rules(Policy::Drop, |_| true),
        sets(Policy::Drop, |_| true),
        sets(Policy::Ignore, |change| !change.gains()),
        rules(Policy::Ignore, |action| action == Action::Delete),
        clients_step("delete", deleted).map(|(what, all)| Step {
            what,
            work: Work::DeleteClients(all),
        }),
    ];
    all.into_iter().flatten().collect()
}

fn clients_step<'p>(
    verb: &str,
    all: Vec<&'p ClientChange>,
) -> Option<(String, Vec<&'p ClientChange>)> {
    let names: Vec<&str> = all.iter().map(|client| client.name.as_str()).collect();
    (!all.is_empty()).then(|| {
        (
            format!(
                "{verb} {}: {}",
                if all.len() == 1 { "client" } else { "clients" },
                names.join(", ")
            ),
            all,
        )
    })
}

fn rules_step(policy: Policy, all: Vec<&RuleChange>) -> Option<Step<'_>> {
    let count = |action| all.iter().filter(|c| c.action() == action).count() as u64;
    let verbs = [
        (Action::Add, "add"),
        (Action::Change, "change"),
        (Action::Delete, "delete"),
    ];
    let parts = verbs.map(|(action, verb)| (count(action), verb));
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, verb)| format!("{verb} {}", counted(*count, "rule", "rules")))
        .collect();
    (!all.is_empty()).then(|| Step {
        what: format!("{policy}: {}", parts.join(", ")),
        work: Work::Rules(policy, all),
    })
}

fn sets_step(policy: Policy, all: Vec<&SetChange>) -> Option<Step<'_>> {
    let names: Vec<&str> = all.iter().map(|set| set.name.as_str()).collect();
    (!all.is_empty()).then(|| Step {
        what: format!("sets of {policy}: {}", names.join(", ")),
        work: Work::Sets(policy, all),
    })
}
