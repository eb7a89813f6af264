//! The steps of the start that drop privileges.

use couic_files::{inspect_log_dir, inspect_working_dir};
use couic_plugin_host::Spawner;
use couic_privsep::become_configured_user;
use nix::unistd::geteuid;

use super::StartError;
use crate::{config::Config, reporting::start_spawner};

/// Grants child processes the capabilities they need if the daemon already runs as the configured user.
pub(super) fn make_inheritable(config: &Config) -> Result<(), StartError> {
    if !geteuid().is_root() {
        become_configured_user(&config.owner)?;
    }
    Ok(())
}

/// Switches to the configured user, after the last steps that require root. Returns the spawner of isolated notifiers,
/// if there are any.
pub(super) fn become_user(config: &Config) -> Result<Option<Spawner>, StartError> {
    inspect_working_dir(&config.working_dir, &config.owner);
    inspect_log_dir(&config.logging.dir, &config.owner);
    let spawner = start_spawner(&config.reporting, &config.plugins_dir, &config.owner).map_err(
        StartError::system("start the process that starts isolated notifiers"),
    )?;
    become_configured_user(&config.owner)?;
    Ok(spawner)
}
