//! Applies the steps in order. The first that fails ends it: what was done stays, and a second run continues there. A
//! restart or a reload that fails is for the operator to repeat, since a second run finds nothing that differs: the error
//! has its command.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use couic_client::Client;
use couic_common::{ClientInfo, ClientLimits, Group, HealthStatus, Policy};
use couic_files::replace_file;
use nix::unistd;

use super::{host::Daemon, step::Step};
use crate::{
    config::{Settings, Target},
    connect,
    failure::Failure,
    token_file::TokenFile,
};

/// Applies all steps, and prints each when it is done unless `quiet`.
pub(super) async fn all(steps: &[Step], daemon: &Daemon, quiet: bool) -> Result<(), Failure> {
    for step in steps {
        if let Err(why) = daemon.apply(step).await {
            let next = match step {
                Step::Restart | Step::Reload | Step::Fail2ban => "run the command in brackets",
                _ => "run couicctl setup again",
            };
            return Err(Failure::Failed(format!(
                "could not {step}\n  {}\n  the steps before are done: correct this, and {next}",
                why.replace('\n', "\n  ")
            )));
        }
        if !quiet {
            println!("done: {step}");
        }
    }
    Ok(())
}

impl Daemon {
    async fn apply(&self, step: &Step) -> Result<(), String> {
        match step {
            Step::User { name } => create_user(name, &self.installed.working_dir),
            Step::Directory {
                path,
                mode,
                owner,
                group,
            } => directory(path, *mode, owner, group).map_err(|e| said(path, &e)),
            Step::Configuration {
                path, text, group, ..
            } => configuration(path, text, group),
            Step::File {
                path, text, owner, ..
            } => file(path, text, owner.as_ref()).map_err(|e| said(path, &e)),
            Step::Start => {
                call("systemctl", &["daemon-reload"])?;
                call("systemctl", &["enable", "--now", "couic"]).map_err(|why| journal(&why))
            }
            Step::Enable => call("systemctl", &["enable", "couic"]),
            Step::Restart => call("systemctl", &["restart", "couic"]).map_err(|why| journal(&why)),
            // A reload alone would leave bans of the former action undone: it unbans, and the new one bans what comes.
            Step::Fail2ban => call("fail2ban-client", &["reload", "--restart", "--all"]),
            Step::Fail2banClient { token } => {
                let limits = ClientLimits {
                    policies: Some(vec![Policy::Drop]),
                    ..ClientLimits::default()
                };
                let (name, group) = ("fail2ban", Group::ClientRw);
                self.make_client(name, group, Some(&limits), token).await
            }
            Step::Fail2banToken { token } => self.replace_token("fail2ban", token).await,
            Step::Reload => {
                let status = self.client()?.reload_sets().await;
                status.map(drop).map_err(|e| Failure::from(e).text())
            }
            Step::Monitoring { token } => {
                let (name, group) = ("monitoring", Group::Monitoring);
                self.make_client(name, group, None, token).await
            }
        }
    }

    async fn make_client(
        &self,
        name: &str,
        group: Group,
        limits: Option<&ClientLimits>,
        token: &Path,
    ) -> Result<(), String> {
        let file = TokenFile::replacing(token, None).map_err(|e| e.text())?;
        let parsed = name.parse().map_err(|_| String::new())?;
        let client = self.client()?;
        let made = client.create_limited_client(&parsed, group, limits).await;
        let made = made.map_err(|e| Failure::from(e).text())?;
        keep(file, &made)
    }

    /// The former token ends at once: what is in the file is refused already.
    async fn replace_token(&self, name: &str, token: &Path) -> Result<(), String> {
        let file = TokenFile::replacing(token, None).map_err(|e| e.text())?;
        let parsed = name.parse().map_err(|_| String::new())?;
        let made = self.client()?.rotate_client(&parsed, 0).await;
        keep(file, &made.map_err(|e| Failure::from(e).text())?)
    }

    /// The daemon by its configuration, which need not be the one that couicctl uses by default.
    fn client(&self) -> Result<Client, String> {
        let settings = Settings {
            target: Target::Local {
                socket: self.installed.socket.clone(),
                client_file: self.client_file("couicctl"),
            },
            ..Settings::default()
        };
        let connected = connect::connect(&settings);
        connected
            .map(|(client, _)| client)
            .map_err(|failure| failure.text())
    }

    /// A sentence on the daemon's health, if it answers.
    pub(super) async fn health(&self) -> Option<String> {
        let health = self.client().ok()?.health().await.ok()?;
        let attached = health.interfaces.iter().filter(|i| i.attached);
        let names: Vec<_> = attached.map(|i| i.name.as_str()).collect();
        Some(match health.status {
            HealthStatus::Ok => format!("couic filters on {}.", names.join(", ")),
            _ => "couic runs, and something needs attention: couicctl health says what.".to_owned(),
        })
    }
}

/// Writes the token of a client that was made just now.
fn keep(file: TokenFile, made: &ClientInfo) -> Result<(), String> {
    let token = made.token.unwrap_or_default();
    file.write(&format!("{token}\n"))
        .map_err(|e| format!("{}\nrun couicctl clients rotate {}", e.text(), made.name))
}

fn said(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn journal(why: &str) -> String {
    format!("{why}\nsee journalctl -u couic -n 20")
}

/// Runs a program; on failure the error is what it wrote.
fn call(program: &str, arguments: &[&str]) -> Result<(), String> {
    let done = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let done = done.map_err(|e| format!("{program} cannot be run: {e}"))?;
    if done.status.success() {
        return Ok(());
    }
    let mut text = String::from_utf8_lossy(&done.stderr).into_owned();
    text.push_str(&String::from_utf8_lossy(&done.stdout));
    Err(format!(
        "{program} {} failed: {}",
        arguments.join(" "),
        text.trim()
    ))
}

fn create_user(name: &str, home: &Path) -> Result<(), String> {
    let home = home.display().to_string();
    let shell = ["/usr/sbin/nologin", "/sbin/nologin"];
    let shell = shell
        .into_iter()
        .find(|path| Path::new(path).exists())
        .unwrap_or("/bin/false");
    call(
        "useradd",
        &[
            "--system",
            "--user-group",
            "--no-create-home",
            "--home-dir",
            &home,
            "--shell",
            shell,
            name,
        ],
    )
}

/// The IDs of an account that exists by now.
fn ids(user: &str, group: &str) -> io::Result<(u32, u32)> {
    let absent = |what: &str, name: &str| io::Error::other(format!("there is no {what} {name}"));
    let uid = unistd::User::from_name(user)?
        .ok_or_else(|| absent("user", user))?
        .uid;
    let gid = unistd::Group::from_name(group)?
        .ok_or_else(|| absent("group", group))?
        .gid;
    Ok((uid.as_raw(), gid.as_raw()))
}

fn directory(path: &Path, mode: u32, user: &str, group: &str) -> io::Result<()> {
    let (uid, gid) = ids(user, group)?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    chown(path, Some(uid), Some(gid))
}

/// Creates the directories that a file is in.
fn parent_of(path: &Path) -> io::Result<()> {
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(parent)
}

/// Writes a file of its owner, or of root for all to read.
fn file(path: &Path, text: &str, owner: Option<&(String, String)>) -> io::Result<()> {
    parent_of(path)?;
    replace_file(
        path,
        if owner.is_some() { 0o640 } else { 0o644 },
        text.as_bytes(),
    )?;
    match owner {
        Some((user, group)) => {
            let (uid, gid) = ids(user, group)?;
            chown(path, Some(uid), Some(gid))
        }
        None => Ok(()),
    }
}

/// Puts the new configuration in place if the daemon accepts it, and keeps the old one beside it.
fn configuration(path: &Path, text: &str, group: &str) -> Result<(), String> {
    let check = |new: &str| call(&daemon_program(), &["-c", new, "--check-config"]);
    replace_if_accepted(path, text, group, check)
}

fn replace_if_accepted(
    path: &Path,
    text: &str,
    group: &str,
    check: impl Fn(&str) -> Result<(), String>,
) -> Result<(), String> {
    let beside = |end: &str| -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        name.into()
    };
    let new = beside(".new");
    let written = || {
        parent_of(path)?;
        replace_file(&new, 0o640, text.as_bytes())?;
        let (_, gid) = ids("root", group)?;
        chown(&new, Some(0), Some(gid))
    };
    written().map_err(|e| said(&new, &e))?;
    if let Err(why) = check(&new.display().to_string()) {
        let _ = fs::remove_file(&new);
        return Err(format!(
            "the daemon refuses it, and the old file is unchanged: {why}"
        ));
    }
    match fs::read(path) {
        Ok(old) => {
            let kept = beside(".old");
            replace_file(&kept, 0o600, &old).map_err(|e| said(&kept, &e))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(said(path, &error)),
    }
    fs::rename(&new, path).map_err(|e| said(path, &e))
}

/// The daemon that was installed with this couicctl, else the one in the search path.
fn daemon_program() -> String {
    let beside = std::env::current_exe()
        .ok()
        .and_then(|own| Some(own.parent()?.join("couic")));
    let found = beside.filter(|path| path.is_file());
    found.map_or_else(|| "couic".to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests;
