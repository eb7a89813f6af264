//! The first half of the start: everything that requires privileges, which are dropped at its end.

use std::{
    os::{fd::OwnedFd, unix::net::UnixListener},
    sync::Arc,
};

use couic_files::check_working_dir;
use couic_plugin_host::Spawner;
use couic_privsep::{Hardening, check_capabilities, drop_privileges};

use super::{
    StartError, landlock, privilege, rules::Rules, state::UnsavedState, supervisor::Supervisor,
};
use crate::{
    api::ListeningSocket,
    attach::{Attacher, AttacherError, LOCK_FILES, LinkStore, Setup, WorkLock},
    config::Config,
    logging::Log,
    rbac::ClientStore,
};

/// The links from systemd's descriptor store, by name.
pub(super) type StoredLinks = Vec<(String, OwnedFd)>;

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

/// The checks and locks of files, before any privileged call.
fn claim(config: &Config) -> Result<(ClientStore, WorkLock), StartError> {
    check_working_dir(&config.working_dir, &config.owner, &LOCK_FILES)?;
    let lock = WorkLock::acquire(&config.working_dir, &config.owner)?;
    ListeningSocket::check(&config.socket)?;
    let clients = ClientStore::open(&config.working_dir)?;
    Ok((clients, lock))
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
        privilege::make_inheritable(config)?;
        let mut attacher = start_attacher(config, &lock, supervisor, stored)?;
        let spawner = privilege::become_user(config)?;
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
