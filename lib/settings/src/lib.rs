//! How Couic's programs read their configuration files.
//!
//! A program asks for its keys one by one ([`Section`]); what nobody asked for is unknown. Every mistake is noted with
//! its line and key, and none hides another, so that the operator mends a file once. Secrets are wrapped in
//! [`Secret`], which has no `Display` and an empty `Debug`; messages never quote a value that may be one.

mod error;
mod notifier;
mod reader;
mod secret;

use std::{fs, path::Path};

pub use error::{ConfigErrors, Mistake};
pub use notifier::NotifierConfig;
pub use reader::{Found, Noted, Section};
pub use secret::Secret;

use reader::Reader;

/// A configuration that cannot be wrong, with a file of its own.
pub trait Settings: Sized {
    /// Takes the root table apart, and answers None where it noted a mistake. Every part is read, whatever is wrong
    /// with the ones before: all mistakes are wanted.
    fn read(root: &mut Section<'_>) -> Option<Self>;

    /// Reads and checks a file.
    ///
    /// # Errors
    /// Every mistake in it, or why it cannot be read.
    fn load(path: &Path) -> Result<Self, ConfigErrors> {
        load(path, Self::read)
    }

    /// Checks a text.
    ///
    /// # Errors
    /// Every mistake in it.
    fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        parse(text, Self::read)
    }
}

/// Reads a file and checks it as [`parse`] does.
///
/// # Errors
/// Every mistake in it, or why it cannot be read.
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

/// Parses a text and hands its root table to `read`, which answers None where it noted a mistake. Keys of the root
/// that `read` did not ask for are mistakes too.
///
/// # Errors
/// Every mistake in it.
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
