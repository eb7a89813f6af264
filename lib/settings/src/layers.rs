//! A configuration of several texts: files that must not contradict each other, and defaults below them.
//!
//! Each text is parsed behind blanks as long as all texts before it. So positions are those in the texts put together,
//! one [`Section`] reads them all, and each mistake is brought back to its file.

use std::{borrow::Cow, collections::BTreeMap, path::PathBuf};

use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

use crate::{
    ConfigErrors, Mistake, Section,
    reader::{self, LineStarts, Reader},
};

/// One text.
#[derive(Clone, Debug)]
pub struct Part {
    /// The file, for messages.
    pub path: PathBuf,
    /// Its content.
    pub text: String,
}

/// Texts that are one configuration.
#[derive(Debug)]
pub struct Layers<'l> {
    /// The files. A key in two of them is a mistake, except for `named` and `lists`. There is at least one.
    pub files: &'l [Part],
    /// Defaults: what they have takes effect where the files have nothing.
    pub below: &'l [Part],
    /// Tables of named tables, such as `jail` in `[jail.login]`: each name may be in another file. Defaults are taken key
    /// by key.
    pub named: &'l [&'l str],
    /// Arrays, or strings in the place of one element, that are gathered from all files.
    pub lists: &'l [&'l str],
    /// Keys of named tables of which there is one at most: one of a file displaces the others of the defaults.
    pub either: &'l [&'l [&'l str]],
}

type Value<'a> = Spanned<DeValue<'a>>;
type Key<'a> = Spanned<Cow<'a, str>>;

impl Layers<'_> {
    /// Parses all, and passes the root of the whole to `read`, as [`parse`](crate::parse) does.
    ///
    /// # Errors
    /// All mistakes, those of each file together.
    pub fn parse<T>(
        &self,
        read: impl FnOnce(&mut Section<'_>) -> Option<T>,
    ) -> Result<T, Vec<ConfigErrors>> {
        let all: Vec<&Part> = self.files.iter().chain(self.below).collect();
        let places = Places::of(&all);
        let (mut tables, mut mistakes) = (Vec::new(), Vec::new());
        for text in &places.padded {
            match reader::document(text) {
                Ok(table) => tables.push(table.into_inner()),
                Err(of_file) => mistakes.extend(of_file),
            }
        }
        if !mistakes.is_empty() {
            return Err(places.grouped(&all, mistakes));
        }
        let reader = Reader::new(&places.together);
        let below = tables.split_off(self.files.len());
        let mut root = DeTable::new();
        for table in tables {
            self.add(&mut root, table, &places, &reader);
        }
        for table in below {
            self.fill(&mut root, table);
        }
        let mut section = Section::root(&reader, &root);
        let checked = read(&mut section);
        section.finish();
        match (checked, reader.into_mistakes()) {
            (Some(checked), mistakes) if mistakes.is_empty() => Ok(checked),
            (_, mistakes) => Err(places.grouped(&all, mistakes)),
        }
    }

    /// Adds a file.
    fn add<'a>(
        &self,
        root: &mut DeTable<'a>,
        table: DeTable<'a>,
        places: &Places,
        reader: &Reader,
    ) {
        for (key, value) in table {
            let name = key.get_ref().clone();
            let value = match self.lists.contains(&name.as_ref()) {
                true => listed(value),
                false => value,
            };
            match root.get_mut(name.as_ref()).map(Spanned::get_mut) {
                None => drop(root.insert(key, value)),
                Some(DeValue::Table(into)) if self.named.contains(&name.as_ref()) => {
                    let (span, value) = (value.span(), value.into_inner());
                    if let DeValue::Table(more) = value {
                        for (key, value) in more {
                            let full = format!("{name}.{}", key.get_ref());
                            let first = into.get_key_value(key.get_ref().as_ref());
                            match first.map(|(first, _)| first.span().start) {
                                None => drop(into.insert(key, value)),
                                Some(first) => {
                                    reader.twice(&full, key.span().start, &places.at(first));
                                }
                            }
                        }
                    } else {
                        reader.twice(&name, span.start, "a table elsewhere");
                    }
                }
                Some(DeValue::Array(into)) if self.lists.contains(&name.as_ref()) => {
                    let span = value.span();
                    match value.into_inner() {
                        DeValue::Array(more) => more.into_iter().for_each(|value| into.push(value)),
                        _ => reader.twice(&name, span.start, "an array elsewhere"),
                    }
                }
                Some(_) => {
                    let first = root.get_key_value(name.as_ref());
                    let first = first.map_or(0, |(first, _)| first.span().start);
                    reader.twice(&name, key.span().start, &places.at(first));
                }
            }
        }
    }

    /// Adds defaults.
    fn fill<'a>(&self, root: &mut DeTable<'a>, table: DeTable<'a>) {
        for (key, value) in table {
            let named = self.named.contains(&key.get_ref().as_ref());
            match (
                root.get_mut(key.get_ref().as_ref()).map(Spanned::get_mut),
                named,
            ) {
                (None, _) => drop(root.insert(key, value)),
                (Some(DeValue::Table(into)), true) => {
                    let DeValue::Table(more) = value.into_inner() else {
                        continue;
                    };
                    for (name, value) in more {
                        self.fill_named(into, name, value);
                    }
                }
                _ => {}
            }
        }
    }

    fn fill_named<'a>(&self, into: &mut DeTable<'a>, name: Key<'a>, value: Value<'a>) {
        let own = match into.get_mut(name.get_ref().as_ref()).map(Spanned::get_mut) {
            None => return drop(into.insert(name, value)),
            Some(DeValue::Table(own)) => own,
            Some(_) => return,
        };
        let DeValue::Table(more) = value.into_inner() else {
            return;
        };
        let displaced: Vec<&str> = (self.either.iter())
            .filter(|keys| keys.iter().any(|key| own.contains_key(*key)))
            .flat_map(|keys| keys.iter().copied())
            .collect();
        for (key, value) in more {
            let known = own.contains_key(key.get_ref().as_ref());
            if !known && !displaced.contains(&key.get_ref().as_ref()) {
                own.insert(key, value);
            }
        }
    }
}

/// One string as an array of it.
fn listed(value: Value<'_>) -> Value<'_> {
    let span = value.span();
    match value.into_inner() {
        one @ DeValue::String(_) => {
            let mut list = DeArray::new();
            list.push(Spanned::new(span.clone(), one));
            Spanned::new(span, DeValue::Array(list))
        }
        other => Spanned::new(span, other),
    }
}

/// Where each text is in all texts together.
struct Places {
    together: String,
    padded: Vec<String>,
    /// Path and first line, counted from 0.
    lines: Vec<(PathBuf, usize)>,
}

impl Places {
    fn of(parts: &[&Part]) -> Self {
        let mut places = Self {
            together: String::new(),
            padded: Vec::new(),
            lines: Vec::new(),
        };
        for part in parts {
            let line = places.together.matches('\n').count();
            places.lines.push((part.path.clone(), line));
            let blank = |byte| if byte == b'\n' { '\n' } else { ' ' };
            let blanks: String = places.together.bytes().map(blank).collect();
            places.padded.push(blanks + &part.text);
            places.together.push_str(&part.text);
            places.together.push('\n');
        }
        places
    }

    /// `FILE:LINE` of an offset.
    fn at(&self, offset: usize) -> String {
        let line = LineStarts::of(&self.together).line_at(offset);
        let (n, line) = self.local(line);
        let path = self.lines.get(n).map(|(path, _)| path.display());
        path.map_or(String::new(), |path| format!("{path}:{line}"))
    }

    /// The index of the text, and the line in it.
    fn local(&self, line: usize) -> (usize, usize) {
        let after = self.lines.iter().take_while(|(_, first)| *first < line);
        let n = after.count().saturating_sub(1);
        let first = self.lines.get(n).map_or(0, |(_, first)| *first);
        (n, line - first)
    }

    /// Mistakes by file, in the order of files. Those without a line are the first file's.
    fn grouped(&self, parts: &[&Part], mistakes: Vec<Mistake>) -> Vec<ConfigErrors> {
        let mut by_file: BTreeMap<usize, Vec<Mistake>> = BTreeMap::new();
        for mistake in mistakes {
            let (n, line) = match mistake.line.map(|line| self.local(line)) {
                Some((n, line)) => (n, Some(line)),
                None => (0, None),
            };
            by_file
                .entry(n)
                .or_default()
                .push(Mistake { line, ..mistake });
        }
        let errors = |(n, mistakes): (usize, _)| ConfigErrors::new(&parts[n].path, mistakes);
        by_file.into_iter().map(errors).collect()
    }
}

impl Reader {
    fn twice(&self, key: &str, offset: usize, first: &str) {
        let line = self.line_of(offset);
        self.note(Mistake {
            line: Some(line),
            key: Some(key.to_owned()),
            message: format!("is already in {first}: keep one of them"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(path: &str, text: &str) -> Part {
        Part {
            path: path.into(),
            text: text.to_owned(),
        }
    }

    /// The text of each `[jail.NAME]`, and the mistakes as they are printed.
    fn read(files: &[Part], below: &[Part]) -> Result<Vec<String>, String> {
        let layers = Layers {
            files,
            below,
            named: &["jail"],
            lists: &["presets"],
            either: &[&["file", "udp"]],
        };
        let read = layers.parse(|root| {
            let presets = root.strings("presets").unwrap_or_default();
            let mut all: Vec<String> = presets.into_iter().map(|(text, _)| text).collect();
            root.int("top", 0..=9, Some(0));
            for (name, mut jail) in root.tables_by_name("jail")? {
                let rate = jail.int("rate", 1..=100, None);
                let file = jail.string("file").unwrap();
                let udp = jail.string("udp").unwrap();
                jail.finish();
                all.push(format!(
                    "{name} {rate:?} {:?} {:?}",
                    file.map(|f| f.0),
                    udp.map(|f| f.0)
                ));
            }
            root.mistake_at("jail.a.rate", "checked".to_owned());
            Some(all)
        });
        read.map_err(|errors| {
            let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
            errors.join("\n")
        })
    }

    #[test]
    fn mistakes_name_the_file_and_line_that_they_are_in() {
        let files = [
            part(
                "a.toml",
                "presets = [\"x\"]\n[jail.a]\nrate = 1\n[jail.b]\nrate = 0",
            ),
            part("b.toml", "\n\n[jail.c]\nrat = 1\n[jail.a]\nrate = 2\n"),
            part("c.toml", "presets = [\"y\"]\ntop = 10\n"),
            part("d.toml", "top = 11\n"),
        ];
        assert_eq!(
            read(&files, &[]).unwrap_err(),
            "a.toml:3: jail.a.rate: checked\n\
             a.toml:5: jail.b.rate: 0 is not in the range from 1 to 100\n\
             b.toml:3: jail.c.rate: is missing\n\
             b.toml:4: jail.c.rat: unknown key; known here: file, rate, udp\n\
             b.toml:5: jail.a: is already in a.toml:2: keep one of them\n\
             c.toml:2: top: 10 is not in the range from 0 to 9\n\
             d.toml:1: top: is already in c.toml:2: keep one of them"
        );
    }

    #[test]
    fn a_string_is_a_list_of_one() {
        let files = [
            part("a.toml", "presets = \"x\"\n"),
            part("b.toml", "presets = [\"y\"]\n"),
            part("c.toml", "presets = \"z\"\n"),
        ];
        let layers = Layers {
            files: &files,
            below: &[],
            named: &[],
            lists: &["presets"],
            either: &[],
        };
        let words = layers.parse(|root| root.words("presets")).unwrap();
        let words: Vec<_> = words.iter().map(|(word, _)| word.as_str()).collect();
        assert_eq!(words, ["x", "y", "z"]);
    }

    #[test]
    fn a_file_that_is_not_toml_is_named_with_its_line() {
        let files = [part("a.toml", "top = 1\n"), part("b.toml", "\n= 1\n")];
        let told = read(&files, &[]).unwrap_err();
        assert!(told.starts_with("b.toml:2: not TOML"), "{told}");
    }

    #[test]
    fn defaults_are_taken_key_by_key_and_give_way_to_their_alternatives() {
        let files = [part("a.toml", "[jail.z]\nfile = \"f\"\n")];
        let below = [part(
            "preset",
            "[jail.z]\nudp = \"u\"\nrate = 3\n[jail.y]\nrate = 4\nudp = \"v\"",
        )];
        let read = read(&files, &below).unwrap_err();
        assert_eq!(read, "a.toml:1: jail.a.rate: checked");
        let layers = Layers {
            files: &files,
            below: &below,
            named: &["jail"],
            lists: &[],
            either: &[&["file", "udp"]],
        };
        let jails = layers.parse(|root| {
            let mut all = Vec::new();
            for (name, mut jail) in root.tables_by_name("jail")? {
                let rate = jail.int("rate", 1..=9, None)?;
                let udp = jail.string("udp").ok()?.map(|(udp, _)| udp.to_owned());
                let file = jail.string("file").ok()?.is_some();
                all.push((name.to_owned(), rate, udp, file));
            }
            Some(all)
        });
        let y = ("y".to_owned(), 4, Some("v".to_owned()), false);
        let z = ("z".to_owned(), 3, None, true);
        assert_eq!(jails.unwrap(), [y, z]);
    }
}
