//! Parsing of the configuration files of Couic's programs.
//!
//! A program reads its keys one by one ([`Section`]); keys that were not read are unknown. All mistakes are reported at
//! once, each with its line and key. Secrets are wrapped in [`Secret`], which has no `Display` and an empty `Debug`;
//! messages never quote a value that may be a secret.
//!
//! ```
//! use couic_settings::{Section, Settings};
//!
//! #[derive(Debug)]
//! struct Config {
//!     port: u64,
//! }
//!
//! impl Settings for Config {
//!     fn read(root: &mut Section<'_>) -> Option<Self> {
//!         let port = root.int("port", 1..=65_535, Some(8000));
//!         Some(Self { port: port? })
//!     }
//! }
//!
//! assert_eq!(Config::parse("").unwrap().port, 8000);
//! let mistakes = Config::parse("port = 0\nname = 1").unwrap_err();
//! let lines: Vec<_> = mistakes.iter().map(|mistake| mistake.line).collect();
//! assert_eq!(lines, [Some(1), Some(2)]);
//! ```

mod error;
mod files;
mod keys;
mod layers;
mod notifier;
mod reader;
mod secret;
mod typed;
mod values;

use std::{fs, path::Path};

pub use error::{ConfigErrors, Mistake};
pub use files::{PartErrors, read_parts};
pub use keys::{Keys, awaiting_restart};
pub use layers::{Layers, Part};
pub use notifier::NotifierConfig;
pub use reader::{Found, Item, Noted, Section};
pub use secret::Secret;
pub use values::state_dir;

use reader::Reader;

/// A valid configuration, with a file of its own.
pub trait Settings: Sized {
    /// Reads the root table. None after a mistake. Every part is read even after mistakes, so that all are reported.
    fn read(root: &mut Section<'_>) -> Option<Self>;

    /// Reads and validates a file.
    ///
    /// # Errors
    /// All mistakes in it, or the reason why it cannot be read.
    fn load(path: &Path) -> Result<Self, ConfigErrors> {
        load(path, Self::read)
    }

    /// Validates a text.
    ///
    /// # Errors
    /// All mistakes in it.
    fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        parse(text, Self::read)
    }
}

/// Reads a file and validates it like [`parse`].
///
/// # Errors
/// All mistakes in it, or the reason why it cannot be read.
pub fn load<T>(
    path: &Path,
    read: impl FnOnce(&mut Section<'_>) -> Option<T>,
) -> Result<T, ConfigErrors> {
    let text = fs::read_to_string(path).map_err(|e| {
        let message = format!("cannot be read: {e}");
        ConfigErrors::new(path, vec![Mistake::of_file(message)])
    })?;
    parse(&text, read).map_err(|mistakes| ConfigErrors::new(path, mistakes))
}

/// Parses a text and passes its root table to `read`, which returns None after a mistake. Keys of the root that `read`
/// did not read are mistakes too.
///
/// # Errors
/// All mistakes in it.
pub fn parse<T>(
    text: &str,
    read: impl FnOnce(&mut Section<'_>) -> Option<T>,
) -> Result<T, Vec<Mistake>> {
    let document = reader::document(text)?;
    let reader = Reader::new(text);
    let mut root = Section::root(&reader, document.get_ref());
    let checked = read(&mut root);
    root.finish();
    match (checked, reader.into_mistakes()) {
        (Some(checked), mistakes) if mistakes.is_empty() => Ok(checked),
        (_, mistakes) => Err(mistakes),
    }
}
