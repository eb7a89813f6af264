//! The values of conditions.

use super::{Checker, Pattern};
use crate::rules::status::Statuses;

/// Values of one key, and their length in bytes.
const MOST_VALUES: usize = 1_024;
const LONGEST_VALUE: usize = 256;

impl Checker {
    pub(super) fn statuses(&mut self, texts: &[String]) -> Option<Statuses> {
        if texts.is_empty() {
            return None;
        }
        match Statuses::parse(texts) {
            Ok(statuses) => return Some(statuses),
            Err(wrong) => wrong.into_iter().for_each(|m| self.wrong("status", m)),
        }
        None
    }

    pub(super) fn methods(&mut self, methods: &[String]) -> Vec<String> {
        for method in methods {
            let token = |b: u8| b.is_ascii_alphabetic() || b == b'-' || b == b'_';
            if method.is_empty() || method.len() > 32 || !method.bytes().all(token) {
                self.wrong("method", format!("{method:?} is no method of HTTP"));
            }
        }
        methods.iter().map(|m| m.to_ascii_uppercase()).collect()
    }

    pub(super) fn paths(&mut self, paths: &[String]) -> Vec<String> {
        for path in paths {
            if !path.starts_with('/') && !path.starts_with('*') {
                self.wrong("path", format!("{path:?}: paths start with / or *"));
            }
            if path.contains('?') {
                let message = format!("{path:?}: paths have no query; put it into contains");
                self.wrong("path", message);
            }
        }
        self.values("path", paths)
    }

    pub(super) fn hosts(&mut self, hosts: &[String]) -> Vec<String> {
        let hosts = self.values("host", hosts);
        hosts.iter().map(|host| host.to_ascii_lowercase()).collect()
    }

    pub(super) fn values(&mut self, key: &str, values: &[String]) -> Vec<String> {
        if values.len() > MOST_VALUES {
            let message = format!("{} values, at most {MOST_VALUES} are allowed", values.len());
            self.wrong(key, message);
            return Vec::new();
        }
        for value in values {
            if value.is_empty() {
                self.wrong(key, "an empty value");
            } else if value.len() > LONGEST_VALUE {
                let message = format!("a value has {} bytes, at most {LONGEST_VALUE}", value.len());
                self.wrong(key, message);
            }
        }
        let fine = |value: &&String| (1..=LONGEST_VALUE).contains(&value.len());
        values.iter().filter(fine).cloned().collect()
    }

    pub(super) fn regexes(&mut self, key: &str, regexes: &[String]) -> Vec<Pattern> {
        if regexes.len() > MOST_VALUES {
            let message = format!("{} regexes, at most {MOST_VALUES}", regexes.len());
            self.wrong(key, message);
            return Vec::new();
        }
        let mut checked = Vec::new();
        for regex in regexes {
            match Pattern::new(regex) {
                Ok(pattern) => checked.push(pattern),
                Err(message) => self.wrong(key, message),
            }
        }
        for message in checked.iter().filter_map(Pattern::warning) {
            let warning = self.mistake(key, message);
            self.warnings.push(warning);
        }
        checked
    }
}
