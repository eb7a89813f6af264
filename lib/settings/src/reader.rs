//! Reads spanned TOML key by key, to report all mistakes with their lines.
//!
//! serde's derive with `deny_unknown_fields` would be shorter, but stops at the first mistake: where a library brings such a
//! type, [`Section::typed`] goes on behind each of them.

use std::{borrow::Cow, cell::RefCell, collections::BTreeSet, path::PathBuf};

use serde::de::{DeserializeOwned, IntoDeserializer};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::Mistake;

/// Parses the text. If it is not TOML, only syntax errors are reported, as anything else would be guesswork.
pub(crate) fn document(text: &str) -> Result<Spanned<DeTable<'_>>, Vec<Mistake>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Ok(table);
    }
    let lines = LineStarts::of(text);
    let mistake = |e: toml::de::Error| Mistake {
        line: e.span().map(|s| lines.line_at(s.start)),
        key: None,
        message: format!("not TOML: {}", e.message()),
    };
    Err(errors.into_iter().map(mistake).collect())
}

/// Where lines end, so that the line of each value of a long file is found without reading what comes before it again.
pub(crate) struct LineStarts(Vec<usize>);

impl LineStarts {
    pub(crate) fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(ends.map(|(offset, _)| offset).collect())
    }

    /// The line of an offset, counted from 1.
    pub(crate) fn line_at(&self, offset: usize) -> usize {
        1 + self.0.partition_point(|end| *end < offset)
    }
}

/// Collects mistakes.
pub(crate) struct Reader {
    lines: LineStarts,
    mistakes: RefCell<Vec<Mistake>>,
}

impl Reader {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            lines: LineStarts::of(text),
            mistakes: RefCell::default(),
        }
    }

    pub(crate) fn line_of(&self, offset: usize) -> usize {
        self.lines.line_at(offset)
    }

    pub(crate) fn note(&self, mistake: Mistake) {
        self.mistakes.borrow_mut().push(mistake);
    }

    pub(crate) fn into_mistakes(self) -> Vec<Mistake> {
        self.mistakes.into_inner()
    }
}

/// A table that is being read. [`Section::finish`] reports keys that were not read as unknown.
pub struct Section<'a> {
    pub(crate) reader: &'a Reader,
    pub(crate) name: String,
    pub(crate) line: Option<usize>,
    pub(crate) table: Option<&'a DeTable<'a>>,
    asked: BTreeSet<&'static str>,
}

/// A mistake was reported already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted;

/// An item of an array that holds strings and tables.
pub enum Item<'a> {
    /// A string, and its line.
    Text(&'a str, usize),
    /// A table.
    Table(Section<'a>),
}

/// A value and its position.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The value as written.
    pub value: &'a DeValue<'a>,
    /// The line, counted from 1.
    pub line: usize,
}

impl<'a> Section<'a> {
    pub(crate) fn root(reader: &'a Reader, table: &'a DeTable<'a>) -> Self {
        Self::new(reader, String::new(), None, Some(table))
    }

    fn new(
        reader: &'a Reader,
        name: String,
        line: Option<usize>,
        table: Option<&'a DeTable<'a>>,
    ) -> Self {
        Self {
            reader,
            name,
            line,
            table,
            asked: BTreeSet::new(),
        }
    }

    /// Its path in the file, as in `a.b[0]`; empty for the root.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reports a mistake. Always returns None, for use as the caller's result.
    pub fn mistake<T>(&self, line: Option<usize>, key: &str, message: String) -> Option<T> {
        self.reader.mistakes.borrow_mut().push(Mistake {
            line: line.or(self.line),
            key: Some(self.full(key)),
            message,
        });
        None
    }

    /// Reports a mistake in the name of this table.
    pub fn mistake_here(&self, message: String) {
        self.reader.note(Mistake {
            line: self.line,
            key: Some(self.name.clone()),
            message,
        });
    }

    /// Its line; None for the root and for a table that is missing.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    fn full(&self, key: &str) -> String {
        match self.name.as_str() {
            "" => key.to_owned(),
            name => format!("{name}.{key}"),
        }
    }

    fn found(&self, spanned: &'a Spanned<DeValue<'a>>) -> Found<'a> {
        Found {
            line: self.reader.line_of(spanned.span().start),
            value: spanned.get_ref(),
        }
    }

    /// The value of a key, whatever its type.
    pub fn get(&mut self, key: &'static str) -> Option<Found<'a>> {
        self.asked.insert(key);
        Some(self.found(self.table?.get(key)?))
    }

    fn wrong_type<T>(&self, key: &str, found: &Found<'_>, wanted: &str) -> Option<T> {
        let got = found.value.type_str();
        let article = if got.starts_with(['a', 'i', 'o']) {
            "an"
        } else {
            "a"
        };
        let message = format!("must be {wanted}, not {article} {got}");
        self.mistake(Some(found.line), key, message)
    }

    /// A subtable; an empty one if it is missing.
    pub fn table(&mut self, key: &'static str) -> Section<'a> {
        let name = self.full(key);
        let Some(found) = self.get(key) else {
            return Self::new(self.reader, name, None, None);
        };
        let table = found.value.as_table();
        if table.is_none() {
            self.wrong_type::<()>(key, &found, "a table");
        }
        Self::new(self.reader, name, Some(found.line), table)
    }

    /// The subtables of a table whose names are up to the user, as in `[jail.NAME]`, by name. None if one is not a table.
    pub fn tables_by_name(&mut self, key: &'static str) -> Option<Vec<(&'a str, Section<'a>)>> {
        let outer = self.table(key);
        let there = self.table.is_some_and(|table| table.contains_key(key));
        if there && outer.table.is_none() {
            return None;
        }
        let section = |(name, value): (&'a Spanned<Cow<'a, str>>, &'a Spanned<DeValue<'a>>)| {
            let (name, found) = (name.get_ref().as_ref(), self.found(value));
            match found.value.as_table() {
                Some(table) => {
                    let full = outer.full(name);
                    let section = Self::new(self.reader, full, Some(found.line), Some(table));
                    Some((name, section))
                }
                None => outer.wrong_type(name, &found, "a table"),
            }
        };
        let all = outer.table.into_iter().flat_map(|table| table.iter());
        let all: Vec<_> = all.map(section).collect();
        all.into_iter().collect()
    }

    /// The words of a key that has one or an array of them: strings and whole numbers, each with its line. Empty if it is
    /// missing. None after a mistake.
    pub fn words(&mut self, key: &'static str) -> Option<Vec<(String, usize)>> {
        let Some(found) = self.get(key) else {
            return Some(Vec::new());
        };
        let word = |found: &Found<'a>| match found.value {
            DeValue::String(text) => Some(text.clone().into_owned()),
            DeValue::Integer(number) => Some(number.to_string()),
            _ => None,
        };
        let Some(items) = found.value.as_array() else {
            let word = word(&found).map(|word| Vec::from([(word, found.line)]));
            return word.or_else(|| self.wrong_type(key, &found, "a string, or an array of them"));
        };
        let items = items.iter().enumerate().map(|(n, item)| {
            let item = self.found(item);
            let word = word(&item).map(|word| (word, item.line));
            word.or_else(|| self.wrong_type(&format!("{key}[{n}]"), &item, "a string"))
        });
        let words: Vec<_> = items.collect();
        words.into_iter().collect()
    }

    /// Reports a mistake in a dotted key below this table, such as `jail.login.rate`, found by a check of the whole. Its
    /// line is that of the longest part of the key that is there.
    pub fn mistake_at(&self, key: &str, message: String) {
        let (mut table, mut line) = (self.table, self.line);
        for part in key.split('.') {
            let name = part.split('[').next().unwrap_or(part);
            let Some(value) = table.and_then(|table| table.get(name)) else {
                break;
            };
            let found = self.found(value);
            (table, line) = (found.value.as_table(), Some(found.line));
        }
        self.mistake::<()>(line, key, message);
    }

    /// The tables of an array, as in `[[…]]`. None if an element is not a table.
    pub fn tables(&mut self, key: &'static str) -> Option<Vec<Section<'a>>> {
        let Some(found) = self.get(key) else {
            return Some(Vec::new());
        };
        let Some(items) = found.value.as_array() else {
            return self.wrong_type(key, &found, "an array of tables");
        };
        let section = |(n, item): (usize, &'a Spanned<DeValue<'a>>)| {
            let item = self.found(item);
            let name = format!("{}[{n}]", self.full(key));
            match item.value.as_table() {
                Some(table) => Some(Self::new(self.reader, name, Some(item.line), Some(table))),
                None => self.wrong_type(&format!("{key}[{n}]"), &item, "a table"),
            }
        };
        let sections: Vec<_> = items.iter().enumerate().map(section).collect();
        sections.into_iter().collect()
    }

    /// The strings of an array, each with its line. None if it is missing, or after a mistake.
    pub fn strings(&mut self, key: &'static str) -> Option<Vec<(String, usize)>> {
        let found = self.get(key)?;
        let Some(items) = found.value.as_array() else {
            return self.wrong_type(key, &found, "an array of strings");
        };
        let text = |(n, item): (usize, &'a Spanned<DeValue<'a>>)| {
            let item = self.found(item);
            match item.value.as_str() {
                Some(text) => Some((text.to_owned(), item.line)),
                None => self.wrong_type(&format!("{key}[{n}]"), &item, "a string"),
            }
        };
        let texts: Vec<_> = items.iter().enumerate().map(text).collect();
        texts.into_iter().collect()
    }

    /// Hands out the items of an array of strings and tables. An array may be long: none of them is kept.
    pub fn each_item(&mut self, key: &'static str, mut each: impl FnMut(Item<'a>)) {
        let Some(found) = self.get(key) else { return };
        let Some(items) = found.value.as_array() else {
            self.wrong_type::<()>(key, &found, "an array");
            return;
        };
        for (n, item) in items.iter().enumerate() {
            let found = self.found(item);
            match found.value {
                DeValue::String(text) => each(Item::Text(text, found.line)),
                DeValue::Table(table) => {
                    let name = format!("{}[{n}]", self.full(key));
                    let section = Self::new(self.reader, name, Some(found.line), Some(table));
                    each(Item::Table(section));
                }
                _ => {
                    let wanted = "a string or a table";
                    self.wrong_type::<()>(&format!("{key}[{n}]"), &found, wanted);
                }
            }
        }
    }

    /// A value of a type that serde reads, which stops at the first mistake. `Ok(None)` if the key is missing.
    ///
    /// # Errors
    /// [`Noted`] if it cannot be read.
    pub fn value<T: DeserializeOwned>(&mut self, key: &'static str) -> Result<Option<T>, Noted> {
        self.asked.insert(key);
        let Some(spanned) = self.table.and_then(|table| table.get(key)) else {
            return Ok(None);
        };
        let line = |offset: usize| Some(self.reader.line_of(offset));
        T::deserialize(spanned.clone().into_deserializer())
            .map(Some)
            .map_err(|error: toml::de::Error| {
                let at = error.span().unwrap_or(spanned.span()).start;
                self.mistake::<()>(line(at), key, error.message().to_owned());
                Noted
            })
    }

    /// A string and its line; `Ok(None)` if the key is missing.
    ///
    /// # Errors
    /// [`Noted`] if it is not a string.
    pub fn string(&mut self, key: &'static str) -> Result<Option<(&'a str, usize)>, Noted> {
        let Some(found) = self.get(key) else {
            return Ok(None);
        };
        match found.value.as_str() {
            Some(text) => Ok(Some((text, found.line))),
            None => self
                .wrong_type::<()>(key, &found, "a string")
                .map_or(Err(Noted), |()| Err(Noted)),
        }
    }

    /// `true` or `false`.
    pub fn bool(&mut self, key: &'static str, default: bool) -> Option<bool> {
        let Some(found) = self.get(key) else {
            return Some(default);
        };
        found
            .value
            .as_bool()
            .or_else(|| self.wrong_type(key, &found, "true or false"))
    }

    /// An integer in a range. Without a default, the key is required.
    pub fn int(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<u64>,
        default: Option<u64>,
    ) -> Option<u64> {
        let Some(found) = self.get(key) else {
            return default.or_else(|| self.mistake(None, key, "is missing".to_owned()));
        };
        let Some(number) = found.value.as_integer() else {
            return self.wrong_type(key, &found, "a whole number");
        };
        let (low, high) = (range.start(), range.end());
        u64::from_str_radix(number.as_str(), number.radix())
            .ok()
            .filter(|n| range.contains(n))
            .or_else(|| {
                let message = format!("{number} is not in the range from {low} to {high}");
                self.mistake(Some(found.line), key, message)
            })
    }

    /// A number in a range, with or without a fraction.
    pub fn float(
        &mut self,
        key: &'static str,
        range: std::ops::RangeInclusive<f64>,
        default: f64,
    ) -> Option<f64> {
        let Some(found) = self.get(key) else {
            return Some(default);
        };
        let text = match found.value {
            DeValue::Float(number) => number.as_str().to_owned(),
            DeValue::Integer(number) => number.as_str().to_owned(),
            _ => return self.wrong_type(key, &found, "a number"),
        };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.or_else(|| {
            let (low, high) = (range.start(), range.end());
            let message = format!("{text} is not in the range from {low} to {high}");
            self.mistake(Some(found.line), key, message)
        })
    }

    /// One of the given words.
    pub fn one_of<T: Copy>(
        &mut self,
        key: &'static str,
        choices: &[(&str, T)],
        default: T,
    ) -> Option<T> {
        let Some((text, line)) = self.string(key).ok()? else {
            return Some(default);
        };
        if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == text) {
            return Some(*choice);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let message = format!("{text:?} is none of: {}", names.join(", "));
        self.mistake(Some(line), key, message)
    }

    /// An absolute path.
    pub fn path(&mut self, key: &'static str, default: &str) -> Option<PathBuf> {
        let Some((text, line)) = self.string(key).ok()? else {
            return Some(default.into());
        };
        if text.starts_with('/') && !text.contains('\0') {
            return Some(text.into());
        }
        let message = format!("{text:?} must be an absolute path, as in {default:?}");
        self.mistake(Some(line), key, message)
    }

    /// A required string that is not empty.
    pub fn required(&mut self, key: &'static str) -> Option<(&'a str, usize)> {
        match self.string(key) {
            Ok(Some((text, line))) if !text.is_empty() => Some((text, line)),
            Ok(Some((_, line))) => self.mistake(Some(line), key, "is empty".to_owned()),
            Ok(None) => self.mistake(None, key, "is missing".to_owned()),
            Err(Noted) => None,
        }
    }

    /// Reports every key that was not read.
    pub fn finish(self) {
        let table = self.table.into_iter().flat_map(|t| t.iter());
        for (key, _) in table.filter(|(k, _)| !self.asked.contains(k.get_ref().as_ref())) {
            let line = self.reader.line_of(key.span().start);
            let known: Vec<&str> = self.asked.iter().copied().collect();
            let message = format!("unknown key; known here: {}", known.join(", "));
            self.mistake::<()>(Some(line), key.get_ref(), message);
        }
    }
}
