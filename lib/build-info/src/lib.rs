//! Which build a program of Couic is, for `--version`: the same for all of them.
//!
//! Nothing here depends on the time or the machine of the build, so that builds stay reproducible. Development builds
//! carry no commit: a new one would compile every program again.

/// The version, as `2.0.0-dev`. The short form, of `-V`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The long form, as `2.0.0-dev (a97c5c32a 2026-11-29, x86_64-unknown-linux-gnu)`.
pub const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("COUIC_BUILD_ORIGIN"),
    ", ",
    env!("COUIC_BUILD_TARGET"),
    ")"
);

/// Commit and date, or `development build`, or `unknown commit` where the sources are no checkout.
pub const ORIGIN: &str = env!("COUIC_BUILD_ORIGIN");

/// The date of the commit, as `2026-11-29`; empty if it is not known.
pub const DATE: &str = env!("COUIC_BUILD_DATE");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_form_has_the_short_one_and_the_target() {
        let rest = LONG_VERSION.strip_prefix(VERSION).unwrap();
        assert!(rest.starts_with(" (") && rest.ends_with(')'), "{rest}");
        assert!(rest.contains("-linux-") && !ORIGIN.is_empty(), "{rest}");
    }
}
