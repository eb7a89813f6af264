//! `/settings`: the configuration without its secrets.

use std::sync::Arc;

use super::super::{Page, route::Visit, view};
use crate::config::{self, Config, Source};

/// What the page shows of the configuration.
pub(in super::super) fn facts(config: &Config, page: &config::Page) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("Version", env!("CARGO_PKG_VERSION").to_owned()),
        ("Server", config.server.name.clone()),
        ("Reports are received on", config.server.addr.to_string()),
        (
            "Largest request",
            format!("{} MiB", config.server.max_body >> 20),
        ),
        (
            "Interval of summaries",
            format!("{} s", config.interval.as_secs()),
        ),
        (
            "Thresholds",
            format!(
                "orange from {} adds, red from {}, sent from {}",
                config.thresholds.orange,
                config.thresholds.red,
                config.thresholds.min.as_str()
            ),
        ),
        (
            "Changes are kept for",
            format!(
                "{} days, at most {} MiB",
                config.history.kept.as_secs() / 86_400,
                config.history.max_bytes >> 20
            ),
        ),
        ("Page listens on", page.addr.to_string()),
        ("Host names", listed(page.hosts.iter())),
        ("Trusted proxies", listed(page.proxies.iter())),
        (
            "A login lasts",
            format!("{} h", page.session.as_secs() / 3600),
        ),
        (
            "Databases",
            listed(page.mmdb.iter().map(|path| path.display())),
        ),
    ];
    for user in &page.users {
        facts.push(("User", format!("{} ({})", user.name, user.role.as_str())));
    }
    for firewall in &page.firewalls {
        let token = match &firewall.token {
            Source::Here(_) => "token in the configuration".to_owned(),
            Source::File(path) => format!("token in {}", path.display()),
        };
        let text = format!("{} at {}, {token}", firewall.name, firewall.endpoint);
        facts.push(("Firewall", text));
    }
    facts
}

fn listed<T: ToString>(all: impl Iterator<Item = T>) -> String {
    let all: Vec<String> = all.map(|one| one.to_string()).collect();
    if all.is_empty() {
        "none".to_owned()
    } else {
        all.join(", ")
    }
}

pub(in super::super) async fn show(page: &Arc<Page>, visit: &Visit<'_>) -> view::Settings {
    let problems = super::aside(page, |page| page.geo.problems()).await;
    let mut problems = problems.unwrap_or_default();
    if !page.settings.addr.ip().is_loopback() && !visit.peer.secure {
        problems.push(
            "This connection is not encrypted: whoever is on the path can read the token. Put a reverse proxy \
             with TLS in front of the page (docs: page)."
                .to_owned(),
        );
    }
    view::Settings {
        frame: super::frame(page, visit, "settings", "Settings").await,
        facts: page.facts.clone(),
        problems,
    }
}
