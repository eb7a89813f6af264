//! Edits of a configuration file that keep its comments and all keys that are not set here.

use std::path::Path;

use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value, value};

use crate::failure::Failure;

/// The shipped example, the first configuration of a host.
const EXAMPLE: &str = include_str!("../../../config/couic.toml");

/// A configuration being edited.
pub(super) struct Edited {
    document: DocumentMut,
    before: Option<String>,
    /// What was changed, for people.
    pub(super) changes: Vec<String>,
}

impl Edited {
    /// Starts with this text, or with the example.
    pub(super) fn of(path: &Path, text: Option<&str>) -> Result<Self, Failure> {
        let start = text.unwrap_or(EXAMPLE);
        let document = start.parse::<DocumentMut>().map_err(|error| {
            Failure::Config(format!(
                "{} is not TOML, nothing was changed: {error}\n  correct it, or move it away to start with the example",
                path.display()
            ))
        })?;
        Ok(Self {
            document,
            before: text.map(str::to_owned),
            changes: Vec::new(),
        })
    }

    /// The value of `ifaces`.
    pub(super) fn interfaces(&self) -> Vec<String> {
        let listed = self.document.get("ifaces").and_then(Item::as_array);
        let names = listed.into_iter().flatten();
        names
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect()
    }

    /// Sets `ifaces`.
    pub(super) fn set_interfaces(&mut self, names: &[String]) {
        if self.interfaces() == names && self.before.is_some() {
            return;
        }
        self.changes.push(format!("filter on {}", names.join(", ")));
        let list: Array = names.iter().collect();
        put(self.document.as_table_mut(), "ifaces", list.into());
    }

    /// Enables reports to this webhook.
    pub(super) fn set_webhook(&mut self, url: &str) {
        let table = self
            .document
            .entry("reporting")
            .or_insert_with(|| Item::Table(Table::new()));
        let Some(table) = table.as_table_like_mut() else {
            return;
        };
        let same = table.get("webhook").and_then(Item::as_str) == Some(url);
        let enabled = table.get("enabled").and_then(Item::as_bool) == Some(true);
        if same && enabled {
            return;
        }
        self.changes
            .push("report rule changes to the webhook".to_owned());
        put(table, "enabled", true.into());
        put(table, "webhook", url.into());
    }

    /// The text, if it differs from the file's.
    pub(super) fn text(&self) -> Option<String> {
        let text = self.document.to_string();
        (self.before.as_deref() != Some(text.as_str())).then_some(text)
    }
}

/// Sets a value where it stands, with the comments around it.
fn put(table: &mut dyn TableLike, key: &str, new: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => replace(old, new),
        None => {
            table.insert(key, value(new));
        }
    }
}

/// Keeps the blanks and the comment around the old value.
fn replace(old: &mut Value, mut new: Value) {
    *new.decor_mut() = old.decor().clone();
    *old = new;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: Option<&str>) -> Edited {
        Edited::of(Path::new("/etc/couic/couic.toml"), text).unwrap()
    }

    #[test]
    fn comments_and_other_keys_stay() {
        let old = "# mine\nifaces = [\"a\"] # wan\noperation_mode = \"tcx\"\n\n[reporting] # later\nenabled = false   # off\nname = \"x\"\n";
        let mut edited = edited(Some(old));
        edited.set_interfaces(&["eth0".into(), "eth1".into()]);
        edited.set_webhook("https://h/s");
        assert_eq!(
            edited.text().unwrap(),
            "# mine\nifaces = [\"eth0\", \"eth1\"] # wan\noperation_mode = \"tcx\"\n\n[reporting] # later\nenabled = true   # off\nname = \"x\"\nwebhook = \"https://h/s\"\n"
        );
        assert_eq!(edited.changes.len(), 2);
    }

    #[test]
    fn what_is_set_already_is_no_change() {
        let old = "ifaces=['eth0']\nreporting = { enabled = true, webhook = \"https://h/s\" }\n";
        let mut edited = edited(Some(old));
        edited.set_interfaces(&["eth0".into()]);
        edited.set_webhook("https://h/s");
        assert_eq!((edited.text(), edited.changes.len()), (None, 0));
    }

    #[test]
    fn the_first_configuration_is_the_commented_example() {
        let mut edited = edited(None);
        edited.set_interfaces(&["eth0".into()]);
        let text = edited.text().unwrap();
        assert!(
            text.contains("\nifaces = [\"eth0\"]\n") && text.contains("# "),
            "{text}"
        );
        assert_eq!(text.lines().count(), EXAMPLE.lines().count());
    }

    #[test]
    fn a_file_that_is_not_toml_is_left_alone() {
        let refused = Edited::of(Path::new("/x.toml"), Some("ifaces = ["))
            .err()
            .unwrap();
        assert!(
            matches!(&refused, Failure::Config(text) if text.contains("/x.toml") && text.contains("nothing was changed"))
        );
    }
}
