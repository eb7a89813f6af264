//! Takes values out of a TOML file one by one, and remembers every mistake with its line.
//!
//! Values are never shown: one of them may be a token.

use std::collections::BTreeMap;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// A file that is being read.
pub(super) struct Reader<'a> {
    values: BTreeMap<String, (usize, Spanned<DeValue<'a>>)>,
    /// By line, so that they are shown in the order of the file; what is missing comes last.
    mistakes: Vec<(usize, String)>,
}

impl<'a> Reader<'a> {
    /// Parses the text. Keys that are not `known` are mistakes.
    ///
    /// # Errors
    /// What is not TOML, line by line.
    pub(super) fn new(text: &'a str, known: &[&str]) -> Result<Self, Vec<String>> {
        let (table, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            let show = |e: &toml::de::Error| {
                let line = e.span().map_or(1, |span| line_of(text, span.start));
                format!("line {line}: {}", e.message())
            };
            return Err(errors.iter().map(show).collect());
        }
        let mut reader = Self {
            values: BTreeMap::new(),
            mistakes: Vec::new(),
        };
        for (key, value) in table.into_inner() {
            let line = line_of(text, key.span().start);
            let name = key.into_inner().into_owned();
            if known.contains(&name.as_str()) {
                reader.values.insert(name, (line, value));
            } else {
                let known = known.join(", ");
                reader.mistake(line, &format!("unknown key {name:?}; known are {known}"));
            }
        }
        Ok(reader)
    }

    pub(super) fn string(&mut self, key: &str) -> Option<String> {
        self.checked(key, |text| {
            if text.is_empty() {
                Err("must not be empty".into())
            } else {
                Ok(text.to_owned())
            }
        })
    }

    /// A string that `check` turns into something better.
    pub(super) fn checked<T>(
        &mut self,
        key: &str,
        check: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.value(key, "a string in quotes", |value| value.as_str().map(check))
    }

    pub(super) fn boolean(&mut self, key: &str) -> Option<bool> {
        self.value(key, "true or false", |value| value.as_bool().map(Ok))
    }

    pub(super) fn port(&mut self, key: &str) -> Option<u16> {
        self.value(key, "a number from 1 to 65535", |value| {
            let integer = value.as_integer()?;
            let port = u16::from_str_radix(integer.as_str(), integer.radix()).ok()?;
            (port > 0).then_some(Ok(port))
        })
    }

    fn value<T>(
        &mut self,
        key: &str,
        kind: &str,
        read: impl FnOnce(&DeValue<'a>) -> Option<Result<T, String>>,
    ) -> Option<T> {
        let (line, value) = self.values.get(key)?;
        let problem = match read(value.get_ref()) {
            Some(Ok(value)) => return Some(value),
            Some(Err(problem)) => problem,
            None => format!("must be {kind}"),
        };
        let line = *line;
        self.mistake(line, &format!("{key} {problem}"));
        None
    }

    /// Notes a mistake where the key is not in the file at all.
    pub(super) fn required<T>(&mut self, key: &str, value: Option<T>, by: &str) -> Option<T> {
        if !self.values.contains_key(key) {
            self.mistakes
                .push((usize::MAX, format!("{key} is missing: {by} needs it")));
        }
        value
    }

    /// Notes a mistake in the value of a key.
    pub(super) fn wrong(&mut self, key: &str, problem: &str) {
        let line = self.values.get(key).map_or(1, |(line, _)| *line);
        self.mistake(line, &format!("{key} {problem}"));
    }

    fn mistake(&mut self, line: usize, text: &str) {
        self.mistakes.push((line, format!("line {line}: {text}")));
    }

    /// All mistakes, in the order of the file.
    pub(super) fn into_mistakes(mut self) -> Vec<String> {
        self.mistakes.sort_by_key(|(line, _)| *line);
        self.mistakes.into_iter().map(|(_, text)| text).collect()
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|b| **b == b'\n').count()
}
