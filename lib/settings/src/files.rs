//! The files of a configuration: the main one, and `*.toml` of the directory beside it, in the order of their names.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use crate::{ConfigErrors, Part};
use couic_files::read_bounded;

/// The largest file, in bytes.
const LARGEST: u64 = 1 << 20;

/// Most files in the directory.
const MOST: usize = 256;

/// Every mistake of every file.
#[derive(Debug)]
pub struct PartErrors(Vec<String>);

impl fmt::Display for PartErrors {
    /// One line per mistake: `FILE:LINE: KEY: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl From<Vec<String>> for PartErrors {
    fn from(mistakes: Vec<String>) -> Self {
        Self(mistakes)
    }
}

impl From<Vec<ConfigErrors>> for PartErrors {
    fn from(errors: Vec<ConfigErrors>) -> Self {
        Self(errors.iter().map(ToString::to_string).collect())
    }
}

/// Reads all of them: `main`, and those of the directory of the same name with `.d`, which may be missing.
///
/// # Errors
/// One sentence with the path.
pub fn read_parts(main: &Path) -> Result<Vec<Part>, PartErrors> {
    read_all(main).map_err(|why| PartErrors(Vec::from([why])))
}

fn read_all(main: &Path) -> Result<Vec<Part>, String> {
    let mut parts = Vec::from([part(main.to_owned())?]);
    let dir = main.with_extension("d");
    for path in fragments(&dir).map_err(|error| unreadable(&dir, &error))? {
        parts.push(part(path)?);
    }
    Ok(parts)
}

fn fragments(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        if name.ends_with(b".toml") && !name.starts_with(b".") {
            paths.push(path);
        }
        if paths.len() > MOST {
            let message = format!("it has more than {MOST} files *.toml");
            return Err(io::Error::other(message));
        }
    }
    paths.sort();
    Ok(paths)
}

fn part(path: PathBuf) -> Result<Part, String> {
    // A pipe is fine, as of `PROGRAM -c <(…)`.
    let bytes = fs::File::open(&path).and_then(|file| read_bounded(file, LARGEST));
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other));
    match text {
        Ok(text) => Ok(Part { path, text }),
        Err(error) => Err(unreadable(&path, &error)),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("{}: cannot be read: {error}", path.display())
}
