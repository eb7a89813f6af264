//! The first half of the start: everything that requires privileges, which are dropped at its end.

use std::{
    os::{fd::OwnedFd, unix::net::UnixListener},
    sync::Arc,
};

use couic_files::{check_working_dir, inspect_log_dir, inspect_working_dir};
use couic_plugin_host::Spawner;
use couic_privsep::{Hardening, become_configured_user, check_capabilities, drop_privileges};
use nix::unistd::geteuid;

use super::{StartError, landlock, rules::Rules, state::UnsavedState, supervisor::Supervisor};
use crate::{
    api::ListeningSocket,
    attach::{Attacher, AttacherError, LOCK_FILES, LinkStore, Setup, WorkLock},
    config::Config,
    logging::Log,
    rbac::ClientStore,
    reporting::start_spawner,
};

/// The links from systemd's descriptor store, by name.
pub(super) type StoredLinks = Vec<(String, OwnedFd)>;

/// The checks and locks of files, before any privileged call.
fn claim(config: &Config) -> Result<(ClientStore, WorkLock), StartError> {
    check_working_dir(&config.working_dir, &config.owner, &LOCK_FILES)?;
    let lock = WorkLock::acquire(&config.working_dir, &config.owner)?;
    ListeningSocket::check(&config.socket)?;
    let clients = ClientStore::open(&config.working_dir)?;
    Ok((clients, lock))
}

/// Grants child processes the capabilities they need if the daemon already runs as the configured user.
fn make_inheritable(config: &Config) -> Result<(), StartError> {
    if !geteuid().is_root() {
        become_configured_user(&config.owner)?;
    }
    Ok(())
}

/// Starts the attacher while it can still inherit capabilities. No attachment changes yet.
fn start_attacher(
    config: &Config,
    lock: &WorkLock,
    supervisor: Option<&Arc<Supervisor>>,
    stored: StoredLinks,
) -> Result<Attacher, AttacherError> {
    let store = supervisor.filter(|s| s.has_store());
    let store = store.map(|s| Arc::clone(s) as Arc<dyn LinkStore>);
    Attacher::start(&Setup::of(config), lock, store, stored)
}

/// Switches to the configured user, after the last steps that require root. Returns the spawner of isolated notifiers,
/// if there are any.
fn become_user(config: &Config) -> Result<Option<Spawner>, StartError> {
    inspect_working_dir(&config.working_dir, &config.owner);
    inspect_log_dir(&config.logging.dir, &config.owner);
    let spawner = start_spawner(&config.reporting, &config.plugins_dir, &config.owner).map_err(
        StartError::system("start the process that starts isolated notifiers"),
    )?;
    become_configured_user(&config.owner)?;
    Ok(spawner)
}

/// The parts whose creation requires privileges. The privileges are dropped once it exists.
pub(super) struct Privileged {
    pub(super) clients: ClientStore,
    pub(super) lock: WorkLock,
    pub(super) listener: UnixListener,
    pub(super) socket: ListeningSocket,
    pub(super) attacher: Attacher,
    pub(super) spawner: Option<Spawner>,
    pub(super) rules: Rules,
    pub(super) unsaved: UnsavedState,
    pub(super) hardening: Hardening,
    pub(super) missing_features: Vec<String>,
}

impl Privileged {
    pub(super) fn start(
        config: &Config,
        log: &Log,
        supervisor: Option<&Arc<Supervisor>>,
        stored: StoredLinks,
    ) -> Result<Self, StartError> {
        let (clients, lock) = claim(config)?;
        check_capabilities(&config.owner)?;
        let problems = [log.problem(), clients.problem()].into_iter().flatten();
        let problems = problems.map(str::to_owned).collect();
        let unsaved = UnsavedState::found(&config.working_dir, problems);
        // Before root is dropped, which may be needed to create its directory. Early connections wait for the API.
        let (listener, socket) = ListeningSocket::bind(&config.socket, &config.owner)?;
        make_inheritable(config)?;
        let mut attacher = start_attacher(config, &lock, supervisor, stored)?;
        let spawner = become_user(config)?;
        let (rules, program) = Rules::load(config)?;
        let missing_features = program.missing();
        if !missing_features.is_empty() {
            tracing::info!("{}", missing_features.join("; "));
        }
        attacher.send_programs(&program)?;
        let hardening = drop_privileges(&landlock::files(config), &[attacher.pid()])?;
        Ok(Self {
            clients,
            lock,
            listener,
            socket,
            attacher,
            spawner,
            rules,
            unsaved,
            hardening,
            missing_features,
        })
    }
}
