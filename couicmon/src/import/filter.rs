//! A filter of fail2ban with the parameters of a jail: what its options say once all names in them are filled in.

use std::path::{Path, PathBuf};

use super::ini::{Ini, Options};

/// A value in which so many tags were replaced goes in a circle.
const MAX_REPLACED: usize = 500;
const MAX_VALUE: usize = 1 << 20;

/// What a filter looks for.
#[derive(Debug, Default)]
pub(super) struct Filter {
    pub(super) fail: Vec<String>,
    pub(super) ignore: Vec<String>,
    pub(super) prefix: Option<String>,
    pub(super) dates: Vec<String>,
    /// Arguments of `journalctl`.
    pub(super) journal: Vec<String>,
    pub(super) max_lines: usize,
}

impl Filter {
    /// Reads `DIR/NAME.conf` and `DIR/NAME.local`. The options of the jail and the parameters in `filter = NAME[mode=…]`
    /// win over those of the file.
    ///
    /// # Errors
    ///
    /// A sentence for the administrator.
    pub(super) fn read(
        dir: &Path,
        name: &str,
        parameters: &Options,
        jail: &Options,
    ) -> Result<Self, String> {
        let files = |end| dir.join(format!("{name}.{end}"));
        let mut found: Vec<PathBuf> = ["conf", "local"].map(files).into();
        found.retain(|path| path.exists());
        if found.is_empty() {
            return Err(format!("{} does not exist", files("conf").display()));
        }
        let ini = Ini::read(&found).map_err(|e| e.to_string())?;
        Definition::new(&ini, parameters, jail)?.filter()
    }
}

/// Where a `<name>` finds its value.
struct Definition<'a> {
    ini: &'a Ini,
    /// Options of the jail and parameters of the filter.
    vars: Options,
    /// The parameters, and defaults of them in `[Init]`.
    init: Options,
}

impl<'a> Definition<'a> {
    fn new(ini: &'a Ini, parameters: &Options, jail: &Options) -> Result<Self, String> {
        let mut vars = jail.clone();
        vars.extend(parameters.clone());
        let mut init = parameters.clone();
        if let Some(own) = ini.section("Init") {
            for name in own.keys().filter(|name| !name.starts_with("known/")) {
                let value = ini.get("Init", name, &Options::new())?;
                let value = value.unwrap_or_default();
                init.entry(name.clone()).or_insert_with(|| value.clone());
                init.insert(format!("known/{name}"), value);
            }
        }
        Ok(Self { ini, vars, init })
    }

    fn filter(&self) -> Result<Filter, String> {
        let lines = |value: Option<String>| -> Vec<String> {
            let value = value.unwrap_or_default();
            let lines = value.lines().map(str::trim).filter(|line| !line.is_empty());
            lines.map(str::to_owned).collect()
        };
        let journal = lines(self.option("journalmatch")?).join(" + ");
        let max_lines = self.option("maxlines")?;
        Ok(Filter {
            fail: lines(self.option("failregex")?),
            ignore: lines(self.option("ignoreregex")?),
            prefix: self.option("prefregex")?.filter(|p| !p.is_empty()),
            dates: lines(self.option("datepattern")?),
            journal: journal.split_whitespace().map(str::to_owned).collect(),
            max_lines: max_lines.and_then(|n| n.parse().ok()).unwrap_or(1),
        })
    }

    fn option(&self, name: &str) -> Result<Option<String>, String> {
        let value = match self.init.get(name) {
            Some(value) => Some(value.clone()),
            None => self.ini.get("Definition", name, &self.vars)?,
        };
        value.map(|value| self.tags(name, value)).transpose()
    }

    /// Replaces `<name>` where there is such an option; others are for the regex, or text.
    fn tags(&self, option: &str, mut value: String) -> Result<String, String> {
        let mut from = 0;
        let mut replaced = 0;
        while let Some((start, end)) = tag(&value, from) {
            let name = &value[start + 1..end];
            let found = match self.init.get(name) {
                Some(found) => Some(found.clone()),
                None => self.ini.get_across("Definition", name, &self.vars)?,
            };
            let Some(found) = found else {
                from = start + 1;
                continue;
            };
            replaced += 1;
            if name == option || replaced > MAX_REPLACED || value.len() > MAX_VALUE {
                return Err(format!("<{name}> in {option} stands for itself"));
            }
            value.replace_range(start..=end, &found);
            // It may have completed a tag around it: <lt_<logtype>/…>.
            from = 0;
        }
        Ok(value)
    }
}

/// The first `<name>` at or behind `from`: where it starts, and where its `>` is.
fn tag(text: &str, from: usize) -> Option<(usize, usize)> {
    let mut start = None;
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < from) {
        match (c, start) {
            ('<', _) => start = Some(at),
            (' ' | '\n', _) => start = None,
            ('>', Some(start)) if at > start + 1 => return Some((start, at)),
            ('>', _) => start = None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn options(pairs: &[(&str, &str)]) -> Options {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    fn read(
        text: &str,
        parameters: &[(&str, &str)],
        jail: &[(&str, &str)],
    ) -> Result<Filter, String> {
        let dir = tempfile::tempdir().unwrap();
        let common = "[DEFAULT]\nlogtype = file\n_daemon = \\S*\nprefix = <lt_<logtype>/prefix>\n\
            [lt_file]\nprefix = (?:<_daemon>:)?\n[lt_journal]\nprefix = J%(lt_file/prefix)s\n";
        fs::write(dir.path().join("common.conf"), common).unwrap();
        fs::write(dir.path().join("f.conf"), text).unwrap();
        Filter::read(dir.path(), "f", &options(parameters), &options(jail))
    }

    const MODES: &str = "[INCLUDES]\nbefore = common.conf\n[Definition]\n_daemon = d\n\
        failregex = ^%(prefix)sa <HOST>$\n  <re-<mode>>\nmode = normal\nre-normal =\n\
        re-hard = ^b <F-USER>.*</F-USER> <HOST>\n  ^c <HOST>\n\
        journalmatch = _SYSTEMD_UNIT=a.service\n   _COMM=b\nmaxlines = 3\n";

    #[test]
    fn tags_take_options_of_the_filter_and_of_the_section_that_they_name() {
        let filter = read(MODES, &[("logtype", "file")], &[]).unwrap();
        assert_eq!(filter.fail, [r"^(?:d:)?a <HOST>$"]);
        assert_eq!(filter.journal, ["_SYSTEMD_UNIT=a.service", "+", "_COMM=b"]);
        assert_eq!(filter.max_lines, 3);
        let filter = read(MODES, &[("logtype", "journal")], &[]).unwrap();
        assert_eq!(filter.fail, [r"^J(?:d:)?a <HOST>$"]);
    }

    #[test]
    fn parameters_win_over_the_jail_and_the_jail_over_the_filter() {
        let filter = read(MODES, &[("mode", "hard")], &[("mode", "normal")]).unwrap();
        assert_eq!(filter.fail[1], r"^b <F-USER>.*</F-USER> <HOST>");
        assert_eq!(filter.fail.len(), 3);
        let filter = read(MODES, &[], &[("failregex", "^own <HOST>")]).unwrap();
        assert_eq!(filter.fail, ["^own <HOST>"]);
    }

    #[test]
    fn defaults_of_parameters_are_in_init_and_may_be_extended() {
        let text = "[Definition]\nfailregex = <x>\n[Init]\nx = a <HOST>";
        assert_eq!(read(text, &[], &[]).unwrap().fail, ["a <HOST>"]);
        let extended = read(text, &[("x", "<known/x> b")], &[]).unwrap();
        assert_eq!(extended.fail, ["a <HOST> b"]);
    }

    #[test]
    fn circles_end_with_an_error() {
        let text = "[Definition]\nfailregex = <a>\na = <b><b>\nb = <a>";
        assert!(
            read(text, &[], &[])
                .unwrap_err()
                .ends_with("stands for itself")
        );
        let text = "[Definition]\nfailregex = x<failregex>";
        assert!(read(text, &[], &[]).is_err());
    }

    #[test]
    fn a_filter_that_does_not_exist_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let none = Options::new();
        let error = Filter::read(dir.path(), "nope", &none, &none).unwrap_err();
        assert!(error.ends_with("nope.conf does not exist"), "{error}");
    }
}
