//! `couicmon import fail2ban`: the configuration on standard output, what it lacks on stderr.

use std::{io::Write, path::Path, process::ExitCode};

use super::Failure;
use crate::import;

pub(super) fn run(
    jails: &Path,
    filters: Option<&Path>,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
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
