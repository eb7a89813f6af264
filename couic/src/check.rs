//! `--check-config`: what of a valid configuration would fail a start on this machine. Changes nothing.

use std::{fs, io::ErrorKind, path::Path};

use couic_files::{DirError, check_working_dir};
use couic_firewall::dataplane::too_old;

use crate::{
    attach,
    config::{Config, unreadable_for_user},
    reporting,
};

/// The directory that `StateDirectory=` of the unit creates.
const STATE_DIRECTORY: &str = "/var/lib/couic";

const UNITS: [&str; 3] = [
    "/etc/systemd/system/couic.service",
    "/usr/lib/systemd/system/couic.service",
    "/lib/systemd/system/couic.service",
];

/// What to do about a configuration file that cannot be read at all; none if its mistakes say it.
#[must_use]
pub fn hint(file: &Path) -> Option<String> {
    let shown = file.display();
    match fs::File::open(file).err()?.kind() {
        ErrorKind::NotFound => Some(format!(
            "couicctl setup writes a configuration; for another file than {shown}, use -c"
        )),
        ErrorKind::PermissionDenied => Some(format!(
            "the user that couic starts as must be able to read it: run chown root:couic {shown} && chmod 0640 {shown}"
        )),
        _ => None,
    }
}

/// Prints warnings, and that the file has no mistakes.
///
/// # Errors
/// Why a start would fail.
pub fn run(file: &Path, config: &Config, warnings: &[String]) -> Result<(), String> {
    let warn = |text: &str| println!("warning: {text}");
    warnings.iter().for_each(|text| warn(text));
    println!("{}: no mistakes", file.display());
    if let Some(unreadable) = unreadable_for_user(file, config) {
        warn(&unreadable);
    }
    for name in missing_interfaces(&config.ifaces) {
        warn(&format!(
            "there is no interface {name} now: a start fails until there is"
        ));
    }
    for failed in reporting::unavailable(&config.reporting, &config.plugins_dir) {
        warn(&format!("the notifier {}: {}", failed.name, failed.reason));
    }
    if let Some(why) = too_old() {
        return Err(why);
    }
    let checked = check_working_dir(&config.working_dir, &config.owner, &attach::LOCK_FILES);
    match checked {
        Ok(()) => Ok(()),
        // It may exist and be invisible to users other than root and the configured one.
        Err(DirError::Io { path, source }) => {
            let path = path.display();
            warn(&format!(
                "cannot check the working directory {path}: {source}; run this as root"
            ));
            Ok(())
        }
        Err(DirError::Missing { path, .. }) if is_made_by_unit(&path) => {
            warn(&format!(
                "the working directory {} does not exist yet: the unit couic.service creates it",
                path.display()
            ));
            Ok(())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Configured names, patterns aside, that no interface here has.
fn missing_interfaces(configured: &[String]) -> Vec<&String> {
    // Without the list nothing can be said.
    let Ok(here) = couic_netlink::interfaces() else {
        return Vec::new();
    };
    let names = configured.iter().filter(|name| !name.contains(['*', '?']));
    names
        .filter(|name| here.iter().all(|interface| interface.name != **name))
        .collect()
}

fn is_made_by_unit(working_dir: &Path) -> bool {
    working_dir == Path::new(STATE_DIRECTORY) && UNITS.iter().any(|unit| Path::new(unit).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_has_a_hint_and_a_readable_one_has_none() {
        let hint_ = hint(Path::new("/no/such/couic.toml")).unwrap();
        assert!(hint_.contains("couicctl setup"), "{hint_}");
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(hint(file.path()), None);
    }

    #[test]
    fn only_names_without_an_interface_are_missing() {
        let configured = ["lo", "no-such-if", "veth*"].map(str::to_owned);
        assert_eq!(missing_interfaces(&configured), ["no-such-if"]);
    }
}
