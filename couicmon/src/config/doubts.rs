//! What is valid, but can have no effect, or not the one that is meant.

use couic_common::glob_matches;
use couic_detect::{DetectConfig, Distinct, Field, JailConfig};
use couic_tail::Source as Input;

use super::{
    ClientFrom, SourceConfig,
    source::{Proxies, fields_text},
};

/// Characters of a quoted text; a regex may have thousands.
const QUOTED: usize = 120;

/// Methods of HTTP (RFC 9110, 5789) and WebDAV that servers know.
const METHODS: &[&str] = &[
    "ACL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// All of them, one sentence each.
pub(super) fn of(sources: &[SourceConfig], detect: &DetectConfig) -> Vec<String> {
    let mut all: Vec<String> = sources.iter().flat_map(source).collect();
    for (n, second) in sources.iter().enumerate() {
        let twice = sources
            .iter()
            .take(n)
            .filter_map(|first| read_twice(first, second));
        all.extend(twice);
    }
    all.extend(detect.jails.iter().flat_map(|one| jail(one, sources)));
    all
}

fn source(source: &SourceConfig) -> Vec<String> {
    let SourceConfig {
        name,
        format,
        client_from,
        proxies,
        ..
    } = source;
    let mut all = Vec::new();
    let forwarded = *client_from == ClientFrom::Forwarded;
    if forwarded && !format.has(Field::Forwarded) {
        all.push(format!(
            "source.{name}.client_from: the format has no X-Forwarded-For, so that proxies count as the clients, and trusted \
             ones are never banned: log the header, as format = \"nginx-main\" does, or with fields"
        ));
    }
    if !forwarded && proxies.iter().any(|one| *one != Proxies::Unix) {
        all.push(format!(
            "source.{name}.trusted_proxies: without client_from = \"x-forwarded-for\" nobody behind them is judged"
        ));
    }
    if fields_text(source).is_some_and(|text| text.contains(['\n', '\r'])) {
        all.push(format!(
            "source.{name}.fields: has a newline, which no line has: write it in one line"
        ));
    }
    all
}

/// If two sources read the same.
fn read_twice(first: &SourceConfig, second: &SourceConfig) -> Option<String> {
    let same = match (&first.input, &second.input) {
        (Input::File { patterns: a }, Input::File { patterns: b }) => {
            let overlap = |a: &&String| b.iter().any(|b| glob_matches(a, b) || glob_matches(b, a));
            a.iter().find(overlap)
        }
        (Input::Journal { matches: a }, Input::Journal { matches: b }) => {
            a.iter().find(|a| b.contains(a))
        }
        _ => None,
    }?;
    Some(format!(
        "source.{} and source.{} both read {same}: a jail of both counts each line twice; jails can share one source",
        first.name, second.name
    ))
}

fn jail(jail: &JailConfig, sources: &[SourceConfig]) -> Vec<String> {
    let name = &jail.name;
    let mut all = Vec::new();
    let read: Vec<&SourceConfig> = (sources.iter())
        .filter(|source| jail.sources.contains(&source.name))
        .collect();
    let lacks: Vec<(&str, &str)> = (read.iter())
        .map(|source| (source.name.as_str(), lacking(jail, source)))
        .filter_map(|(source, key)| Some((source, key?)))
        .collect();
    // Jails such as those of `scanners` read all sources, of which some fit.
    if !lacks.is_empty() && lacks.len() == read.len() {
        let why: Vec<String> = lacks
            .iter()
            .map(|(source, key)| format!("{source}: {key}"))
            .collect();
        all.push(format!(
            "jail.{name}: can never ban: the lines of its sources lack what it asks for ({})",
            why.join("; ")
        ));
    }
    for method in &jail.method {
        if !METHODS.contains(&method.to_ascii_uppercase().as_str()) {
            all.push(format!(
                "jail.{name}.method: {method:?} is no usual method of HTTP"
            ));
        }
    }
    if let Some(tag) = jail.tag.as_deref().filter(|tag| !tag.starts_with("mon-")) {
        all.push(format!(
            "jail.{name}.tag: the daemon refuses {tag:?} from a client that is limited to mon-*, as the manual says to make it"
        ));
    }
    all
}

/// What of a jail's conditions lines of the source can never have.
fn lacking(jail: &JailConfig, source: &SourceConfig) -> Option<&'static str> {
    let has = |field| source.format.has(field);
    let captures = |regex: &String| regex.contains("<HOST>") || regex.contains("<ADDR>");
    let distinct = |kind| jail.distinct == Some(kind);
    let asked = [
        (!jail.status.is_empty(), has(Field::Status), "no status"),
        (!jail.method.is_empty(), has(Field::Method), "no method"),
        (!jail.path.is_empty(), has(Field::Path), "no path"),
        (!jail.agent.is_empty(), has(Field::Agent), "no agent"),
        (!jail.host.is_empty(), has(Field::Host), "no host"),
        (
            !jail.login.is_empty(),
            source.format.knows_logins(),
            "no login, only the format sshd has",
        ),
        (distinct(Distinct::Path), has(Field::Path), "no path"),
        (distinct(Distinct::User), has(Field::User), "no user"),
        (distinct(Distinct::Host), has(Field::Host), "no host"),
        (distinct(Distinct::Agent), has(Field::Agent), "no agent"),
        (
            !jail.regex.iter().any(captures),
            has(Field::Peer),
            "no address: a regex with <HOST> has to find it",
        ),
    ];
    let missing = asked.into_iter().find(|(asked, has, _)| *asked && !has);
    missing.map(|(_, _, what)| what)
}

/// With quoted texts of a length that can be read.
pub(super) fn short(warning: &str) -> String {
    let (Some(start), Some(end)) = (warning.find('"'), warning.rfind('"')) else {
        return warning.to_owned();
    };
    let quoted = warning.get(start + 1..end).unwrap_or_default();
    let Some((cut, _)) = quoted.char_indices().nth(QUOTED) else {
        return warning.to_owned();
    };
    let quoted = &quoted[..cut];
    format!("{}{quoted}…{}", &warning[..=start], &warning[end..])
}
