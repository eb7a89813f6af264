//! Checks of the configuration file's owner and mode.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

use nix::unistd::geteuid;

use super::Config;
use couic_files::{Account, owner_name};

const WRITE_GROUP: u32 = 0o020;
const WRITE_OTHERS: u32 = 0o002;
const READ_OWNER: u32 = 0o400;
const READ_GROUP: u32 = 0o040;
const READ_OTHERS: u32 = 0o004;
const STICKY: u32 = 0o1000;

/// Checks the owner and mode of the configuration file. World-writable files and directories are refused, since the
/// daemon may start as root. Risks that may be intended, and were accepted by earlier versions, are returned as
/// warnings.
///
/// # Errors
/// The problem, with the command that repairs it.
pub fn check_config_file(path: &Path, config: &Config) -> Result<Vec<String>, String> {
    let shown = path.display();
    // It has just been read.
    let Ok(found) = fs::metadata(path) else {
        return Ok(Vec::new());
    };
    // Such as a pipe, whose owner and mode mean nothing.
    if !found.is_file() {
        return Ok(Vec::new());
    }
    let mode = found.mode();
    if mode & WRITE_OTHERS != 0 {
        return Err(format!(
            "{shown}: any user may change the configuration (mode {:04o}): run chmod o-w {shown}",
            mode & 0o7777
        ));
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    if fs::metadata(folder).is_ok_and(|f| f.mode() & (WRITE_OTHERS | STICKY) == WRITE_OTHERS) {
        let folder = folder.display();
        return Err(format!(
            "{shown}: any user may replace the configuration, since its directory is world-writable: run chmod o-w {folder}"
        ));
    }
    let mut warnings = Vec::new();
    let mut warn = |text: String| warnings.push(text);
    let expected = [0, geteuid().as_raw(), config.owner.uid];
    if !expected.contains(&found.uid()) {
        let whose = owner_name(found.uid());
        warn(format!(
            "{whose} may change the configuration: if that is not intended, run chown root {shown}"
        ));
    }
    if mode & WRITE_GROUP != 0 && found.gid() != 0 {
        warn(format!(
            "a group may change the configuration: if that is not intended, run chmod g-w {shown}"
        ));
    }
    if mode & READ_OTHERS != 0 && holds_secrets(config) {
        warn(format!(
            "any user on this machine can read the tokens in the configuration: run chown root:{} {shown} && chmod 0640 {shown}, and replace the tokens if another user may have read them",
            config.owner.group
        ));
    }
    Ok(warnings)
}

/// What keeps the configured user from reading the file, with the command that repairs it. Under systemd the daemon
/// starts as that user; started as root, it reads the file before it becomes that user.
#[must_use]
pub fn unreadable_for_user(path: &Path, config: &Config) -> Option<String> {
    let Account {
        user,
        group,
        uid,
        gid,
    } = &config.owner;
    let found = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    let bit = if found.uid() == *uid {
        READ_OWNER
    } else if found.gid() == *gid {
        READ_GROUP
    } else {
        READ_OTHERS
    };
    let readable = *uid == 0 || found.mode() & bit != 0;
    let shown = path.display();
    (!readable).then(|| {
        format!(
            "the user {user} cannot read {shown}, so the systemd unit could not start: run chown root:{group} {shown} && chmod 0640 {shown}"
        )
    })
}

fn holds_secrets(config: &Config) -> bool {
    let reporting = &config.reporting;
    reporting.webhook.is_some()
        || reporting
            .notifiers
            .iter()
            .any(|n| !n.config.expose().is_empty())
        || !config.peering.peers.is_empty()
}

#[cfg(test)]
mod tests {
    use std::{fs::Permissions, os::unix::fs::PermissionsExt};

    use super::*;
    use crate::config::Settings as _;

    fn check_mode(text: &str, mode: u32, folder_mode: u32) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("couic.toml");
        let me = owner_name(geteuid().as_raw());
        let group = nix::unistd::Group::from_gid(nix::unistd::getegid());
        let group = group.unwrap().unwrap().name;
        let text = format!("ifaces = [\"lo\"]\nuser = {me:?}\ngroup = {group:?}\n{text}");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let config = Config::load(&path).unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(folder_mode)).unwrap();
        check_config_file(&path, &config)
    }

    const SECRET: &str = "[reporting]\nenabled = true\nwebhook = \"https://h/550e8400-e29b-41d4-a716-446655440000\"\n";

    #[test]
    fn world_writable_files_are_refused_with_the_fix() {
        let told = check_mode("", 0o646, 0o700).unwrap_err();
        assert!(told.contains("(mode 0646): run chmod o-w /"), "{told}");
        let told = check_mode("", 0o600, 0o707).unwrap_err();
        assert!(told.contains("run chmod o-w /"), "{told}");
    }

    #[test]
    fn world_readable_tokens_give_a_warning() {
        assert_eq!(check_mode("", 0o644, 0o700), Ok(Vec::new()), "no secret");
        assert_eq!(
            check_mode(SECRET, 0o640, 0o1777),
            Ok(Vec::new()),
            "not for all"
        );
        let told = check_mode(SECRET, 0o644, 0o700).unwrap();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].contains("run chown root:") && told[0].contains("&& chmod 0640 /"),
            "{told:?}"
        );
        assert!(!told[0].contains("550e8400"), "{told:?}");
    }

    #[test]
    fn a_file_that_the_units_user_cannot_read_is_named_with_the_fix() {
        if !geteuid().is_root() {
            println!("skipped: only root can give files away");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("couic.toml");
        fs::write(
            &path,
            "ifaces = [\"lo\"]\nuser = \"nobody\"\ngroup = \"nogroup\"\n",
        )
        .unwrap();
        let Ok(config) = Config::load(&path) else {
            println!("skipped: this machine has no user nobody with group nogroup");
            return;
        };
        let (uid, gid) = (config.owner.uid, config.owner.gid);
        for (owner, mode, readable) in [
            ((0, 0), 0o600, false),
            ((0, 0), 0o644, true),
            ((0, gid), 0o640, true),
            ((0, gid), 0o604, false),
            ((uid, 0), 0o400, true),
            ((uid, 0), 0o044, false),
        ] {
            std::os::unix::fs::chown(&path, Some(owner.0), Some(owner.1)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let told = unreadable_for_user(&path, &config);
            assert_eq!(told.is_none(), readable, "{owner:?} {mode:o} {told:?}");
            assert!(told.is_none_or(|told| told.contains("run chown root:nogroup /")));
        }
    }

    #[test]
    fn another_owner_gives_a_warning() {
        if !geteuid().is_root() {
            println!("skipped: only root can give files away");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("couic.toml");
        fs::write(
            &path,
            "ifaces = [\"lo\"]\nuser = \"root\"\ngroup = \"root\"\n",
        )
        .unwrap();
        let config = Config::load(&path).unwrap();
        std::os::unix::fs::chown(&path, Some(4242), Some(4343)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o660)).unwrap();
        let told = check_config_file(&path, &config).unwrap();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("4242 may change") && told[1].contains("chmod g-w"));
    }
}
