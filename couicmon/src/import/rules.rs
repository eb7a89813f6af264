//! The expressions of a filter as those of a jail.

use super::{
    date::with_date,
    filter::Filter,
    python::{Host, Untranslatable, translate},
};

/// Expressions for the detector.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expressions {
    pub(super) regex: Vec<String>,
    pub(super) ignore: Vec<String>,
    /// How many expressions look for an address that another line has: fail2ban joins such lines, we do not.
    pub(super) of_other_lines: usize,
}

/// Translates all of them.
///
/// # Errors
///
/// The expression that has no translation, and why.
pub(super) fn expressions(filter: &Filter, journal: bool) -> Result<Expressions, String> {
    let whole = |regex: &str| {
        if journal {
            regex.to_owned()
        } else {
            with_date(regex, &filter.dates)
        }
    };
    let mut found = Expressions {
        regex: Vec::new(),
        ignore: Vec::new(),
        of_other_lines: 0,
    };
    // Lines that tell of no failure, but of whom a later one speaks.
    let failures = filter
        .fail
        .iter()
        .filter(|regex| !regex.contains("<F-NOFAIL>"));
    for regex in failures {
        let joined = match &filter.prefix {
            Some(prefix) => behind(prefix, regex).map_err(|e| told(regex, e))?,
            None => regex.clone(),
        };
        match translate(&whole(&joined), Host::Captured) {
            Ok(regex) => found.regex.push(regex),
            Err(Untranslatable::NoAddress) => found.of_other_lines += 1,
            Err(why) => return Err(told(regex, why)),
        }
    }
    for regex in &filter.ignore {
        found
            .ignore
            .push(translate(&whole(regex), Host::Any).map_err(|e| told(regex, e))?);
    }
    match (found.regex.len(), filter.max_lines) {
        (0, _) if found.of_other_lines > 0 => Err(Untranslatable::NoAddress.to_string()),
        (0, _) => Err("no expression".into()),
        _ => Ok(found),
    }
}

fn told(regex: &str, why: Untranslatable) -> String {
    const SHOWN: usize = 60;
    const OPENINGS: [&str; 7] = ["(?=", "(?!", "(?<=", "(?<!", "(?P=", "(?(", "\\n"];
    let openings = OPENINGS.iter().filter_map(|opening| regex.find(opening));
    let start = openings.min().unwrap_or(0);
    let shown: String = regex
        .chars()
        .skip(regex[..start].chars().count())
        .take(SHOWN)
        .collect();
    let less = if start > 0 { "…" } else { "" };
    let more = if start + shown.len() < regex.len() {
        "…"
    } else {
        ""
    };
    format!("{why}: {less}{shown}{more}")
}

/// The expression where the prefix has `<F-CONTENT>.+</F-CONTENT>`.
fn behind(prefix: &str, regex: &str) -> Result<String, Untranslatable> {
    const OPEN: &str = "<F-CONTENT>";
    const CLOSE: &str = "</F-CONTENT>";
    let parts = prefix.split_once(OPEN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(CLOSE)?;
        Some((before, after))
    });
    let Some((before, after)) = parts else {
        return Ok(regex.to_owned());
    };
    if has_alternatives(regex) {
        return Err(Untranslatable::Alternative);
    }
    let start = if regex.starts_with('^') { "" } else { ".*" };
    let regex = regex.trim_start_matches('^');
    // What the prefix has behind the content follows what the expression leaves of it.
    let ends = regex.ends_with('$') && !regex.ends_with(r"\$");
    Ok(match (ends, after) {
        (true, _) => format!("{before}{start}{}{after}", &regex[..regex.len() - 1]),
        (false, "$" | "") => format!("{before}{start}{regex}"),
        (false, _) => format!("{before}{start}{regex}.*{after}"),
    })
}

/// Whether there is a `|` outside of all groups.
fn has_alternatives(regex: &str) -> bool {
    let mut depth = 0;
    let mut in_set = false;
    let mut bytes = regex.bytes();
    while let Some(b) = bytes.next() {
        match b {
            b'\\' => {
                bytes.next();
            }
            b'[' => in_set = true,
            b']' => in_set = false,
            b'(' if !in_set => depth += 1,
            b')' if !in_set => depth -= 1,
            b'|' if !in_set && depth == 0 => return !is_in_tag(regex),
            _ => {}
        }
    }
    false
}

/// `<F-USER>a|b</F-USER>` is a group, too.
fn is_in_tag(regex: &str) -> bool {
    let mut rest = regex;
    let mut without = String::new();
    while let Some((before, tagged)) = rest.split_once("<F-") {
        without += before;
        rest = tagged.split_once("</F-").map_or("", |(_, after)| after);
    }
    without += rest;
    without != regex && !has_alternatives(&without)
}
