//! A program beside the daemon, which handles what strangers write: log lines, lists from the net.
//!
//! What holds after [`become_program_user`] and [`confine_program`], whatever the program was started with: it is not root,
//! no thread has a capability, nothing it executes gains any, its memory is hidden, and Landlock and seccomp bound the rest
//! as far as this kernel has them. Both are called before any thread is started, as Linux keeps all of this per thread.

use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::AsFd,
        unix::fs::{PermissionsExt, lchown},
    },
    path::Path,
};

use nix::unistd::{User, geteuid, initgroups, setresgid, setresuid};
use tracing::{info, warn};

use crate::{
    Caps, Sets, ThreadStep,
    files::{self, Files},
    hide_memory, lower_bounding, seccomp, threads,
};

/// Why a program must not go on.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// Root without a user to become.
    #[error(
        "{program} does not run as root: start it by its unit (systemctl start {program}), or set user = \"{program}\" in the configuration"
    )]
    Root {
        /// The program.
        program: &'static str,
    },
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

/// What this kernel had for the confinement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confined {
    /// The version of Landlock in force; None without it.
    pub landlock: Option<i64>,
    /// Whether system calls are filtered.
    pub seccomp: bool,
}

/// From root to the configured user with all its groups, those that may read logs or open the daemon's socket among them.
/// Makes `dirs` for it first, as far as they are missing: what systemd does by `StateDirectory=` and `RuntimeDirectory=`.
/// Without effect if this is not root.
///
/// # Errors
/// [`ConfineError`].
pub fn become_program_user<'d>(
    program: &'static str,
    user: Option<&str>,
    dirs: impl IntoIterator<Item = &'d Path>,
) -> Result<(), ConfineError> {
    if !geteuid().is_root() {
        return Ok(());
    }
    let name = user.ok_or(ConfineError::Root { program })?;
    let wrong = |problem: String| ConfineError::User {
        user: name.to_owned(),
        problem,
    };
    let user = match User::from_name(name) {
        Ok(Some(user)) if user.uid.is_root() => return Err(wrong("is root".to_owned())),
        Ok(Some(user)) => user,
        Ok(None) => {
            return Err(wrong(format!(
                "does not exist: useradd --system {program} makes one"
            )));
        }
        Err(error) => return Err(wrong(format!("cannot be looked up: {error}"))),
    };
    let given = CString::new(name).map_err(|_| wrong("is no name".to_owned()))?;
    for dir in dirs {
        make(dir, &user)
            .map_err(|error| wrong(format!("cannot be given {}: {error}", dir.display())))?;
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

fn make(dir: &Path, user: &User) -> io::Result<()> {
    if dir.exists() {
        return Ok(());
    }
    fs::create_dir(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o750))?;
    lchown(dir, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
}

/// Gives up every capability, and confines the program, which has one thread, to `files` and to calls other than `refused`.
/// What this kernel lacks for the latter two is logged.
///
/// # Errors
/// [`ConfineError`]: it must not go on then.
pub fn confine_program(
    program: &'static str,
    files: &Files,
    refused: &seccomp::Calls,
) -> Result<Confined, ConfineError> {
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
    let landlock = enter(program, nothing, files).unwrap_or_else(|error| {
        warn!("cannot confine {program} to its files (Landlock): {error}; it runs without this protection");
        None
    });
    let filtered = seccomp::refuse(refused).and_then(|filter| filter.install(true));
    if let Err(error) = &filtered {
        warn!(
            "cannot filter system calls (seccomp): {error}; {program} runs without this protection"
        );
    }
    let seccomp = filtered.is_ok();
    info!(
        "no capabilities, no_new_privs, Landlock {}, seccomp {}",
        landlock.map_or("no".to_owned(), |version| format!("version {version}")),
        if seccomp { "yes" } else { "no" }
    );
    Ok(Confined { landlock, seccomp })
}

fn step(doing: &'static str) -> impl FnOnce(io::Error) -> ConfineError {
    move |source| ConfineError::Step { doing, source }
}

fn enter(program: &str, nothing: ThreadStep, files: &Files) -> io::Result<Option<i64>> {
    let Some(domain) = files.domain()? else {
        warn!(
            "this kernel has no Landlock (Linux 5.13 and later, enabled by lsm= at boot): {program} can open every file that its user can"
        );
        return Ok(None);
    };
    nothing.domain(domain.as_fd()).here()?;
    Ok(Some(files::version()))
}
