//! `couicmon import fail2ban`: the jails of fail2ban as a configuration of couicmon.
//!
//! What is printed compiles: each jail is checked with the detector's own check before it is written. What has no
//! translation is named, with the reason and the preset that does the same; nothing is translated by halves in silence.

mod date;
mod filter;
mod ini;
mod jail;
mod python;
mod rules;
mod time;
mod write;

#[cfg(test)]
mod tests;

use std::path::Path;

use couic_detect::{DetectConfig, JailConfig};

pub(crate) use ini::Unreadable;

use self::{
    jail::{Found, Jail},
    rules::Expressions,
};

/// A configuration, and what it lacks.
#[derive(Debug, Default)]
pub(crate) struct Imported {
    /// The configuration.
    pub(crate) toml: String,
    /// Names of the jails in it.
    pub(crate) jails: Vec<String>,
    /// Jails that are not in it.
    pub(crate) left_out: Vec<LeftOut>,
    /// What behaves differently, one sentence each.
    pub(crate) notes: Vec<String>,
}

/// A jail without translation.
#[derive(Debug)]
pub(crate) struct LeftOut {
    /// Its name in fail2ban.
    pub(crate) jail: String,
    /// Its filter.
    pub(crate) filter: String,
    /// Why it has none.
    pub(crate) why: String,
    /// What does its work instead.
    pub(crate) instead: Option<&'static str>,
}

/// Reads the jails that are switched on in `jails` (`jail.local`, with the files beside it) with filters of a directory.
///
/// # Errors
///
/// A file of the jails that cannot be read. Filters that cannot be read are told for each jail.
pub(crate) fn fail2ban(jails: &Path, filters: &Path) -> Result<Imported, Unreadable> {
    let mut out = write::Writer::default();
    for jail in jail::read(jails, filters)? {
        let Jail {
            name,
            filter,
            found,
        } = jail;
        if let Err(why) = found.and_then(|found| add(&mut out, &name, &filter, &found)) {
            out.left_out(LeftOut {
                instead: instead(&filter),
                jail: name,
                filter,
                why,
            });
        }
    }
    Ok(out.finish(jails))
}

fn add(out: &mut write::Writer, name: &str, filter: &str, found: &Found) -> Result<(), String> {
    let expressions = rules::expressions(&found.rules, found.journal)?;
    check(&expressions)?;
    if found.journal && found.rules.journal.is_empty() {
        return Err("it reads all of the journal: its filter has no journalmatch".into());
    }
    if !found.journal && found.files.is_empty() {
        return Err("it has no logpath".into());
    }
    out.jail(name, filter, found, &expressions);
    Ok(())
}

/// The same as at the start of couicmon.
fn check(expressions: &Expressions) -> Result<(), String> {
    let source = "log".to_owned();
    let jail = JailConfig {
        name: "jail".into(),
        sources: vec![source.clone()],
        regex: expressions.regex.clone(),
        ignore_regex: expressions.ignore.clone(),
        rate: "1 per 1s".into(),
        ..JailConfig::default()
    };
    let config = DetectConfig {
        jails: vec![jail],
        ..DetectConfig::default()
    };
    let checked = config.check(&[source]);
    let first = checked
        .err()
        .and_then(|mistakes| mistakes.into_iter().next());
    first.map_or(Ok(()), |mistake| Err(mistake.message))
}

/// What does the work of a filter without translation.
fn instead(filter: &str) -> Option<&'static str> {
    Some(match filter {
        "sshd" | "selinux-ssh" => "presets = [\"sshd\"]",
        "apache-fakegooglebot" => "nothing is needed: [bots] tells real crawlers from others",
        "recidive" => "nothing is needed: [ladder] makes the bans of those who come back longer",
        _ if filter.starts_with("nginx") => "presets = [\"nginx\"]",
        _ if filter.starts_with("apache") => "presets = [\"apache\"]",
        _ if filter.starts_with("traefik") => "presets = [\"traefik\"]",
        _ if filter.starts_with("haproxy") => "presets = [\"haproxy\"]",
        _ if filter.contains("wordpress") || filter.contains("wp") => "presets = [\"wordpress\"]",
        "php-url-fopen" => "presets = [\"scanners\"]",
        _ => return None,
    })
}
