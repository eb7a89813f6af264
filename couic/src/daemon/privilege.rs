//! The steps of the start at which privileges go.

use couic_files::{inspect_log_dir, inspect_working_dir};
use couic_plugin_host::Spawner;
use couic_privsep::lower_to_user;
use nix::unistd::geteuid;

use super::StartError;
use crate::{config::Config, reporting::start_spawner};

/// Lets programs that this process starts have what filtering takes, where it is the configured user's already and was
/// given no more than that for itself.
pub(super) fn hand_on(config: &Config) -> Result<(), StartError> {
    if !geteuid().is_root() {
        lower_to_user(&config.owner)?;
    }
    Ok(())
}

/// Makes the process the configured user's, after it has done the last things that only root can. Answers the process
/// that starts isolated notifiers, where there are any.
pub(super) fn become_user(config: &Config) -> Result<Option<Spawner>, StartError> {
    inspect_working_dir(&config.working_dir, &config.owner);
    inspect_log_dir(&config.logging.dir, &config.owner);
    let spawner = start_spawner(&config.reporting, &config.plugins_dir, &config.owner).map_err(
        StartError::system("start the process that starts isolated notifiers"),
    )?;
    lower_to_user(&config.owner)?;
    Ok(spawner)
}
