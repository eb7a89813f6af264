//! The files of fail2ban: INI as Python's `configparser` reads it, with fail2ban's includes and its two interpolations.
//!
//! An own reader, because both interpolations (`%(name)s` of the value as written, `<name>` of what came out) look up
//! names across sections, in what an override replaced (`known/`) and in parameters of the jail.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

/// Options of a section by their lower-case name.
pub(super) type Options = BTreeMap<String, String>;

/// No file of fail2ban comes near it; a log that was named by mistake does.
const MAX_BYTES: u64 = 4 << 20;
/// Values in values, as deep as configparser goes.
const MAX_DEPTH: usize = 10;
/// Values grow by each interpolation; what grows more than this goes in a circle.
const MAX_VALUE: usize = 1 << 20;

/// Sections in the order of the files; options of later files replace those of earlier ones.
#[derive(Debug, Default)]
pub(super) struct Ini {
    defaults: Options,
    sections: Vec<(String, Options)>,
    /// What later files replaced, by section.
    known: BTreeMap<String, Options>,
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub(crate) struct Unreadable {
    path: PathBuf,
    source: io::Error,
}

impl Ini {
    /// Reads files in their order, each with those that it includes before and after it.
    pub(super) fn read(files: &[PathBuf]) -> Result<Self, Unreadable> {
        let mut whole = Self::default();
        for file in files {
            whole.include(file, &mut BTreeSet::new())?;
        }
        Ok(whole)
    }

    fn include(&mut self, file: &Path, above: &mut BTreeSet<PathBuf>) -> Result<(), Unreadable> {
        if !above.insert(file.to_owned()) {
            return Ok(());
        }
        let own = Self::parse(&text(file)?);
        let dir = file.parent().unwrap_or(Path::new("."));
        let included = |when: &str| {
            let list = own.section("INCLUDES").and_then(|s| s.get(when));
            let names = list.map_or("", String::as_str).lines();
            let names = names.map(str::trim).filter(|name| !name.is_empty());
            // With the administrator's file beside each: common.conf, then common.local.
            let with_local = |name| {
                let path = dir.join(name);
                [path.clone(), path.with_extension("local")]
            };
            let mut paths: Vec<PathBuf> = names.flat_map(with_local).collect();
            paths.dedup();
            paths.retain(|path| path.exists());
            paths
        };
        for path in included("before") {
            self.include(&path, above)?;
        }
        let after = included("after");
        self.merge(own);
        for path in after {
            self.include(&path, above)?;
        }
        above.remove(file);
        Ok(())
    }

    /// The sections of one file. Lines that are nothing are passed over, as a program of others may know them.
    pub(super) fn parse(text: &str) -> Self {
        let mut ini = Self::default();
        let mut section: Option<String> = None;
        let mut option: Option<String> = None;
        let mut indent = 0;
        for line in text.lines() {
            let is_comment = line.trim_start().starts_with(['#', ';']);
            let code = if is_comment {
                ""
            } else {
                without_comment(line)
            };
            let depth = line.len() - line.trim_start().len();
            let value = code.trim();
            if value.is_empty() {
                continue;
            }
            let target = section.as_ref().map(|name| ini.options(name));
            if let (Some(options), Some(name), true) = (target, &option, depth > indent) {
                let whole = options.entry(name.clone()).or_default();
                whole.push('\n');
                *whole += value;
                continue;
            }
            indent = depth;
            if let Some(name) = value.strip_prefix('[').and_then(|v| v.split_once(']')) {
                section = Some(name.0.to_owned());
                option = None;
                ini.options(name.0);
            } else if let (Some(in_section), Some(at)) = (&section, value.find(['=', ':'])) {
                let name = value[..at].trim().to_lowercase();
                let value = value[at + 1..].trim().to_owned();
                ini.options(in_section).insert(name.clone(), value);
                option = Some(name);
            }
        }
        ini
    }

    fn merge(&mut self, later: Self) {
        self.defaults.extend(later.defaults);
        for (name, options) in later.sections {
            let own = self.options(&name);
            let replaced = options.keys().filter_map(|key| own.get_key_value(key));
            let replaced: Options = replaced.map(|(k, v)| (k.clone(), v.clone())).collect();
            own.extend(options);
            self.known.entry(name).or_default().extend(replaced);
        }
    }

    fn options(&mut self, name: &str) -> &mut Options {
        if name == "DEFAULT" {
            return &mut self.defaults;
        }
        let at = self.sections.iter().position(|(known, _)| known == name);
        let at = at.unwrap_or_else(|| {
            self.sections.push((name.to_owned(), Options::new()));
            self.sections.len() - 1
        });
        &mut self.sections[at].1
    }

    /// The options that a section has itself, as they are written.
    pub(super) fn section(&self, name: &str) -> Option<&Options> {
        let mut sections = self.sections.iter();
        Some(&sections.find(|(known, _)| known == name)?.1)
    }

    /// Names of the sections, in order.
    pub(super) fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().map(|(name, _)| name.as_str())
    }

    /// Sets an option that no file has yet.
    pub(super) fn set_default(&mut self, name: &str, value: String) {
        self.defaults.entry(name.to_owned()).or_insert(value);
    }

    fn raw(&self, section: &str, option: &str) -> Option<&String> {
        let own = self.section(section).and_then(|s| s.get(option));
        own.or_else(|| self.defaults.get(option))
    }

    /// The value of an option with `%(names)s` filled in; `vars` win over the section. `None`: there is no such option.
    ///
    /// # Errors
    ///
    /// The name that is nowhere, or the one that stands for itself.
    pub(super) fn get(
        &self,
        section: &str,
        option: &str,
        vars: &Options,
    ) -> Result<Option<String>, String> {
        let raw = vars.get(option).or_else(|| self.raw(section, option));
        let filled = raw.map(|raw| self.fill(section, raw, vars, 0));
        filled.transpose()
    }

    /// The same for names such as `lt_file/__prefix_line`, which name their section.
    pub(super) fn get_across(
        &self,
        section: &str,
        name: &str,
        vars: &Options,
    ) -> Result<Option<String>, String> {
        if let Some((other, option)) = name.split_once('/') {
            let other = match other.to_lowercase().as_str() {
                "known" => section,
                "default" => "DEFAULT",
                _ => other,
            };
            if let Some(value) = self.get(other, option, &Options::new())? {
                return Ok(Some(value));
            }
        }
        self.get(section, name, vars)
    }

    fn fill(
        &self,
        section: &str,
        raw: &str,
        vars: &Options,
        depth: usize,
    ) -> Result<String, String> {
        let mut out = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(at) = rest.find('%') {
            out += &rest[..at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('%') {
                (out, rest) = (out + "%", after);
                continue;
            }
            let name = rest.strip_prefix('(').and_then(|r| r.split_once(")s"));
            let (name, after) = name.ok_or_else(|| format!("a % that is no %(name)s: {raw}"))?;
            let value = self.named(section, &name.to_lowercase(), vars);
            let value = value.ok_or_else(|| format!("%({name})s is not defined"))?;
            if depth == MAX_DEPTH || out.len() > MAX_VALUE {
                return Err(format!("%({name})s stands for itself"));
            }
            out += &self.fill(section, &value, vars, depth + 1)?;
            rest = after;
        }
        out += rest;
        Ok(out)
    }

    fn named(&self, section: &str, name: &str, vars: &Options) -> Option<String> {
        if name == "__name__" {
            return Some(section.to_owned());
        }
        let found = vars.get(name).or_else(|| self.raw(section, name));
        if found.is_some() {
            return found.cloned();
        }
        let (other, option) = name.split_once('/')?;
        let found = match other {
            "known" => self.known.get(section).and_then(|k| k.get(option)),
            // Names of sections keep their case, those of options do not.
            _ => self.sections.iter().find_map(|(section, options)| {
                let same = section.eq_ignore_ascii_case(other);
                options.get(option).filter(|_| same)
            }),
        };
        found.or_else(|| self.defaults.get(option)).cloned()
    }
}

/// A `;` behind white space begins a comment, a `#` does not.
fn without_comment(line: &str) -> &str {
    let ends = line.match_indices(';').map(|(at, _)| at);
    let mut ends = ends.filter(|at| line[..*at].ends_with(char::is_whitespace));
    ends.next().map_or(line, |end| &line[..end])
}

fn text(path: &Path) -> Result<String, Unreadable> {
    let read = || {
        let size = fs::metadata(path)?.len();
        if size > MAX_BYTES {
            return Err(io::Error::other(format!("{size} bytes: no configuration")));
        }
        Ok(String::from_utf8_lossy(&fs::read(path)?).into_owned())
    };
    read().map_err(|source| Unreadable {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(ini: &Ini, section: &str, option: &str) -> Option<String> {
        ini.get(section, option, &Options::new()).unwrap()
    }

    #[test]
    fn values_go_on_in_indented_lines_and_comments_end() {
        let ini = Ini::parse(
            "[a]\nx = one ; no\n    two\n  # no\n\n    three;yes\nY: 2\n# [b]\n[b]\nz=a=b#c\n",
        );
        assert_eq!(get(&ini, "a", "x").unwrap(), "one\ntwo\nthree;yes");
        assert_eq!(get(&ini, "a", "y").unwrap(), "2");
        assert_eq!(get(&ini, "b", "z").unwrap(), "a=b#c");
        assert_eq!(get(&ini, "b", "none"), None);
    }

    #[test]
    fn names_are_filled_in_from_the_section_then_the_defaults_then_where_they_say() {
        let ini = Ini::parse(
            "[DEFAULT]\nx = %(y)s!\ny = d\n[a]\ny = %%%(__name__)s\n[b]\nz = %(A/y)s %(default/y)s %(x)s",
        );
        assert_eq!(get(&ini, "a", "x").unwrap(), "%a!");
        assert_eq!(get(&ini, "b", "z").unwrap(), "%b d d!");
        let vars = Options::from([("y".into(), "v".into())]);
        assert_eq!(ini.get("b", "x", &vars).unwrap().unwrap(), "v!");
    }

    #[test]
    fn what_stands_for_itself_and_what_is_nowhere_is_an_error_not_a_loop() {
        let ini = Ini::parse("[a]\nx = %(y)s%(y)s\ny = %(x)s%(x)s\nz = %(nowhere)s\nw = 5%");
        let error = |option| ini.get("a", option, &Options::new()).unwrap_err();
        assert!(error("x").ends_with("stands for itself"));
        assert_eq!(error("z"), "%(nowhere)s is not defined");
        assert!(error("w").starts_with("a % that is no"));
    }

    #[test]
    fn included_files_come_before_and_after_and_may_name_what_they_replace() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("common.conf", "[DEFAULT]\nd = c\n[s]\na = common\nb = 1\n");
        write("common.local", "[s]\nb = 2\n");
        write(
            "main.conf",
            "[INCLUDES]\nbefore = common.conf\nafter = missing.local\n  main.conf\n[s]\na = %(known/a)s+main",
        );
        let ini = Ini::read(&[dir.path().join("main.conf")]).unwrap();
        assert_eq!(get(&ini, "s", "a").unwrap(), "common+main");
        assert_eq!(get(&ini, "s", "b").unwrap(), "2");
        assert_eq!(get(&ini, "s", "d").unwrap(), "c");
    }

    #[test]
    fn a_file_that_is_missing_or_huge_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.conf");
        let error = Ini::read(std::slice::from_ref(&path)).unwrap_err();
        assert!(error.to_string().contains("x.conf: "), "{error}");
        fs::File::create(&path)
            .unwrap()
            .set_len(MAX_BYTES + 1)
            .unwrap();
        let error = Ini::read(&[path]).unwrap_err();
        assert!(error.to_string().ends_with("no configuration"), "{error}");
    }
}
