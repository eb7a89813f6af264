//! The keys of a configuration file, to tell after a reload which of those that changed need a restart.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table, Value};

/// Keys named in a message.
const NAMED: usize = 10;

/// Every key of a file, with its tables: `logging.level`. Values may be secrets, so it has no `Debug`.
pub struct Keys(BTreeMap<String, Value>);

impl Keys {
    /// Those of a text. None if it is not TOML.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let mut keys = BTreeMap::new();
        collect(text.parse::<Table>().ok()?, "", &mut keys);
        Some(Self(keys))
    }

    /// A clause that names the keys that differ from those now, other than `live` ones, which take effect at once. None
    /// if there are none. Values are not quoted.
    #[must_use]
    pub fn pending(&self, now: &Self, live: &[&str]) -> Option<String> {
        let keys: BTreeSet<&String> = self.0.keys().chain(now.0.keys()).collect();
        let mut differing = keys
            .into_iter()
            .filter(|key| self.0.get(*key) != now.0.get(*key) && !live.contains(&key.as_str()));
        let named: Vec<&str> = differing.by_ref().take(NAMED).map(String::as_str).collect();
        let more = match differing.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (!named.is_empty()).then(|| {
            format!(
                "these keys of the configuration have changed and take effect at the next restart: {}{more}",
                named.join(", ")
            )
        })
    }
}

/// A clause that names the keys that changed and that a reload does not take over; empty if there are none.
#[must_use]
pub fn awaiting_restart(keys: &[(&str, bool)]) -> String {
    let changed = keys.iter().filter(|(_, changed)| *changed);
    let changed: Vec<&str> = changed.map(|(key, _)| *key).collect();
    match changed.as_slice() {
        [] => String::new(),
        keys => format!(
            "; these keys have changed and take effect at the next restart: {}",
            keys.join(", ")
        ),
    }
}

fn collect(table: Table, within: &str, keys: &mut BTreeMap<String, Value>) {
    for (name, value) in table {
        match value {
            Value::Table(table) => collect(table, &format!("{within}{name}."), keys),
            value => drop(keys.insert(format!("{within}{name}"), value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_a_reload_does_not_take_over_are_named() {
        let keys = |user, control| awaiting_restart(&[("user", user), ("control", control)]);
        assert_eq!(keys(false, false), "");
        assert_eq!(
            keys(true, true),
            "; these keys have changed and take effect at the next restart: user, control"
        );
        assert!(keys(false, true).ends_with("restart: control"));
    }

    #[test]
    fn keys_that_need_a_restart_are_named_and_values_are_not() {
        let before =
            "ifaces = [\"a\"]\n[logging]\nlevel = \"info\"\n[[peering.peers]]\ntoken = \"x\"\n";
        let after = "ifaces = [\"a\"]\nuser = \"u\"\n[logging]\nlevel = \"debug\"\nmax_log_files = 3\n\
                     [[peering.peers]]\ntoken = \"secret\"\n[guard]\nenforce = true\n";
        let (before, after) = (Keys::of(before).unwrap(), Keys::of(after).unwrap());
        let message = before.pending(&after, &["guard.enforce", "logging.level"]);
        let message = message.unwrap();
        assert!(
            message.ends_with("restart: logging.max_log_files, peering.peers, user"),
            "{message}"
        );
        assert_eq!(before.pending(&before, &[]), None);
        let many: String = (0..12).map(|n| format!("k{n} = 1\n")).collect();
        let message = Keys::of("")
            .unwrap()
            .pending(&Keys::of(&many).unwrap(), &[]);
        assert!(message.unwrap().ends_with(", k7 and 2 more"));
        assert!(Keys::of("=").is_none());
    }
}
