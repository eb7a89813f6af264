//! The conditions of one jail, judged one by one: slow, but it can say which one failed.

use super::{globs::host_matches, pattern::Pattern, status::Statuses};
use crate::{Event, Login};

/// The conditions of a jail; those that are not given hold.
#[derive(Clone, Default)]
pub(crate) struct Filter {
    pub(crate) status: Option<Statuses>,
    pub(crate) methods: Vec<String>,
    pub(crate) paths: Vec<String>,
    pub(crate) contains: Vec<String>,
    pub(crate) agents: Vec<String>,
    /// In lower case.
    pub(crate) hosts: Vec<String>,
    pub(crate) login: Vec<Login>,
    pub(crate) regexes: Vec<Pattern>,
    pub(crate) ignore: Vec<Pattern>,
}

impl Filter {
    pub(crate) fn has_status(&self, status: u16) -> bool {
        self.status.as_ref().is_none_or(|set| set.has(status))
    }

    pub(crate) fn has_method(&self, method: &[u8]) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|m| m.as_bytes() == method)
    }

    pub(crate) fn has_login(&self, login: Option<Login>) -> bool {
        self.login.is_empty() || login.is_some_and(|login| self.login.contains(&login))
    }

    /// Whether it asks for anything of the request: method, path, query or host.
    pub(crate) fn reads_request(&self) -> bool {
        let texts = [&self.methods, &self.paths, &self.hosts, &self.contains];
        let regexes = [&self.regexes, &self.ignore];
        texts.iter().any(|texts| !texts.is_empty()) || regexes.iter().any(|list| !list.is_empty())
    }

    /// Why an event with this text is no hit, for the operator. None if it is one.
    pub(crate) fn why_not(&self, event: &Event<'_>, text: &[u8]) -> Option<String> {
        if !self.has_status(event.status) {
            let wanted = self.status.as_ref().map(Statuses::text);
            let wanted = wanted.unwrap_or_default();
            return Some(format!("status {} is not of {wanted}", event.status));
        }
        if !self.has_method(event.method) {
            let method = shown(event.method);
            return Some(format!(
                "method {method} is not of {}",
                self.methods.join(", ")
            ));
        }
        if !self.has_login(event.login) {
            let wanted: Vec<&str> = self.login.iter().map(|login| login.name()).collect();
            let wanted = wanted.join(", ");
            return Some(match event.login {
                Some(login) => format!("login {} is not of {wanted}", login.name()),
                None => format!("tells of no login, where one {wanted} counts"),
            });
        }
        self.path_or_host(event)
            .or_else(|| self.words(event, text))
            .or_else(|| self.regex(text))
    }

    fn path_or_host(&self, event: &Event<'_>) -> Option<String> {
        let path_matches = |p: &String| couic_common::glob_matches(p, &event.path);
        if !self.paths.is_empty() && !self.paths.iter().any(path_matches) {
            let path = shown(&event.path);
            return Some(format!("path {path} is none of {}", some(&self.paths)));
        }
        if !self.hosts.is_empty() && !host_matches(&self.hosts, &event.host) {
            let host = shown(&event.host);
            return Some(format!("host {host} is none of {}", some(&self.hosts)));
        }
        None
    }

    fn words(&self, event: &Event<'_>, text: &[u8]) -> Option<String> {
        if !self.agents.is_empty() && !has_any(&event.agent, &self.agents) {
            let agent = shown(&event.agent);
            return Some(format!(
                "agent {agent} contains none of {}",
                some(&self.agents)
            ));
        }
        if !self.contains.is_empty() && !has_any(text, &self.contains) {
            return Some(format!(
                "{} contains none of {}",
                shown(text),
                some(&self.contains)
            ));
        }
        None
    }

    fn regex(&self, text: &[u8]) -> Option<String> {
        if !self.regexes.is_empty() && !self.regexes.iter().any(|r| r.is_match(text)) {
            return Some(format!("no regex matches {}", shown(text)));
        }
        let ignored = self.ignore.iter().find(|r| r.is_match(text))?;
        Some(format!("ignore_regex {:?} matches", ignored.text))
    }

    /// The conditions whose values no event without `what` can have.
    pub(crate) fn captures(&self) -> bool {
        self.regexes.iter().any(Pattern::captures)
    }
}

fn has_any(text: &[u8], literals: &[String]) -> bool {
    let text = text.to_ascii_lowercase();
    let has = |literal: &String| {
        let literal = literal.to_ascii_lowercase().into_bytes();
        text.windows(literal.len()).any(|part| part == literal)
    };
    literals.iter().any(has)
}

fn shown(text: &[u8]) -> String {
    format!("\"{}\"", crate::sample::sample(text))
}

/// The first few of a list.
fn some(list: &[String]) -> String {
    const SHOWN: usize = 8;
    let first = list.get(..SHOWN).unwrap_or(list).join(", ");
    match list.len().saturating_sub(SHOWN) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
