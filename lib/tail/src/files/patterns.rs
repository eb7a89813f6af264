//! Which files are meant: patterns with wildcards, expanded again and again, also below directories that are not there
//! yet.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
};

use couic_common::glob_matches;

use super::names::is_compressed;
use crate::Unread;

/// Files that a scan finds at most.
pub(super) const MAX_FILES: usize = 16_384;
/// Problems of a scan that are told at most.
pub(super) const MOST_PROBLEMS: usize = 64;

/// The patterns of one source.
#[derive(Clone, Debug)]
pub(crate) struct Patterns {
    texts: Vec<String>,
    parts: Vec<Vec<String>>,
}

/// What a scan found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Regular files; of several names of a file each is listed.
    pub(super) files: BTreeMap<PathBuf, Metadata>,
    /// Directories in which a change may add a file. All of them exist.
    pub(super) dirs: BTreeSet<PathBuf>,
    /// What could not be looked at.
    pub(super) problems: Vec<Unread>,
    /// What patterns name without a wildcard, and is not there.
    pub(super) missing: BTreeSet<PathBuf>,
    /// There are more files than [`MAX_FILES`].
    pub(super) too_many: bool,
}

impl Patterns {
    /// Takes patterns of absolute paths. The error names the one that is not usable, and why.
    pub(crate) fn new(texts: Vec<String>) -> Result<Self, (String, &'static str)> {
        let mut parts = Vec::with_capacity(texts.len());
        for text in &texts {
            match parts_of(text) {
                Ok(of) => parts.push(of),
                Err(why) => return Err((text.clone(), why)),
            }
        }
        Ok(Self { texts, parts })
    }

    pub(crate) fn texts(&self) -> &[String] {
        &self.texts
    }

    /// The patterns that have no wildcards.
    pub(crate) fn literal(&self) -> impl Iterator<Item = &Path> {
        let literal = self.texts.iter().filter(|text| !is_wild(text));
        literal.map(Path::new)
    }

    /// Whether a path is one of those that are meant.
    pub(super) fn matches(&self, path: &Path) -> bool {
        self.begin_with(path, |parts, names| parts == names)
    }

    /// The same for directories above them.
    pub(super) fn lead_through(&self, path: &Path) -> bool {
        self.begin_with(path, |parts, names| parts >= names)
    }

    fn begin_with(&self, path: &Path, lengths: impl Fn(usize, usize) -> bool) -> bool {
        let Some(path) = path.to_str() else {
            return false;
        };
        let names: Vec<&str> = split(path).collect();
        self.parts.iter().any(|parts| {
            let mut pairs = parts.iter().zip(&names);
            lengths(parts.len(), names.len()) && pairs.all(|(part, name)| part_matches(part, name))
        })
    }

    pub(super) fn scan(&self) -> Found {
        let mut found = Found::default();
        for parts in &self.parts {
            walk(PathBuf::from("/"), parts, &mut found);
        }
        found
    }
}

fn parts_of(text: &str) -> Result<Vec<String>, &'static str> {
    if !text.starts_with('/') {
        return Err("not an absolute path");
    }
    let parts: Vec<String> = split(text).map(str::to_owned).collect();
    if parts.is_empty() || text.ends_with('/') {
        return Err("names a directory: write PATH/*.log");
    }
    if parts.iter().any(|part| part == "..") {
        return Err("has .. in it: write the path without");
    }
    if parts.iter().any(|part| part.contains("**")) {
        return Err("** is not known: one * for each level of directories");
    }
    Ok(parts)
}

fn split(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter(|part| !part.is_empty() && *part != ".")
}

fn is_wild(text: &str) -> bool {
    text.contains(['*', '?'])
}

fn part_matches(part: &str, name: &str) -> bool {
    if !is_wild(part) {
        return part == name;
    }
    name.starts_with('.') == part.starts_with('.')
        && glob_matches(part, name)
        && !is_compressed(name)
}

fn walk(dir: PathBuf, parts: &[String], found: &mut Found) {
    let Some((part, rest)) = parts.split_first() else {
        return;
    };
    if !is_wild(part) {
        let path = dir.join(part);
        let there = visit(&path, rest, found);
        if !there && found.missing.len() < MOST_PROBLEMS {
            let literal = rest.iter().take_while(|part| !is_wild(part));
            found
                .missing
                .insert(path.join(literal.collect::<PathBuf>()));
        }
        // A missing one is created in its parent; one that is there tells of its own end.
        if !there || rest.is_empty() {
            found.dirs.insert(dir);
        }
        return;
    }
    let entries = match fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) => {
            problem(dir, &error, found);
            return;
        }
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| part_matches(part, name)) {
            visit(&dir.join(&name), rest, found);
        }
    }
    found.dirs.insert(dir);
}

/// Looks at a path that matched so far. Returns whether it is there.
fn visit(path: &Path, rest: &[String], found: &mut Found) -> bool {
    let is = match fs::metadata(path) {
        Ok(is) => is,
        Err(error) => {
            let missing = error.kind() == io::ErrorKind::NotFound;
            if !missing && error.kind() != io::ErrorKind::NotADirectory {
                problem(path.to_owned(), &error, found);
            }
            return !missing;
        }
    };
    match (rest.is_empty(), is.is_dir()) {
        (false, true) => walk(path.to_owned(), rest, found),
        (true, false) if is.is_file() => {
            if found.files.len() < MAX_FILES {
                found.files.insert(path.to_owned(), is);
            } else {
                found.too_many = true;
            }
        }
        (true, false) => {
            let error = io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file: it is left out",
            );
            problem(path.to_owned(), &error, found);
        }
        _ => {}
    }
    true
}

fn problem(path: PathBuf, error: &io::Error, found: &mut Found) {
    if found.problems.len() < MOST_PROBLEMS {
        found.problems.push(Unread::new(path, error));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn of(texts: &[String]) -> Patterns {
        Patterns::new(texts.to_vec()).unwrap()
    }

    #[test]
    fn unusable_patterns_are_refused_with_the_reason() {
        for (text, why) in [
            ("log/*.log", "absolute"),
            ("/var/log/", "directory"),
            ("/", "directory"),
            ("/var/**/x.log", "one *"),
            ("/var/log/../x", ".."),
        ] {
            let (told, reason) = Patterns::new(vec![text.to_owned()]).unwrap_err();
            assert_eq!(told, text);
            assert!(reason.contains(why), "{text}: {reason}");
        }
    }

    #[test]
    fn files_are_found_through_wildcards_and_links_and_the_rest_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for sub in ["a/logs", "b/logs", "c"] {
            fs::create_dir_all(root.join(sub)).unwrap();
        }
        for file in [
            "a/logs/x.log",
            "a/logs/x.log.1",
            "a/logs/.x.log",
            "b/logs/y.log",
            "b/logs/y.txt",
            "c/target",
        ] {
            fs::write(root.join(file), "").unwrap();
        }
        symlink(root.join("c/target"), root.join("b/logs/z.log")).unwrap();
        symlink(root.join("c/nothing"), root.join("b/logs/w.log")).unwrap();
        fs::create_dir(root.join("b/logs/dir.log")).unwrap();
        let pattern = root.join("*/logs/*.log").to_str().unwrap().to_owned();
        let patterns = of(&[pattern]);
        let found = patterns.scan();
        let names: Vec<_> = found
            .files
            .keys()
            .map(|p| p.strip_prefix(root).unwrap())
            .collect();
        assert_eq!(
            names,
            ["a/logs/x.log", "b/logs/y.log", "b/logs/z.log"].map(Path::new)
        );
        for dir in ["", "a/logs", "b/logs"] {
            assert!(found.dirs.contains(&root.join(dir)) || dir.is_empty());
        }
        assert!(found.problems.is_empty(), "{:?}", found.problems);
        assert!(patterns.matches(&root.join("q/logs/new.log")));
        assert!(!patterns.matches(&root.join("q/logs/new.log.1")));
        assert!(!patterns.matches(&root.join("q/logs/more/new.log")));
        assert!(patterns.lead_through(&root.join("q/logs")) && patterns.lead_through(root));
        assert!(!patterns.lead_through(&root.join("q/other")));
    }

    #[test]
    fn the_nearest_directory_that_exists_is_watched_for_those_that_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_owned();
        let path = root.join("later/still/x.log");
        let patterns = of(&[path.to_str().unwrap().to_owned()]);
        assert_eq!(patterns.scan().dirs, BTreeSet::from([root.clone()]));
        fs::create_dir_all(root.join("later/still")).unwrap();
        assert_eq!(
            patterns.scan().dirs,
            BTreeSet::from([root.join("later/still")])
        );
        fs::write(&path, "").unwrap();
        assert_eq!(patterns.scan().files.len(), 1);
    }

    #[test]
    fn compressed_files_are_left_out_of_wildcards() {
        let patterns = of(&["/var/log/a.log*".to_owned()]);
        assert!(patterns.matches(Path::new("/var/log/a.log.1")));
        assert!(!patterns.matches(Path::new("/var/log/a.log.2.gz")));
    }
}
