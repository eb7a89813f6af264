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
    fs, iter,
    path::{Path, PathBuf},
};

use couic_privsep::{
    ConfineError, become_program_user, confine_program, files::Files, groups, seccomp::Calls,
};
use couic_tail::Source;

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
    const NAME: &str = "couicmon";
    let dirs = iter::once(&*config.state_dir).chain(config.control.parent());
    become_program_user(NAME, config.user.as_deref(), dirs)?;
    let journal = config
        .sources
        .iter()
        .any(|s| matches!(s.input, Source::Journal { .. }));
    let files = files(config, config_file, journal);
    let confined = confine_program(NAME, &files, &refused(journal))?;
    let is_bounded = confined.landlock.is_some();
    Ok(Readable {
        dirs: is_bounded.then(|| config.sources.iter().flat_map(self::dirs).collect()),
        programs: journal || !confined.seccomp && !is_bounded,
    })
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

fn refused(journal: bool) -> Calls {
    let refused = Calls::default()
        .all(groups::KERNEL_ADMIN)
        .all(groups::CREDENTIALS);
    match journal {
        true => refused,
        false => groups::refuse_owner_signals(refused.all(groups::EXEC).all(groups::SIGNALS)),
    }
}
