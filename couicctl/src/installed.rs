//! What commands that look at this machine need of the daemon's configuration. Mistakes in it are for the daemon to report.

use std::path::PathBuf;

/// Interfaces, places and account of the daemon, with its defaults for what the configuration leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Installed {
    pub(crate) ifaces: Vec<String>,
    pub(crate) working_dir: PathBuf,
    pub(crate) log_dir: PathBuf,
    pub(crate) socket: PathBuf,
    pub(crate) user: String,
    pub(crate) group: String,
}

impl Installed {
    pub(crate) fn of(table: &toml::Table) -> Self {
        let text = |section: Option<&str>, key: &str, default: &str| {
            let table = match section {
                Some(section) => table.get(section).and_then(|value| value.as_table()),
                None => Some(table),
            };
            let value = table.and_then(|table| table.get(key)?.as_str());
            value.unwrap_or(default).to_owned()
        };
        let listed = table.get("ifaces").and_then(toml::Value::as_array);
        let names = listed.into_iter().flatten();
        Self {
            ifaces: names
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect(),
            working_dir: text(None, "working_dir", "/var/lib/couic").into(),
            log_dir: text(Some("logging"), "dir", "/var/log/couic").into(),
            socket: text(Some("server"), "socket", "/var/run/couic/couic.sock").into(),
            user: text(None, "user", "couic"),
            group: text(None, "group", "couic"),
        }
    }
}
