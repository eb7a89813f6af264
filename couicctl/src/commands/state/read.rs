//! Reads a state file: TOML, with all mistakes at once and their lines.

use std::path::Path;

use couic_common::{ClientLimits, ClientName, Group, Policy, SetName, TagPattern, counted};
use couic_settings::{Mistake, Section};

use super::{
    entries::{self, Source},
    wanted::{Clients, Rules, Sets, Wanted, WantedClient},
};
use crate::{failure::Failure, input};

/// Maximum number of mistakes shown.
const SHOWN: usize = 20;

/// Reads the file, or standard input if it is `-`.
pub(super) fn file(path: &Path) -> Result<Wanted, Failure> {
    let (name, bytes) = input::load(path)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| Failure::Usage(format!("{name} is not UTF-8, nothing was changed")))?;
    let dir = path.parent().filter(|_| path != Path::new("-"));
    parse(&name, &text, dir.unwrap_or(Path::new("")))
}

/// Reads a text, whose list files are in `dir`.
pub(super) fn parse(name: &str, text: &str, dir: &Path) -> Result<Wanted, Failure> {
    couic_settings::parse(text, |root| Some(state(root, dir))).map_err(|m| report(name, m))
}

fn report(name: &str, mut mistakes: Vec<Mistake>) -> Failure {
    mistakes.sort_by_key(|mistake| mistake.line);
    let mut text = format!("{name} is not usable, nothing was changed");
    for Mistake { line, key, message } in mistakes.iter().take(SHOWN) {
        let line = line.map_or(String::new(), |line| format!("line {line}: "));
        let key = key.as_ref().map_or(String::new(), |key| format!("{key}: "));
        text += &format!("\n  {line}{key}{}", message.replace('\n', "\n  "));
    }
    let more = mistakes.len().saturating_sub(SHOWN) as u64;
    if more > 0 {
        text += &format!("\n  and {}", counted(more, "more mistake", "more mistakes"));
    }
    Failure::Usage(text)
}

/// Every part is read whatever is wrong with those before.
fn state(root: &mut Section<'_>, dir: &Path) -> Wanted {
    let client = named(root, "client");
    let mut owns = root.table("owns");
    let mut source = Source::new(dir);
    let rules = Policy::ALL.map(|policy| (policy, rules(root, &mut owns, policy, &mut source)));
    let sets = Sets {
        owned: patterns(&mut owns, "sets", set_pattern),
        ..sets(root, &mut source)
    };
    let clients = Clients {
        owned: patterns(&mut owns, "clients", |text| fits(text, 48)),
        ..clients(root)
    };
    owns.finish();
    Wanted {
        client,
        rules: rules.into_iter().collect(),
        sets,
        clients,
    }
}

fn named(section: &mut Section<'_>, key: &'static str) -> Option<ClientName> {
    let (text, line) = section.string(key).ok()??;
    match text.parse() {
        Ok(name) => Some(name),
        Err(error) => section.mistake(Some(line), key, format!("{error}")),
    }
}

/// The patterns of a key that fit.
fn patterns(owns: &mut Section<'_>, key: &'static str, fits: fn(&str) -> bool) -> Vec<String> {
    let mut all = Vec::new();
    for (text, line) in owns.strings(key).unwrap_or_default() {
        if fits(&text) {
            all.push(text);
        } else {
            let message =
                format!("{text:?} is no pattern: letters, digits, _ and -, * for any of them");
            owns.mistake::<()>(Some(line), key, message);
        }
    }
    all
}

fn fits(text: &str, most: usize) -> bool {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || b"_-*".contains(&b);
    (1..=most).contains(&text.len()) && text.bytes().all(is_part)
}

/// `drop/NAME`, `ignore/NAME` or `*/NAME`.
fn set_pattern(text: &str) -> bool {
    let parts = text.split_once('/');
    parts.is_some_and(|(policy, name)| ["drop", "ignore", "*"].contains(&policy) && fits(name, 48))
}

fn rules(
    root: &mut Section<'_>,
    owns: &mut Section<'_>,
    policy: Policy,
    source: &mut Source<'_>,
) -> Rules {
    let owned = patterns(owns, policy.as_str(), |text| fits(text, 64)).join(",");
    let owned = (!owned.is_empty()).then(|| {
        let Ok(pattern) = owned.parse::<TagPattern>();
        pattern
    });
    let mut rules = Rules {
        owned,
        ..Rules::default()
    };
    for mut group in root.tables(policy.as_str()).unwrap_or_default() {
        entries::group(&mut group, source, &mut rules);
        group.finish();
    }
    rules
}

fn sets(root: &mut Section<'_>, source: &mut Source<'_>) -> Sets {
    let (mut sets, mut all) = (Sets::default(), root.table("sets"));
    for policy in Policy::ALL {
        for (name, mut set) in all.tables_by_name(policy.as_str()).unwrap_or_default() {
            let entries = entries::of_set(&mut set, source);
            match name.parse::<SetName>() {
                Ok(name) => drop(sets.named.insert((policy, name), entries)),
                Err(error) => set.mistake_here(error.to_string()),
            }
            set.finish();
        }
    }
    all.finish();
    sets
}

fn clients(root: &mut Section<'_>) -> Clients {
    let mut clients = Clients::default();
    for (name, mut section) in root.tables_by_name("clients").unwrap_or_default() {
        let read = client(&mut section);
        match (name.parse::<ClientName>(), read) {
            (Ok(name), Some(client)) => drop(clients.named.insert(name, client)),
            (Err(error), _) => section.mistake_here(error.to_string()),
            (Ok(_), None) => {}
        }
        section.finish();
    }
    clients
}

fn client(section: &mut Section<'_>) -> Option<WantedClient> {
    let group = section.required("group");
    let group = group.and_then(|(text, line)| match text.parse::<Group>() {
        Ok(group) => Some(group),
        Err(error) => section.mistake(Some(line), "group", error),
    });
    let limits = section.value::<ClientLimits>("limits").ok().flatten();
    for (field, message) in limits.iter().flat_map(ClientLimits::mistakes) {
        section.mistake_at(&format!("limits.{field}"), message);
    }
    let token_file = match section.get("token_file").is_some() {
        true => section.path("token_file", "/etc/PROGRAM/token"),
        false => None,
    };
    let owner = section.string("owner").ok().flatten();
    Some(WantedClient {
        group: group?,
        limits: limits.filter(|limits| *limits != ClientLimits::default()),
        token_file,
        owner: owner.map(|(name, _)| name.to_owned()),
        line: section.line().unwrap_or_default(),
    })
}
