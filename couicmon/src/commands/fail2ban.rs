//! `couicmon import fail2ban`: the configuration on standard output, what it lacks on stderr.

use std::{io::Write, path::Path, process::ExitCode};

use super::Failure;
use crate::import;

pub(super) fn run(
    jails: &Path,
    filters: Option<&Path>,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    if !jails.exists() {
        let message = "does not exist; name the directory of fail2ban, or a file with jails";
        return Err(Failure::failed(jails.display(), message));
    }
    let dir = if jails.is_dir() {
        Some(jails)
    } else {
        jails.parent()
    };
    let beside = dir.unwrap_or(Path::new(".")).join("filter.d");
    let filters = filters.unwrap_or(if beside.is_dir() {
        &beside
    } else {
        Path::new("/etc/fail2ban/filter.d")
    });
    if !filters.is_dir() {
        let message = "there are no filters; name their directory with --filters";
        return Err(Failure::failed(filters.display(), message));
    }
    let imported = import::fail2ban(jails, filters).map_err(|e| Failure::Failed(e.to_string()))?;
    let (done, left_out) = (imported.jails.len(), imported.left_out.len());
    if done + left_out == 0 {
        let message = "no jail is switched on (enabled = true)";
        return Err(Failure::failed(jails.display(), message));
    }
    if done > 0 {
        out.write_all(imported.toml.as_bytes())?;
    }
    eprintln!("{done} of {} jails are translated.", done + left_out);
    for jail in &imported.left_out {
        eprintln!(
            "Left out: {} (filter {}): {}",
            jail.jail, jail.filter, jail.why
        );
        match jail.instead {
            Some(instead) => eprintln!("    Instead: {instead}"),
            None => eprintln!(
                "    Instead: a jail of your own with `contains` or `regex`; couicmon explain shows what it sees"
            ),
        }
    }
    for note in &imported.notes {
        eprintln!("Note: {note}");
    }
    Ok(if done > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command, Import};

    #[test]
    fn the_directory_of_fail2ban_is_read_without_a_jail_local() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        for name in ["filter.d", "jail.d"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        write(
            "jail.conf",
            "[DEFAULT]\nenabled = false\n[app]\nlogpath = /var/log/app.log\n",
        );
        write("jail.d/defaults-debian.conf", "[app]\nenabled = true\n");
        write(
            "filter.d/app.conf",
            "[Definition]\nfailregex = ^bad login from <HOST>$\n",
        );
        let mut out = Vec::new();
        let code = run(dir.path(), None, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(code, ExitCode::SUCCESS);
        assert!(text.contains("[jail.app]"), "{text}");
        // Nothing that can be translated: nothing is printed.
        write(
            "filter.d/app.conf",
            "[Definition]\nfailregex = ^(?!x)<HOST>$\n",
        );
        let mut out = Vec::new();
        assert_eq!(run(dir.path(), None, &mut out).unwrap(), ExitCode::FAILURE);
        assert!(out.is_empty());
        let missing = run(&dir.path().join("none"), None, &mut out).unwrap_err();
        assert!(missing.to_string().contains("does not exist"), "{missing}");
        let cli = Cli::try_parse_from(["couicmon", "import", "fail2ban"]).unwrap();
        let Some(Command::Import {
            from: Import::Fail2ban { jails, .. },
        }) = cli.command
        else {
            panic!("no import");
        };
        assert_eq!(jails, Path::new("/etc/fail2ban"));
    }
}
