//! Checks of the local files of daemon and couicctl: existence, ownership and mode.

use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use nix::unistd::{Uid, User};

use super::Check;
use crate::{config::Target, installed::Installed};

/// Checks the daemon's files. None if its configuration cannot be read.
pub(super) fn daemon(config: &Path, checks: &mut Vec<Check>) -> Option<Installed> {
    let shown = config.display();
    let text = match fs::read_to_string(config) {
        Ok(text) => text,
        Err(error) => {
            checks.push(unreadable("config", config, &error));
            return None;
        }
    };
    let Some(installed) = read(&text) else {
        let check = Check::fail(
            "config",
            format!("{shown} is not TOML, or lists no interfaces"),
        );
        checks.push(check.advise(format!("run couic -c {shown} --check-config")));
        return None;
    };
    checks.push(match fs::metadata(config).map(|found| found.mode()) {
        Ok(mode) if mode & 0o022 != 0 => {
            Check::fail("config", format!("others may write to {shown}"))
                .advise(format!("chmod go-w {shown}"))
        }
        _ => Check::ok("config", format!("{shown} can be read")),
    });
    checks.push(working_dir(&installed));
    checks.push(socket(&installed.socket));
    Some(installed)
}

/// None if the text is not TOML, or lists no interfaces.
fn read(text: &str) -> Option<Installed> {
    let table: toml::Table = toml::from_str(text).ok()?;
    table.get("ifaces")?.as_array()?;
    Some(Installed::of(&table))
}

fn unreadable(check: &str, path: &Path, error: &io::Error) -> Check {
    let found = format!("{}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::PermissionDenied => Check::skip(check, found).advise("run this as root"),
        io::ErrorKind::NotFound => Check::warn(check, found).advise(
            "pass the daemon's configuration with --daemon-config, so that its files can be checked",
        ),
        _ => Check::fail(check, found),
    }
}

fn working_dir(installed: &Installed) -> Check {
    let Installed {
        working_dir: path,
        user,
        ..
    } = installed;
    let (name, shown) = ("working_dir", path.display());
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Check::fail(name, format!("{shown} does not exist"))
                .advise(format!("install -d -m 0750 -o {user} {shown}"));
        }
        Err(error) => return unreadable(name, path, &error),
    };
    let owner = User::from_uid(Uid::from_raw(found.uid())).ok().flatten();
    let owner = owner.map_or_else(|| found.uid().to_string(), |user| user.name);
    if owner != *user {
        Check::fail(name, format!("{shown} is owned by {owner}, not by {user}"))
            .advise(format!("chown -R {user} {shown}"))
    } else if found.mode() & 0o022 != 0 {
        Check::fail(
            name,
            format!("others may write to {shown}: write access there gives administrator rights"),
        )
        .advise(format!("chmod go-w {shown}"))
    } else {
        Check::ok(
            name,
            format!("{shown} is owned by {user} and not writable by others"),
        )
    }
}

fn socket(path: &Path) -> Check {
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            Check::fail("socket", format!("{shown} is not a socket"))
                .advise("move it away and restart the daemon")
        }
        Ok(found) if found.mode() & 0o007 != 0 => Check::warn(
            "socket",
            format!("every user of this host may connect to {shown}"),
        )
        .advise(format!(
            "chmod o= {shown}: tokens still protect it, but file permissions should too"
        )),
        Ok(_) => Check::ok("socket", format!("{shown} exists")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Check::fail("socket", format!("{shown} does not exist"))
                .advise("the daemon is not running: systemctl status couic")
        }
        Err(error) => unreadable("socket", path, &error),
    }
}

/// Checks couicctl's token file.
pub(super) fn client(target: &Target, checks: &mut Vec<Check>) {
    let Target::Local { client_file, .. } = target else {
        return;
    };
    let shown = client_file.display();
    checks.push(match fs::metadata(client_file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Check::fail(
            "token",
            format!("{shown} does not exist"),
        )
        .advise(
            "the daemon creates it at its first start; its path is client_file in couicctl.toml",
        ),
        Err(error) => unreadable("token", client_file, &error),
        Ok(found) if found.mode() & 0o077 != 0 => Check::fail(
            "token",
            format!("{shown} is readable by others than its owner"),
        )
        .advise(format!(
            "chmod 0600 {shown}, then replace the token: couicctl clients delete and add"
        )),
        Ok(_) => Check::ok("token", format!("{shown} is private to its owner")),
    });
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::PermissionsExt, net::UnixListener};

    use nix::unistd::geteuid;

    use super::{super::CheckState, *};

    fn me() -> String {
        let user = User::from_uid(geteuid()).ok().flatten();
        user.map_or_else(|| geteuid().to_string(), |user| user.name)
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn states(checks: &[Check]) -> Vec<(String, CheckState)> {
        checks.iter().map(|c| (c.check.clone(), c.state)).collect()
    }

    #[test]
    fn missing_values_are_the_defaults() {
        let read_ = read("ifaces = [\"eth0\"]\n[logging]\ndir = \"/l\"\n").unwrap();
        assert_eq!(read_.ifaces, ["eth0"]);
        assert_eq!(
            (read_.working_dir, read_.log_dir),
            ("/var/lib/couic".into(), "/l".into())
        );
        assert_eq!(read("user = 5"), None);
        assert_eq!(read("ifaces = "), None);
    }

    #[test]
    fn ownership_and_modes_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let (work, config) = (dir.path().join("work"), dir.path().join("couic.toml"));
        let sock = dir.path().join("sock");
        let text = format!(
            "ifaces = [\"lo\"]\nworking_dir = {work:?}\nuser = {:?}\n[server]\nsocket = {sock:?}\n",
            me()
        );
        fs::write(&config, text).unwrap();
        chmod(&config, 0o644);
        let look = || {
            let mut checks = Vec::new();
            daemon(&config, &mut checks);
            checks
        };
        let of = |config, work, socket| {
            let named = |name: &str, state| (name.to_owned(), state);
            vec![
                named("config", config),
                named("working_dir", work),
                named("socket", socket),
            ]
        };
        assert_eq!(
            states(&look()),
            of(CheckState::Ok, CheckState::Fail, CheckState::Fail)
        );
        fs::create_dir(&work).unwrap();
        chmod(&work, 0o750);
        let _listener = UnixListener::bind(&sock).unwrap();
        chmod(&sock, 0o770);
        assert_eq!(
            states(&look()),
            of(CheckState::Ok, CheckState::Ok, CheckState::Ok)
        );
        chmod(&work, 0o770);
        chmod(&sock, 0o777);
        chmod(&config, 0o666);
        let checks = look();
        assert_eq!(
            states(&checks),
            of(CheckState::Fail, CheckState::Fail, CheckState::Warn)
        );
        assert!(
            checks
                .iter()
                .all(|check| check.advice.as_ref().unwrap().contains("chmod"))
        );
        fs::remove_file(&config).unwrap();
        assert_eq!(states(&look()), [("config".to_owned(), CheckState::Warn)]);
    }

    #[test]
    fn a_token_file_must_be_private() {
        let dir = tempfile::tempdir().unwrap();
        let client_file = dir.path().join("token");
        let look = || {
            let mut checks = Vec::new();
            let target = Target::Local {
                socket: "x".into(),
                client_file: client_file.clone(),
            };
            client(&target, &mut checks);
            checks[0].state
        };
        assert_eq!(look(), CheckState::Fail);
        fs::write(&client_file, "").unwrap();
        chmod(&client_file, 0o600);
        assert_eq!(look(), CheckState::Ok);
        chmod(&client_file, 0o640);
        assert_eq!(look(), CheckState::Fail);
    }
}
