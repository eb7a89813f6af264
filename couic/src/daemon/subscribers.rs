//! Subscribers of the rules: reporting and peering.

use std::{fs, sync::Arc};

use couic_common::counted;
use couic_plugin_host::Spawner;
use tokio::runtime::Runtime;

use super::{LOG_FLUSH, StartError};
use crate::{config::Config, peering::Peering, reporting::Reporting};
use couic_firewall::{journal::Registers, rules::Firewall};

/// Call it after the rules are loaded: a restart is not a change to report.
pub(super) fn start_reporting(
    config: &Config,
    runtime: &Runtime,
    firewall: &Firewall,
    spawner: Option<Spawner>,
) -> Result<Option<Reporting>, StartError> {
    if !config.reporting.enabled {
        return Ok(None);
    }
    let source = config.reporting.name.clone().unwrap_or_else(host_name);
    let (reporting, failed) = runtime.block_on(Reporting::start(
        &config.reporting,
        &config.plugins_dir,
        &config.working_dir,
        &source,
        firewall,
        spawner,
    ))?;
    for notifier in failed {
        tracing::error!(
            "the notifier {} does not start, its notifications are spooled: {}",
            notifier.name,
            notifier.reason
        );
    }
    tracing::info!("reporting rule changes");
    Ok(Some(reporting))
}

/// Call it before the first request is answered, so that peers learn of every change.
pub(super) fn start_peering(
    config: &Config,
    runtime: &Runtime,
    firewall: &Arc<Firewall>,
    registers: Registers,
) -> Result<Option<Peering>, StartError> {
    if !config.peering.enabled {
        return Ok(None);
    }
    let firewall = Arc::clone(firewall);
    let peering = Peering::start(
        &config.peering,
        &config.working_dir,
        (firewall, registers),
        runtime.handle(),
    )?;
    let peers = config.peering.peers.len();
    let peers = counted(peers as u64, "configured peer", "configured peers");
    tracing::info!("sharing rules with {peers}");
    Ok(Some(peering))
}

fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "couic".to_owned(),
        name => name.to_owned(),
    }
}

pub(super) fn stop_reporting(runtime: &Runtime, reporting: Reporting) {
    for left in runtime.block_on(reporting.stop(LOG_FLUSH)) {
        tracing::warn!(
            "{} for {} spooled for the next start",
            counted(left.events as u64, "notification", "notifications"),
            left.name
        );
    }
}
