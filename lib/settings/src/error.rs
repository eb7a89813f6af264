//! Mistakes in the configuration file.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line, counted from 1; None if a key is missing from the file.
    pub line: Option<usize>,
    /// The key with its table, as in `logging.rotation`; None if the file is not TOML.
    pub key: Option<String>,
    /// The error, and what is expected.
    pub message: String,
}

impl Mistake {
    pub(crate) fn of_file(message: String) -> Self {
        Self {
            line: None,
            key: None,
            message,
        }
    }
}

/// All mistakes in one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The file.
    pub path: PathBuf,
    /// The mistakes, in the order of lines.
    pub mistakes: Vec<Mistake>,
}

impl ConfigErrors {
    pub(crate) fn new(path: &Path, mut mistakes: Vec<Mistake>) -> Self {
        mistakes.sort_by_key(|m| m.line);
        Self {
            path: path.to_owned(),
            mistakes,
        }
    }
}

impl fmt::Display for ConfigErrors {
    /// One line per mistake: `FILE:LINE: KEY: message`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, mistake) in self.mistakes.iter().enumerate() {
            let Mistake { line, key, message } = mistake;
            let separator = if n == 0 { "" } else { "\n" };
            write!(f, "{separator}{}", self.path.display())?;
            if let Some(line) = line {
                write!(f, ":{line}")?;
            }
            if let Some(key) = key {
                write!(f, ": {key}")?;
            }
            write!(f, ": {message}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
