//! The rules that are in force before the first packet is matched: set files, and those of the previous daemon.

use std::sync::Arc;

use couic_common::{Policy, SetProblem};

use super::{StartError, filter::sets_problem, state};
use crate::{config::Config, needs::Needs};
use couic_firewall::{
    dataplane::{self, Loaded, XdpProgram},
    guard::Guard,
    journal::Registers,
    rules::{Firewall, FirewallError, SetCatalog, SetStore, SystemClock},
};

/// The rules, in the tables of a program that is not attached yet.
pub(super) struct Rules {
    pub(super) firewall: Arc<Firewall>,
    pub(super) sets: Arc<SetStore>,
    pub(super) problems: Vec<SetProblem>,
    /// Peering's registers of the previous daemon.
    pub(super) registers: Registers,
    /// The addresses that the guard rails keep reachable.
    pub(super) needs: Needs,
}

impl Rules {
    /// Loads the program, and the rules into its tables.
    pub(super) fn load(config: &Config) -> Result<(Self, XdpProgram), StartError> {
        let Loaded {
            plane,
            counters,
            program,
        } = dataplane::load(config.limits.with_reload_headroom(), config.rule_counters)
            .map_err(|error| StartError::load(&error, &config.working_dir))?;
        let clock = Arc::new(SystemClock);
        let firewall = Firewall::new(plane, counters, config.limits, clock);
        let needs = Needs::new(config);
        firewall.set_guard(Guard::with_source(
            config.guard.enforce,
            config.guard.off,
            Box::new(needs.clone()),
        ));
        let (sets, catalog, problems) = load_sets(config, &firewall)?;
        let registers = if config.persist {
            state::restore(&config.working_dir, &firewall)?
        } else {
            state::warn_of_unused(&config.working_dir);
            Registers::new()
        };
        keep_rails(&firewall, catalog);
        let rules = Self {
            firewall: Arc::new(firewall),
            sets: Arc::new(sets),
            problems,
            registers,
            needs,
        };
        Ok((rules, program))
    }
}

/// A set that cannot be read, or sets that exceed the limits, do not fail the start.
fn load_sets(
    config: &Config,
    firewall: &Firewall,
) -> Result<(SetStore, SetCatalog, Vec<SetProblem>), StartError> {
    let sets = SetStore::open(&config.working_dir).map_err(StartError::Sets)?;
    let sets = sets.for_limits(config.limits);
    let (catalog, mut problems) = sets.load_lenient();
    match firewall.replace_sets(&catalog) {
        Ok(change) => tracing::info!("{} rules from set files", change.total),
        Err(error) => {
            let policy = match &error {
                FirewallError::Full { policy, .. } | FirewallError::TooManyTags { policy, .. } => {
                    *policy
                }
                _ => Policy::Drop,
            };
            problems.push(sets_problem(policy, format!("no set is in force: {error}")));
        }
    }
    for problem in &problems {
        tracing::error!("a set file is not loaded: {}", problem.message);
    }
    Ok((sets, catalog, problems))
}

/// Takes out what the guard rails refuse. After the rules on disk are restored, so that it is judged with those that
/// protect, and before the first packet.
fn keep_rails(firewall: &Firewall, mut catalog: SetCatalog) {
    let Some(guard) = firewall.guard() else {
        return;
    };
    let check = guard.for_sets_and_peers();
    match check.sift(firewall, &mut catalog) {
        Ok((permit, refused)) => {
            if !refused.is_empty()
                && let Err(error) = firewall.replace_sets(&catalog)
            {
                tracing::error!("set entries that the guard rails refuse stay in force: {error}");
            }
            drop(permit);
            guard.loaded(refused, catalog.cut_off());
        }
        // Nothing was in force before, so nothing can have been taken away.
        Err(refusal) => tracing::error!("{refusal}"),
    }
}
