//! `couic-bouncer --check-config`: what a valid configuration does, in a few lines.

use std::{ffi::CString, fs::File, os::unix::fs::MetadataExt as _, path::Path, process::ExitCode};

use couic_common::time_left;
use nix::unistd::{User, geteuid, getgrouplist};

use crate::{config::Config, run::NAME};

/// Prints it.
pub(crate) fn print(path: &Path, config: &Config) -> ExitCode {
    for warning in config.warnings() {
        eprintln!("warning: {warning}");
    }
    notes(config);
    println!("{}: valid", path.display());
    if let Some(crowdsec) = &config.crowdsec {
        let every = time_left(crowdsec.interval.as_secs());
        println!("crowdsec            {}, every {every}", crowdsec.url);
    }
    for feed in config.checked() {
        let shadow = if feed.shadow { ", in shadow" } else { "" };
        let every = time_left(feed.every.as_secs());
        println!(
            "feed {:<14} {}, every {every}, {}{shadow}",
            feed.name, feed.source, feed.policy
        );
    }
    match config.metrics {
        Some(address) => println!("metrics             http://{address}/metrics"),
        None => println!("metrics             off"),
    }
    ExitCode::SUCCESS
}

/// Files that the service would not be able to use.
fn notes(config: &Config) {
    for note in config.files().iter().filter_map(|file| unusable(file)) {
        eprintln!("note: {note}");
    }
    let own = config.user.as_deref().unwrap_or(NAME);
    if geteuid().is_root() {
        match User::from_name(own).ok().flatten() {
            Some(user) => {
                let closed = config
                    .files()
                    .into_iter()
                    .filter(|file| is_closed(file, &user));
                for file in closed {
                    eprintln!(
                        "note: {}: user {own} may not read it: chown {own} {0}",
                        file.display()
                    );
                }
            }
            None => eprintln!(
                "note: there is no user {own}, which has to be able to read the files that the configuration names"
            ),
        }
    }
}

/// Why a file cannot be read by who checks, or has nothing to read.
fn unusable(path: &Path) -> Option<String> {
    let path_text = path.display();
    match path.metadata() {
        // Keys, tokens, headers and authorities are not empty, and an empty list is refused.
        Ok(found) if found.is_file() && found.len() == 0 => Some(format!("{path_text} is empty")),
        Ok(_) => File::open(path).err().map(|error| {
            format!("{path_text}: {error}; couic-bouncer's user has to be able to read it")
        }),
        Err(error) => Some(format!("{path_text}: {error}")),
    }
}

/// Whether the mode of a file, or of a directory above it, keeps this user from reading it. Access lists are not looked at.
fn is_closed(path: &Path, user: &User) -> bool {
    let groups = CString::new(user.name.as_str()).map_or_else(
        |_| vec![user.gid],
        |name| getgrouplist(&name, user.gid).unwrap_or_else(|_| vec![user.gid]),
    );
    let lacks = |path: &Path, wanted: u32| {
        let Ok(found) = path.metadata() else {
            return false;
        };
        let shift = if found.uid() == user.uid.as_raw() {
            6
        } else if groups.iter().any(|group| group.as_raw() == found.gid()) {
            3
        } else {
            0
        };
        found.mode() >> shift & wanted == 0
    };
    // Root reads everything.
    !user.uid.is_root()
        && (lacks(path, 0o4) || path.ancestors().skip(1).any(|above| lacks(above, 0o1)))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    #[test]
    fn an_empty_file_is_noted_and_so_is_one_that_the_user_may_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        assert!(unusable(&file).unwrap().contains("No such file"));
        fs::write(&file, "").unwrap();
        assert!(unusable(&file).unwrap().ends_with("is empty"));
        fs::write(&file, "secret").unwrap();
        assert_eq!(unusable(&file), None);
        let Ok(Some(nobody)) = User::from_name("nobody") else {
            println!("skipped: there is no user nobody");
            return;
        };
        let open = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        open(dir.path(), 0o755);
        open(&file, 0o644);
        assert!(!is_closed(&file, &nobody));
        open(&file, 0o600);
        assert!(is_closed(&file, &nobody));
        open(&file, 0o644);
        open(dir.path(), 0o700);
        assert!(is_closed(&file, &nobody));
    }
}
