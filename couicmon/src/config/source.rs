//! `[source.NAME]`: where lines come from, what they look like, and which of their addresses is the client's.

use std::net::SocketAddr;

use couic_detect::{Container, Field, Format};
use couic_settings::Section;
use couic_tail::Source as Input;
use ipnetwork::IpNetwork;

use super::text::{check_name, network};

/// Keys that say where lines come from; a source has one of them.
pub(super) const INPUTS: &[&str] = &["file", "journal", "udp", "unix", "docker", "cri", "stdin"];

/// Keys that say what lines look like; a source has one of them.
pub(super) const FORMATS: &[&str] = &["format", "fields", "json"];

/// The keys of `json = { … }`, with the fields that they name.
const JSON: &[(&str, Field)] = &[
    ("time", Field::Time),
    ("peer", Field::Peer),
    ("forwarded", Field::Forwarded),
    ("request", Field::Request),
    ("method", Field::Method),
    ("path", Field::Path),
    ("query", Field::Query),
    ("status", Field::Status),
    ("host", Field::Host),
    ("agent", Field::Agent),
    ("user", Field::User),
    ("message", Field::Message),
];

/// A source.
#[derive(Clone, Debug)]
pub(crate) struct SourceConfig {
    /// The name in `[source.NAME]`.
    pub(crate) name: String,
    /// Where lines come from.
    pub(crate) input: Input,
    /// What they look like: to be cloned for each stream.
    pub(crate) format: Format,
    /// For people, and to tell whether a reload changes it.
    pub(crate) format_text: String,
    /// Whose word about the client is believed.
    pub(crate) proxies: Vec<Proxies>,
    /// The field with the client's address.
    pub(crate) client_from: ClientFrom,
}

/// Trusted proxies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Proxies {
    /// An address or a network.
    Net(IpNetwork),
    /// A set of the daemon's ignore policy.
    Feed(String),
    /// Whoever connects through a Unix socket.
    Unix,
}

/// Which field has the address of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientFrom {
    /// That of the connection.
    Peer,
    /// `X-Forwarded-For`, from the right, as far as proxies are trusted.
    Forwarded,
}

impl SourceConfig {
    /// The feeds that have to be known before anyone can be judged.
    pub(crate) fn feeds(&self) -> impl Iterator<Item = &str> {
        self.proxies.iter().filter_map(|proxies| match proxies {
            Proxies::Feed(name) => Some(name.as_str()),
            Proxies::Net(_) | Proxies::Unix => None,
        })
    }

    /// Whether what reads its lines can go on with this other configuration.
    pub(crate) fn same_input(&self, other: &Self) -> bool {
        format!("{:?}", self.input) == format!("{:?}", other.input)
    }
}

/// The text of `fields`, if that is the format.
pub(super) fn fields_text(source: &SourceConfig) -> Option<&str> {
    source
        .format_text
        .contains('$')
        .then_some(&source.format_text)
}

/// Every source. None after a mistake.
pub(super) fn read_all(root: &mut Section<'_>) -> Option<Vec<SourceConfig>> {
    let sections = root.tables_by_name("source")?;
    let read: Vec<_> = (sections.into_iter())
        .map(|(name, section)| read(name, section))
        .collect();
    let all: Vec<SourceConfig> = read.into_iter().collect::<Option<_>>()?;
    let stdin = all.iter().filter(|s| matches!(s.input, Input::Stdin));
    if let Some(second) = stdin.map(|s| &s.name).nth(1) {
        let message = "standard input is read by another source already".to_owned();
        root.mistake_at(&format!("source.{second}.stdin"), message);
        return None;
    }
    Some(all)
}

fn read(name: &str, mut section: Section<'_>) -> Option<SourceConfig> {
    let named = check_name(&section, name);
    // Resolved before: `super::presets` has put the preset's keys below.
    let _ = section.string("preset");
    let input = input(&mut section);
    let format = format(&mut section);
    let container = match &input {
        Some((_, container)) => *container,
        None => None,
    };
    let proxies = proxies(&mut section);
    let choices = [
        ("peer", ClientFrom::Peer),
        ("x-forwarded-for", ClientFrom::Forwarded),
    ];
    let client_from = section.one_of("client_from", &choices, ClientFrom::Peer);
    if client_from == Some(ClientFrom::Forwarded) && proxies.as_ref().is_some_and(Vec::is_empty) {
        let line = section.get("client_from").map(|found| found.line);
        let message = "needs trusted_proxies: whoever is not trusted could name any address as that of the client";
        section.mistake::<()>(line, "client_from", message.to_owned());
    }
    section.finish();
    named?;
    let (format, format_text) = format?;
    let proxies = proxies?;
    let format = match container {
        Some(container) => format.within(container),
        None => format,
    };
    Some(SourceConfig {
        name: name.to_owned(),
        input: input?.0,
        format: if proxies.contains(&Proxies::Unix) {
            format.accept_unix()
        } else {
            format
        },
        format_text: match container {
            Some(Container::Docker) => format!("docker, {format_text}"),
            Some(Container::Cri) => format!("cri, {format_text}"),
            None => format_text,
        },
        proxies,
        client_from: client_from?,
    })
}

/// The one of several keys that is set. None after a mistake.
fn the_one(section: &mut Section<'_>, keys: &'static [&'static str]) -> Option<&'static str> {
    let lines: Vec<_> = (keys.iter())
        .filter_map(|key| section.get(key).map(|found| (*key, found.line)))
        .collect();
    match lines.as_slice() {
        [(key, _)] => Some(key),
        [] => section.mistake(
            None,
            keys[0],
            format!("is missing: one of {}", keys.join(", ")),
        ),
        [(first, _), (second, line), ..] => {
            let message = format!("cannot be beside {first}: a source has one of them");
            section.mistake(Some(*line), second, message)
        }
    }
}

fn input(section: &mut Section<'_>) -> Option<(Input, Option<Container>)> {
    let key = the_one(section, INPUTS)?;
    let input = match key {
        "journal" => Input::Journal {
            matches: journal(section)?,
        },
        "udp" => Input::Udp(address(section)?),
        "unix" => Input::Unix(section.path("unix", "/run/couicmon/log")?),
        "stdin" if section.bool("stdin", false)? => Input::Stdin,
        "stdin" => return section.mistake(None, "stdin", "must be true".to_owned()),
        files => Input::File {
            patterns: patterns(section, files)?,
        },
    };
    let container = match key {
        "docker" => Some(Container::Docker),
        "cri" => Some(Container::Cri),
        _ => None,
    };
    Some((input, container))
}

fn patterns(section: &mut Section<'_>, key: &'static str) -> Option<Vec<String>> {
    let words = section.words(key)?;
    if words.is_empty() {
        return section.mistake(None, key, "is empty".to_owned());
    }
    let mut fine = Some(());
    for (text, line) in &words {
        if !text.starts_with('/') || text.contains('\0') {
            let message = format!(
                "{text:?} must be an absolute path, with * in its file name if it stands for several"
            );
            fine = section.mistake(Some(*line), key, message);
        }
    }
    fine.map(|()| words.into_iter().map(|(text, _)| text).collect())
}

/// Matches of journalctl. All of the journal would contain what this program itself logs.
fn journal(section: &mut Section<'_>) -> Option<Vec<String>> {
    let words = section.words("journal")?;
    if words.is_empty() {
        return section.mistake(
            None,
            "journal",
            "is empty: name units, as in \"_SYSTEMD_UNIT=ssh.service\"".to_owned(),
        );
    }
    let mut fine = Some(());
    for (text, line) in &words {
        let field = text.split_once('=').map_or("", |(field, _)| field);
        let is_field = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let message = if field.is_empty() || !field.chars().all(is_field) {
            format!("{text:?} is not a match of the journal, as in \"_SYSTEMD_UNIT=ssh.service\"")
        } else if text.ends_with("=couicmon.service") || text.ends_with("=couicmon") {
            format!("{text:?} is couicmon's own log: it would read what it writes")
        } else {
            continue;
        };
        fine = section.mistake(Some(*line), "journal", message);
    }
    fine.map(|()| words.into_iter().map(|(text, _)| text).collect())
}

fn address(section: &mut Section<'_>) -> Option<SocketAddr> {
    let (text, line) = section.required("udp")?;
    text.parse().ok().or_else(|| {
        let message = format!("{text:?} is not an address and a port, as in \"127.0.0.1:5140\"");
        section.mistake(Some(line), "udp", message)
    })
}

/// The format, and its text.
fn format(section: &mut Section<'_>) -> Option<(Format, String)> {
    match the_one(section, FORMATS)? {
        "format" => named(section),
        "fields" => {
            let (text, line) = section.required("fields")?;
            match Format::fields(text) {
                Ok(format) => Some((format, text.to_owned())),
                Err(error) => section.mistake(Some(line), "fields", error.to_string()),
            }
        }
        _ => json(section),
    }
}

fn named(section: &mut Section<'_>) -> Option<(Format, String)> {
    let (text, line) = section.required("format")?;
    Format::named(text)
        .map(|format| (format, text.to_owned()))
        .or_else(|| {
            let known = couic_detect::FORMATS.join(", ");
            section.mistake(
                Some(line),
                "format",
                format!("{text:?} is none of: {known}; or set fields or json"),
            )
        })
}

fn json(section: &mut Section<'_>) -> Option<(Format, String)> {
    let line = section.get("json").map(|found| found.line);
    let mut table = section.table("json");
    let keys: Vec<_> = JSON
        .iter()
        .map(|(key, field)| (*key, *field, table.words(key)))
        .collect();
    table.finish();
    let (mut found, mut text) = (Vec::new(), Vec::new());
    for (key, field, words) in keys {
        for (word, _) in words? {
            text.push(format!("{key} {word}"));
            found.push((field, word));
        }
    }
    let found: Vec<_> = found
        .iter()
        .map(|(field, word)| (*field, word.as_str()))
        .collect();
    match Format::json(&found) {
        Ok(format) => Some((format, format!("json ({})", text.join(", ")))),
        Err(error) => section.mistake(line, "json", error.to_string()),
    }
}

fn proxies(section: &mut Section<'_>) -> Option<Vec<Proxies>> {
    let words = section.words("trusted_proxies")?;
    let read = words.iter().map(|(text, line)| {
        let feed = text.strip_prefix("feed:").filter(|name| !name.is_empty());
        let proxies = feed.map(|name| Proxies::Feed(name.to_owned()));
        let proxies = proxies.or((text == "unix").then_some(Proxies::Unix));
        proxies.or_else(|| network(text).map(Proxies::Net)).or_else(|| {
            let message = format!(
                "{text:?} is neither a network (\"10.0.0.0/8\") nor a set of the daemon's ignore policy (\"feed:cloudflare\") nor \"unix\""
            );
            section.mistake(Some(*line), "trusted_proxies", message)
        })
    });
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}
