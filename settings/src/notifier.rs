//! What every program's file says of notifiers: a plugin and its table, or a URL that is a secret.

use http::Uri;
use serde::Deserialize;
use toml::{Spanned, de::ValueDeserializer};

use crate::{Secret, Section};

/// A notifier that a plugin provides: `plugin = "…"`, `config = { … }`.
#[derive(Clone, Debug)]
pub struct NotifierConfig {
    /// A name in the plugins' folder, or a path.
    pub plugin: String,
    /// Handed to the plugin; may hold secrets.
    pub config: Secret<toml::Table>,
}

impl NotifierConfig {
    /// The notifiers of an array of tables, in its order. None where a mistake was noted.
    pub fn read_all(section: &mut Section<'_>, key: &'static str) -> Option<Vec<Self>> {
        let tables = section.tables(key)?;
        // Every table is read, whatever is wrong with the ones before.
        let read: Vec<_> = tables.into_iter().map(Self::read).collect();
        read.into_iter().collect()
    }

    fn read(mut section: Section<'_>) -> Option<Self> {
        let plugin = section.required("plugin").map(|(name, _)| name.to_owned());
        let config = section.free_table("config");
        section.finish();
        Some(Self {
            plugin: plugin?,
            config: Secret::new(config?),
        })
    }
}

impl Section<'_> {
    /// An http or https URL, `Some(None)` where it is missing or empty. It is never quoted: it may hold a secret.
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
        let message = "is not an http or https URL (not shown here: it may hold a secret)";
        self.mistake(Some(line), key, message.to_owned())
    }

    /// A table whose keys somebody else judges; an empty one where it is missing.
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
                let message = "holds a value that cannot be read".to_owned();
                self.mistake(Some(found.line), key, message)
            })
    }
}
