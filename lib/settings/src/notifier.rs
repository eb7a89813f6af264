//! Settings of notifiers, common to all programs: a plugin and its table, or a URL that is a secret.

use std::{collections::BTreeMap, path::Path};

use couic_common::NotifierName;
use http::Uri;
use serde::Deserialize;
use toml::{Spanned, de::ValueDeserializer};

use crate::{Secret, Section};

/// A notifier that a plugin provides: `plugin = "…"`, `config = { … }`.
#[derive(Clone, Debug)]
pub struct NotifierConfig {
    /// A name in the plugin directory, or a path.
    pub plugin: String,
    /// Its name; by default that of the plugin.
    pub name: Option<String>,
    /// Passed to the plugin; may contain secrets.
    pub config: Secret<toml::Table>,
    /// Whether a plugin file runs in a process of its own.
    pub isolated: bool,
    /// The required SHA-256 of the file, hexadecimal.
    pub sha256: Option<String>,
    /// Timeout of one attempt, in seconds.
    pub timeout_secs: u64,
    /// Memory limit of the plugin's process in MiB; None = the default of the host.
    pub memory_mib: Option<u64>,
}

impl NotifierConfig {
    /// The notifiers of an array of tables, in order. None after a mistake.
    ///
    /// Names are unique, as they identify spools. `taken` are names used by other keys, each with that key.
    pub fn read_all(
        section: &mut Section<'_>,
        key: &'static str,
        taken: &[(&str, &str)],
    ) -> Option<Vec<Self>> {
        let tables = section.tables(key)?;
        let mut names: Names = taken
            .iter()
            .map(|(name, by)| ((*name).to_owned(), (*by).to_owned()))
            .collect();
        // Every table is read, so that all mistakes are reported.
        let read: Vec<_> = tables
            .into_iter()
            .map(|table| Self::read(table, &mut names))
            .collect();
        read.into_iter().collect()
    }

    /// Its name, or that of the plugin, which is its file name without the extension.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name
            .as_deref()
            .unwrap_or_else(|| default_name(&self.plugin))
    }

    fn read(mut section: Section<'_>, names: &mut Names) -> Option<Self> {
        let plugin = section.required("plugin");
        let name = section.notifier_name();
        let fine = plugin
            .zip(name.as_ref())
            .is_none_or(|(plugin, name)| section.names_a_notifier(plugin, name.as_deref(), names));
        let plugin = plugin.map(|(plugin, _)| plugin.to_owned());
        let config = section.free_table("config");
        let isolated = section.bool("isolated", true);
        let sha256 = section.sha256();
        let timeout_secs = section.int("timeout_secs", 1..=600, Some(30));
        let memory_mib = match section.get("memory_mib") {
            Some(_) => section.int("memory_mib", 16..=65_536, None).map(Some),
            None => Some(None),
        };
        section.finish();
        fine.then_some(())?;
        Some(Self {
            plugin: plugin?,
            name: name?,
            config: Secret::new(config?),
            isolated: isolated?,
            sha256: sha256?,
            timeout_secs: timeout_secs?,
            memory_mib: memory_mib?,
        })
    }
}

/// Names in use, with their keys.
type Names = BTreeMap<String, String>;

fn default_name(plugin: &str) -> &str {
    let stem = Path::new(plugin).file_stem();
    stem.and_then(|stem| stem.to_str()).unwrap_or(plugin)
}

fn is_name(text: &str) -> bool {
    text.parse::<NotifierName>().is_ok()
}

impl Section<'_> {
    /// An http or https URL; `Some(None)` if it is missing or empty. It is never quoted, as it may contain a secret.
    pub fn url(&mut self, key: &'static str) -> Option<Option<Secret<String>>> {
        let Some((text, line)) = self.string(key).ok()? else {
            return Some(None);
        };
        if text.is_empty() {
            return Some(None);
        }
        let uri: Option<Uri> = text.parse().ok();
        let fine = uri.is_some_and(|u| {
            matches!(u.scheme_str(), Some("http" | "https"))
                && u.host().is_some_and(|h| !h.is_empty())
        });
        if fine {
            return Some(Some(Secret::new(text.to_owned())));
        }
        let message = "is not an http or https URL (not shown here: it may contain a secret)";
        self.mistake(Some(line), key, message.to_owned())
    }

    /// Whether the notifier of this table has a valid and unique name. Reports a mistake otherwise.
    fn names_a_notifier(
        &mut self,
        (plugin, line): (&str, usize),
        own: Option<&str>,
        names: &mut Names,
    ) -> bool {
        let name = own.unwrap_or_else(|| default_name(plugin));
        if !is_name(name) {
            let message = format!("{plugin:?} is no valid name for the notifier: add name = \"…\"");
            self.mistake::<()>(Some(line), "plugin", message);
            return false;
        }
        let (key, line) = match self.get("name") {
            Some(found) => ("name", found.line),
            None => ("plugin", line),
        };
        if let Some(other) = names.get(name) {
            let message =
                format!("the name {name:?} is already used by {other}: add another name = \"…\"");
            self.mistake::<()>(Some(line), key, message);
            return false;
        }
        names.insert(name.to_owned(), self.name().to_owned());
        true
    }

    fn notifier_name(&mut self) -> Option<Option<String>> {
        let Some((text, line)) = self.string("name").ok()? else {
            return Some(None);
        };
        if is_name(text) {
            return Some(Some(text.to_owned()));
        }
        let message = format!(
            "{text:?} must be 1 to 64 letters, digits, '-', '_' or '.', and no '.' at the start"
        );
        self.mistake(Some(line), "name", message)
    }

    fn sha256(&mut self) -> Option<Option<String>> {
        let Some((text, line)) = self.string("sha256").ok()? else {
            return Some(None);
        };
        if text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Some(Some(text.to_ascii_lowercase()));
        }
        let message = "is not a SHA-256: 64 hexadecimal digits, as sha256sum prints them";
        self.mistake(Some(line), "sha256", message.to_owned())
    }

    /// A table whose keys are not validated here; an empty one if it is missing.
    fn free_table(&mut self, key: &'static str) -> Option<toml::Table> {
        let Some(found) = self.get(key) else {
            return Some(toml::Table::new());
        };
        if !found.value.is_table() {
            return self.mistake(Some(found.line), key, "must be a table".to_owned());
        }
        let value = Spanned::new(0..0, found.value.clone());
        toml::Table::deserialize(ValueDeserializer::from(value))
            .ok()
            .or_else(|| {
                let message = "contains a value that cannot be read".to_owned();
                self.mistake(Some(found.line), key, message)
            })
    }
}
