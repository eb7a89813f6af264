//! Presets in the binary.

/// Their names.
pub(crate) const NAMES: &[&str] = &[];

/// The text of a preset.
pub(crate) fn get(_name: &str) -> Option<&'static str> {
    None
}
