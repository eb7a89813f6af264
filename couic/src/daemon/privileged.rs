//! The first half of the start: everything that requires privileges, which are dropped at its end.

use std::{
    os::{fd::OwnedFd, unix::net::UnixListener},
    sync::Arc,
};

use couic_files::{Account, check_working_dir, inspect_log_dir, inspect_working_dir};
use couic_plugin_host::Spawner;
use couic_privsep::{Hardening, become_configured_user, check_capabilities, drop_privileges};
use nix::unistd::geteuid;

use super::{
    StartError, landlock, reload::ConfigFile, rules::Rules, state::UnsavedState,
    supervisor::Supervisor,
};
use crate::{
    api::ListeningSocket,
    attach::{Attacher, AttacherError, LOCK_FILES, LinkStore, Setup, WorkLock},
    config::Config,
    exporter::Exporter,
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

/// What isolation of plugins lacks, for health: only root can start a process as another user.
fn shared_user(owner: &Account) -> String {
    let user = &owner.user;
    format!(
        "isolated notifiers run as {user}, the daemon's own user, since couic was not started as root: they can read the tokens of clients; install only plugins that may"
    )
}

/// The parts whose creation requires privileges. The privileges are dropped once it exists.
pub(super) struct Privileged {
    pub(super) clients: ClientStore,
    pub(super) lock: WorkLock,
    pub(super) listener: UnixListener,
    pub(super) socket: ListeningSocket,
    pub(super) exporter: Option<Exporter>,
    pub(super) attacher: Attacher,
    pub(super) spawner: Option<Spawner>,
    pub(super) rules: Rules,
    pub(super) unsaved: UnsavedState,
    pub(super) hardening: Hardening,
    pub(super) missing_features: Vec<String>,
    /// For health: what is not as safe as it could be.
    pub(super) notes: Vec<String>,
}

impl Privileged {
    pub(super) fn start(
        config: &Config,
        log: &Log,
        supervisor: Option<&Arc<Supervisor>>,
        stored: StoredLinks,
        file: &ConfigFile,
    ) -> Result<Self, StartError> {
        let (clients, lock) = claim(config)?;
        check_capabilities(&config.owner)?;
        let problems = log.problems().chain(clients.problem());
        let problems = problems.map(str::to_owned).collect();
        let unsaved = UnsavedState::found(&config.working_dir, problems);
        // Before root is dropped, which may be needed to create its directory. Early connections wait for the API.
        let (listener, socket) = ListeningSocket::bind(&config.socket, &config.owner)?;
        // Before root is dropped, too, which ports below 1024 need.
        let exporter = config.metrics_listen.map(Exporter::bind);
        make_inheritable(config)?;
        let mut attacher = start_attacher(config, &lock, supervisor, stored)?;
        let was_root = geteuid().is_root();
        let spawner = become_user(config)?;
        let shares = spawner.is_some() && !was_root;
        let shares = shares.then(|| shared_user(&config.owner));
        shares.iter().for_each(|note| tracing::warn!("{note}"));
        let (rules, program) = Rules::load(config)?;
        let missing_features = program.missing();
        if !missing_features.is_empty() {
            tracing::info!("{}", missing_features.join("; "));
        }
        attacher.send_programs(&program)?;
        let hardening = drop_privileges(&landlock::files(config, &file.readable()))?;
        let notes = hardening.notes().into_iter().chain(shares).collect();
        Ok(Self {
            clients,
            lock,
            listener,
            socket,
            exporter,
            attacher,
            spawner,
            rules,
            unsaved,
            hardening,
            missing_features,
            notes,
        })
    }
}
