//! Presets: what a configuration asks for, as texts below its own.
//!
//! `presets = ["nginx"]` takes all sources and jails of a preset. `preset = "sshd"` in `[jail.NAME]` or `[source.NAME]`
//! takes the one of that name, or the only one under a name of the user's; a source that such a jail reads comes along.
//! What the configuration itself says goes before, key by key.

use std::collections::BTreeMap;

use couic_settings::Part;
use toml::{Table, Value};

use crate::presets;

/// What the paths of the texts begin with.
const LAYER: &str = "preset ";

/// The texts below these files. What is wrong with the files is told when they are read; presets that do not exist are
/// told by [`unknown`].
pub(super) fn below(files: &[Part]) -> Vec<Part> {
    let mut user = Table::new();
    for file in files {
        if let Ok(table) = file.text.parse::<Table>() {
            gather(&mut user, table);
        }
    }
    let mut wanted: BTreeMap<String, Table> = BTreeMap::new();
    for name in asked(&user) {
        if let Some(preset) = parsed(&name) {
            wanted.insert(name, preset);
        }
    }
    for kind in ["source", "jail"] {
        for (own, name) in single(&user, kind) {
            if let Some(mut part) = parsed(&name).and_then(|preset| take(&preset, kind, &own)) {
                if kind == "jail" && reads_its_own(&user, &own) {
                    part.remove("source");
                }
                merge(wanted.entry(name).or_default(), part);
            }
        }
    }
    let part = |(name, table): (String, Table)| Part {
        path: format!("{LAYER}{name}").into(),
        text: table.to_string(),
    };
    wanted.into_iter().map(part).collect()
}

/// What two of the presets that are asked for both have: one of them takes effect.
pub(super) fn shared(files: &[Part]) -> Vec<String> {
    let mut names: Vec<String> = below(files)
        .into_iter()
        .filter_map(|part| Some(part.path.to_str()?.strip_prefix(LAYER)?.to_owned()))
        .collect();
    names.sort();
    let mut all = Vec::new();
    for (n, second) in names.iter().enumerate() {
        for first in names.iter().take(n) {
            let (Some(a), Some(b)) = (parsed(first), parsed(second)) else {
                continue;
            };
            let both =
                |kind| self::names(&a, kind).find(|name| self::names(&b, kind).any(|n| n == *name));
            let both = ["source", "jail"]
                .into_iter()
                .find_map(|kind| Some((kind, both(kind)?)));
            if let Some((kind, name)) = both {
                all.push(format!(
                    "presets: {first:?} and {second:?} both have [{kind}.{name}], and only that of {first:?} takes effect: keep one \
                     of them"
                ));
            }
        }
    }
    all
}

/// What is wrong with `preset = NAME` in a table of this kind; None if nothing is.
pub(super) fn unknown(kind: &str, own: &str, name: &str) -> Option<String> {
    let Some(preset) = parsed(name) else {
        return Some(format!(
            "{name:?} is none of: {}",
            presets::NAMES.join(", ")
        ));
    };
    if take(&preset, kind, own).is_some() {
        return None;
    }
    let names: Vec<&str> = names(&preset, kind).collect();
    Some(match names.as_slice() {
        [] => format!("the preset {name:?} has no {kind}"),
        names => format!(
            "the preset {name:?} has several: name this table {kind}.{}",
            names.join(&format!(" or {kind}."))
        ),
    })
}

fn gather(into: &mut Table, table: Table) {
    for (key, value) in table {
        // One may stand without brackets, as in other lists.
        let value = match value {
            Value::String(_) if key == "presets" => Value::Array(vec![value]),
            value => value,
        };
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(more)) => into.extend(more),
            (Some(Value::Array(into)), Value::Array(more)) => into.extend(more),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}

fn asked(user: &Table) -> Vec<String> {
    let all = user.get("presets").and_then(Value::as_array);
    let names = all.into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

/// Names of tables of this kind, with their presets.
fn single(user: &Table, kind: &str) -> Vec<(String, String)> {
    let tables = user
        .get(kind)
        .and_then(Value::as_table)
        .into_iter()
        .flatten();
    let presets = tables.filter_map(|(own, table)| {
        let name = table.as_table()?.get("preset")?.as_str()?;
        Some((own.clone(), name.to_owned()))
    });
    presets.collect()
}

/// Whether the user's jail of this name says which sources it reads.
fn reads_its_own(user: &Table, jail: &str) -> bool {
    let jail = user.get("jail").and_then(|jails| jails.get(jail));
    jail.is_some_and(|jail| jail.get("source").is_some())
}

fn parsed(name: &str) -> Option<Table> {
    presets::get(name)?.parse().ok()
}

fn names<'t>(preset: &'t Table, kind: &str) -> impl Iterator<Item = &'t str> {
    let tables = preset.get(kind).and_then(Value::as_table);
    tables.into_iter().flatten().map(|(name, _)| name.as_str())
}

/// The part of a preset for one table of the user, under the user's name.
fn take(preset: &Table, kind: &str, own: &str) -> Option<Table> {
    let all = preset.get(kind)?.as_table()?;
    let found = match all.get(own) {
        Some(found) => found,
        None if all.len() == 1 => all.values().next()?,
        None => return None,
    };
    let mut part = Table::new();
    if kind == "jail"
        && let Some(sources) = preset.get("source")
    {
        let read = read_by(found);
        let sources = sources
            .as_table()?
            .iter()
            .filter(|(name, _)| read.contains(name));
        let sources: Table = sources
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        part.insert("source".to_owned(), Value::Table(sources));
    }
    let named = Table::from_iter([(own.to_owned(), found.clone())]);
    part.insert(kind.to_owned(), Value::Table(named));
    Some(part)
}

/// The sources of a jail.
fn read_by(jail: &Value) -> Vec<&String> {
    match jail.get("source") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => {
            let mut found = Vec::new();
            for name in names {
                if let Value::String(name) = name {
                    found.push(name);
                }
            }
            found
        }
        _ => Vec::new(),
    }
}

fn merge(into: &mut Table, part: Table) {
    for (kind, tables) in part {
        match (into.get_mut(&kind), tables) {
            (Some(Value::Table(into)), Value::Table(tables)) => {
                for (name, table) in tables {
                    into.entry(name).or_insert(table);
                }
            }
            (_, tables) => drop(into.insert(kind, tables)),
        }
    }
}
