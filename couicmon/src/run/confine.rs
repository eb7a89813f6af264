//! What this process may do: it reads lines that anyone on the internet can write, so it may do little.
//!
//! What holds from here on, on every thread, and for journalctl:
//! - It is not root, and has no capability, whatever it was started with; nothing it executes gains any.
//! - Landlock: it reads the directories of its sources, its configuration and what the C library needs, and writes its state and its
//!   own sockets. Programs are executed from the system's directories only, and only with a source of the journal.
//! - seccomp: no change of user, no BPF, mounts, modules, namespaces or memory of others; without a source of the
//!   journal no other program, and no signals to other processes.
//!
//! Called before any thread is started, as Linux keeps all of this per thread.

use std::{
    fs, io, iter,
    os::{
        fd::AsFd,
        unix::fs::{PermissionsExt, lchown},
    },
    path::{Path, PathBuf},
};

use couic_privsep::{
    Caps, Sets, ThreadStep, files::Files, groups, hide_memory, lower_bounding, seccomp, threads,
};
use couic_tail::Source;
use nix::unistd::{User, geteuid, initgroups, setresgid, setresuid};
use tracing::{info, warn};

use crate::config::{Config, SourceConfig};

/// Read by the C library: name services, time zones; and by journalctl.
const SYSTEM: &[&str] = &[
    "/etc",
    "/proc",
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/dev/urandom",
    "/run/NetworkManager",
    "/run/nscd",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/mnt/wsl/resolv.conf",
];

/// Read by journalctl.
const JOURNAL: &[&str] = &[
    "/var/log/journal",
    "/run/log/journal",
    "/run/systemd/journal",
];

/// Where programs are.
const PROGRAMS: &[&str] = &[
    "/usr",
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
];

/// Targets of the links in `/var/log/containers`.
const CONTAINERS: &[&str] = &[
    "/var/log/pods",
    "/var/lib/docker/containers",
    "/var/log/containers",
];

/// Why this process must not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfineError {
    /// Root without a user to become.
    #[error(
        "couicmon does not run as root: start it by its unit (systemctl start couicmon), or set user = \"couicmon\" in the configuration"
    )]
    Root,
    /// The user does not exist, or is root.
    #[error("the configured user {user:?} {problem}")]
    User {
        /// Its name.
        user: String,
        /// What is wrong.
        problem: String,
    },
    /// A system call failed.
    #[error("cannot {doing}: {source}")]
    Step {
        /// What failed.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A thread kept a privilege.
    #[error("a thread has kept privileges after they were given up, which is a bug")]
    Kept,
}

/// Which directories sources may be read from until the next start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Readable {
    /// None if they are not limited.
    dirs: Option<Vec<PathBuf>>,
    /// Whether programs may be executed.
    programs: bool,
}

impl Readable {
    /// Without any limit: for tests within one process.
    #[cfg(test)]
    pub(crate) fn everything() -> Self {
        Self {
            dirs: None,
            programs: true,
        }
    }

    /// Why a source of a new configuration cannot be read before a restart.
    pub(crate) fn lacks(&self, source: &SourceConfig) -> Option<String> {
        let allowed = self.dirs.as_ref()?;
        if matches!(source.input, Source::Journal { .. }) && !self.programs {
            return Some(
                "the journal is read by a program, and this process gave up executing any"
                    .to_owned(),
            );
        }
        let outside = dirs(source)
            .into_iter()
            .find(|dir| !allowed.iter().any(|a| dir.starts_with(a)));
        outside.map(|dir| format!("this process gave up reading {}", dir.display()))
    }
}

/// Confines this process, which has one thread.
///
/// # Errors
/// [`ConfineError`]: it must not go on then. Landlock and seccomp may be missing on old kernels, which is logged.
pub(crate) fn confine(config: &Config, config_file: &Path) -> Result<Readable, ConfineError> {
    become_user(config)?;
    let nothing = ThreadStep::sets(Sets::NONE).no_new_privs();
    nothing.here().map_err(step("give up capabilities"))?;
    hide_memory().map_err(step("hide the memory"))?;
    let all = threads().map_err(step("read /proc/self/task"))?;
    if !all
        .iter()
        .all(|thread| thread.is_powerless() && thread.no_new_privs)
    {
        return Err(ConfineError::Kept);
    }
    let journal = config
        .sources
        .iter()
        .any(|s| matches!(s.input, Source::Journal { .. }));
    let landlock = enter(nothing, &files(config, config_file, journal));
    let landlock = landlock.unwrap_or_else(|error| {
        warn!("cannot confine couicmon to its files (Landlock): {error}; it runs without this protection");
        false
    });
    let filtered = install(journal).inspect_err(|error| {
        warn!(
            "cannot filter system calls (seccomp): {error}; couicmon runs without this protection"
        );
    });
    info!(
        "no capabilities, no_new_privs, Landlock {}, seccomp {}",
        if landlock { "yes" } else { "no" },
        if filtered.is_ok() { "yes" } else { "no" }
    );
    let dirs = landlock.then(|| config.sources.iter().flat_map(dirs).collect());
    Ok(Readable {
        dirs,
        programs: journal || filtered.is_err() && !landlock,
    })
}

fn step(doing: &'static str) -> impl FnOnce(io::Error) -> ConfineError {
    move |source| ConfineError::Step { doing, source }
}

/// From root to the configured user, with all its groups: those that may read logs.
fn become_user(config: &Config) -> Result<(), ConfineError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let name = config.user.as_ref().ok_or(ConfineError::Root)?;
    let wrong = |problem: String| ConfineError::User {
        user: name.clone(),
        problem,
    };
    let user = match User::from_name(name) {
        Ok(Some(user)) if user.uid.is_root() => return Err(wrong("is root".to_owned())),
        Ok(Some(user)) => user,
        Ok(None) => {
            return Err(wrong(
                "does not exist: useradd --system couicmon makes one".to_owned(),
            ));
        }
        Err(error) => return Err(wrong(format!("cannot be looked up: {error}"))),
    };
    let given =
        std::ffi::CString::new(name.as_bytes()).map_err(|_| wrong("is no name".to_owned()))?;
    // What systemd makes by StateDirectory= and RuntimeDirectory=.
    for dir in iter::once(&*config.state_dir).chain(config.control.parent()) {
        if !dir.exists() {
            let made = fs::create_dir(dir).and_then(|()| {
                fs::set_permissions(dir, fs::Permissions::from_mode(0o750))?;
                lchown(dir, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            });
            made.map_err(|error| wrong(format!("cannot be given {}: {error}", dir.display())))?;
        }
    }
    // Before the user changes: it takes CAP_SETPCAP.
    lower_bounding(Caps::NONE).map_err(step("empty the bounding set of capabilities"))?;
    let switched = initgroups(&given, user.gid)
        .and_then(|()| setresgid(user.gid, user.gid, user.gid))
        .and_then(|()| setresuid(user.uid, user.uid, user.uid));
    switched.map_err(|error| wrong(format!("cannot be switched to: {error}")))?;
    info!("running as user {name} from here on");
    Ok(())
}

fn enter(nothing: ThreadStep, files: &Files) -> io::Result<bool> {
    let Some(domain) = files.domain()? else {
        warn!(
            "this kernel has no Landlock (Linux 5.13 and later, enabled by lsm= at boot): couicmon can open every file that its user can"
        );
        return Ok(false);
    };
    nothing.domain(domain.as_fd()).here()?;
    Ok(true)
}

fn files(config: &Config, config_file: &Path, journal: bool) -> Files {
    let mut files = Files::default().write(&config.state_dir).write("/dev/null");
    let sockets = config
        .sources
        .iter()
        .filter_map(|source| match &source.input {
            Source::Unix(path) => path.parent(),
            _ => None,
        });
    for dir in sockets.chain(config.control.parent()) {
        files = files.write(dir);
    }
    let tokens = [
        config.token_file.parent(),
        config_file.parent(),
        config.socket.parent(),
    ];
    for path in tokens.into_iter().flatten() {
        files = files.read(path);
    }
    for path in config.sources.iter().flat_map(dirs) {
        files = files.read(path);
    }
    files = SYSTEM.iter().fold(files, |files, path| files.read(*path));
    if journal {
        files = JOURNAL.iter().fold(files, |files, path| files.read(*path));
        files = PROGRAMS
            .iter()
            .fold(files, |files, path| files.execute(*path));
    }
    files
}

/// The directories that a source reads: of its patterns the part without wildcards, as far as it exists, and those that
/// links in it lead to.
fn dirs(source: &SourceConfig) -> Vec<PathBuf> {
    let Source::File { patterns } = &source.input else {
        return Vec::new();
    };
    let mut dirs = Vec::new();
    for pattern in patterns {
        let fixed = pattern.split(['*', '?', '[']).next().unwrap_or(pattern);
        let fixed = Path::new(fixed.rsplit_once('/').map_or("/", |(dir, _)| dir));
        // Not the root: everything would be readable.
        let there = fixed
            .ancestors()
            .find(|dir| dir.is_dir() && dir.parent().is_some());
        if let Some(dir) = there {
            dirs.extend(dir.canonicalize());
            dirs.extend(linked(dir));
        }
        if CONTAINERS.iter().any(|dir| fixed.starts_with(dir)) {
            dirs.extend(CONTAINERS.iter().map(PathBuf::from));
        }
    }
    dirs.sort();
    dirs.dedup();
    dirs
}

/// Directories of files that links in this one lead to: `access.log -> /data/logs/access.log`.
fn linked(dir: &Path) -> Vec<PathBuf> {
    /// Most entries that are looked at.
    const MOST: usize = 10_000;
    let entries = fs::read_dir(dir).into_iter().flatten().take(MOST).flatten();
    let links = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
    let targets = links.filter_map(|link| link.path().canonicalize().ok());
    let files = targets.filter(|target| target.is_file());
    let dirs = files.filter_map(|file| Some(file.parent()?.to_owned()));
    dirs.filter(|dir| dir.parent().is_some()).collect()
}

fn install(journal: bool) -> io::Result<()> {
    let mut refused = seccomp::Calls::default()
        .all(groups::KERNEL_ADMIN)
        .all(groups::CREDENTIALS);
    if !journal {
        refused = groups::refuse_owner_signals(refused.all(groups::EXEC).all(groups::SIGNALS));
    }
    seccomp::refuse(&refused)?.install(true)
}
