//! The plan: from what is wanted and what is there to the steps between them. Pure; changes nothing.

use std::collections::BTreeSet;

use couic_common::{Cidr, list_entries, list_networks};

use super::{Wanted, edit::Edited, host::Host, step::Step};
use crate::{cli::When, failure::Failure};

/// Steps in order, and remarks for the operator.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) notes: Vec<String>,
}

/// What is to be done.
pub(super) fn plan(wanted: &Wanted, host: &Host) -> Result<Plan, Failure> {
    let mut plan = Plan::default();
    let mut config = current(host)?;
    let names = interfaces(wanted, host, &config)?;
    config.set_interfaces(&names);
    if let Some(url) = &wanted.report {
        config.set_webhook(url);
    }
    plan.account(host);
    let reconfigured = plan.configuration(host, &config);
    let protected = plan.protect(wanted, host);
    let fail2ban = match wanted.fail2ban {
        When::Auto => host.fail2ban.installed,
        When::Always => true,
        When::Never => false,
    };
    plan.service(wanted, host, reconfigured, protected);
    if fail2ban {
        plan.fail2ban(host)?;
    }
    plan.monitoring(wanted, host);
    Ok(plan)
}

/// The configuration as it is, or the example. One that cannot be read must not be replaced by the example.
pub(super) fn current(host: &Host) -> Result<Edited, Failure> {
    if let Some(error) = &host.config_error {
        return Err(Failure::Config(format!(
            "{}: {error}\n  nothing was changed; correct that, or run it as root",
            host.config.display()
        )));
    }
    Edited::of(&host.config, host.config_text.as_deref())
}

/// Those that were named, else what is [`proposed`].
fn interfaces(wanted: &Wanted, host: &Host, config: &Edited) -> Result<Vec<String>, Failure> {
    let here = || host.interfaces.join(", ");
    let mut named = wanted.interfaces.iter();
    if let Some(missing) = named.find(|name| !is_known(name, host, config)) {
        return Err(Failure::Usage(format!(
            "there is no interface {missing}; there are: {}",
            here()
        )));
    }
    if !wanted.interfaces.is_empty() {
        return Ok(wanted.interfaces.clone());
    }
    let names = proposed(host, config);
    if names.is_empty() {
        return Err(Failure::Usage(format!(
            "no interface has a default route: name those to filter on with -i; there are: {}",
            here()
        )));
    }
    Ok(names)
}

/// Whether there is this interface, or the configuration names it.
pub(super) fn is_known(name: &str, host: &Host, config: &Edited) -> bool {
    host.has_interface(name) || config.interfaces().iter().any(|known| known == name)
}

/// Those of the configuration if one of them exists, else those with a default route. Others may come later, as that of a
/// VPN.
pub(super) fn proposed(host: &Host, config: &Edited) -> Vec<String> {
    let configured = config.interfaces();
    let exists = configured.iter().any(|name| host.has_interface(name));
    if host.config_text.is_some() && exists {
        return configured;
    }
    host.default_interfaces.clone()
}

impl Plan {
    /// The daemon's user, and the directories that the files of setup are in. The daemon's unit creates the others.
    fn account(&mut self, host: &Host) {
        let daemon = &host.daemon;
        if !daemon.user_exists {
            self.steps.push(Step::User {
                name: daemon.installed.user.clone(),
            });
        }
        for path in daemon.set_directories() {
            if !daemon.directories.contains(&path) {
                self.steps.push(Step::Directory {
                    path,
                    mode: 0o750,
                    owner: daemon.installed.user.clone(),
                    group: daemon.installed.group.clone(),
                });
            }
        }
    }

    /// Whether the configuration is written.
    fn configuration(&mut self, host: &Host, config: &Edited) -> bool {
        let Some(text) = config.text() else {
            return false;
        };
        self.steps.push(Step::Configuration {
            path: host.config.clone(),
            text,
            group: host.daemon.installed.group.clone(),
            changes: config.changes.clone(),
        });
        true
    }

    /// Adds what is missing to the set of protected sources. Whether any was.
    fn protect(&mut self, wanted: &Wanted, host: &Host) -> bool {
        let before = host.daemon.protected.as_deref();
        let mut known = BTreeSet::new();
        for (_, entry) in list_entries(before.unwrap_or_default().as_bytes()) {
            // What cannot be read is for the reload to report.
            let _ = list_networks(entry, |cidr| {
                known.insert(cidr);
            });
        }
        let mut text = before.map_or_else(
            || "# Sources that are never dropped. Written by couicctl setup; edit it as you like, then run couicctl reload.\n".to_owned(),
            str::to_owned,
        );
        if !text.ends_with('\n') {
            text.push('\n');
        }
        let all = host.protected().chain(wanted.protect.iter().copied());
        let missing: BTreeSet<Cidr> = all.filter(|cidr| !known.contains(cidr)).collect();
        if missing.is_empty() {
            return false;
        }
        missing
            .iter()
            .for_each(|cidr| text.push_str(&format!("{cidr}\n")));
        let list: Vec<String> = missing.iter().map(ToString::to_string).collect();
        self.steps.push(Step::File {
            path: host.daemon.protect_file(),
            text,
            owner: Some((
                host.daemon.installed.user.clone(),
                host.daemon.installed.group.clone(),
            )),
            about: format!("never drop {}", list.join(", ")),
        });
        true
    }

    fn service(&mut self, wanted: &Wanted, host: &Host, reconfigured: bool, protected: bool) {
        let runs = host.daemon.runs;
        let command = format!("couic -c {}", host.config.display());
        if host.unit && wanted.start && runs && !host.enabled {
            self.steps.push(Step::Enable);
        }
        match (host.unit && wanted.start, runs) {
            (true, false) => self.steps.push(Step::Start),
            (true, true) if reconfigured => self.steps.push(Step::Restart),
            (_, true) if reconfigured => self.notes.push(
                "the daemon runs with its old configuration until it is restarted; its filter stays attached meanwhile".into(),
            ),
            (_, true) if protected => self.steps.push(Step::Reload),
            (_, true) => {}
            (false, false) if host.unit => {
                self.notes.push("nothing is filtered until the daemon is started: systemctl enable --now couic".into());
            }
            (false, false) => self.notes.push(format!(
                "this host has no systemd unit couic.service: start the daemon yourself, as root: {command}"
            )),
        }
    }

    fn monitoring(&mut self, wanted: &Wanted, host: &Host) {
        if !wanted.monitoring || host.daemon.has_monitoring {
            return;
        }
        if host.daemon.runs || self.steps.contains(&Step::Start) {
            let token = host.config.with_file_name("monitoring.token");
            self.steps.push(Step::Monitoring { token });
        } else {
            self.notes.push(
                "the client monitoring can be created once the daemon runs: couicctl clients add -n monitoring -g monitoring".into(),
            );
        }
    }
}

mod fail2ban;
#[cfg(test)]
mod tests;
