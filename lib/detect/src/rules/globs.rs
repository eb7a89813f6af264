//! Paths and hosts: whole values in which `*` stands for anything.

use aho_corasick::BuildError;
use couic_common::glob_matches;

use super::{Mask, literals::Literals};

/// The paths of all jails of a source. What stands before the first `*` of each is searched at once.
pub(crate) struct Paths {
    starts: Literals,
    globs: Vec<(String, Mask)>,
    /// Those that start with `*`.
    anywhere: Vec<(String, Mask)>,
}

impl Paths {
    pub(crate) fn new(patterns: Vec<(String, Mask)>) -> Result<Self, BuildError> {
        let (anywhere, globs): (Vec<_>, Vec<_>) = patterns
            .into_iter()
            .partition(|(pattern, _)| pattern.starts_with('*'));
        let start = |pattern: &str| pattern.split('*').next().unwrap_or_default().into();
        let starts: Vec<(Vec<u8>, Mask)> = globs
            .iter()
            .map(|(pattern, mask): &(String, Mask)| (start(pattern), *mask))
            .collect();
        Ok(Self {
            starts: Literals::prefixes(&starts)?,
            globs,
            anywhere,
        })
    }

    /// Which of the `wanted` jails have a pattern of the path.
    pub(crate) fn find(&self, path: &[u8], wanted: Mask) -> Mask {
        let mut found = 0;
        self.starts.starts(path, |n, len| {
            if let (Some((pattern, mask)), Some(rest)) = (self.globs.get(n), path.get(len..))
                && mask & wanted & !found != 0
                && glob_matches(&pattern.as_bytes()[len..], rest)
            {
                found |= mask;
            }
        });
        for (pattern, mask) in &self.anywhere {
            if mask & wanted & !found != 0 && glob_matches(pattern, path) {
                found |= mask;
            }
        }
        found
    }
}

/// Whether a host matches one of the patterns, in lower case, whatever its own case.
pub(crate) fn host_matches(patterns: &[String], host: &[u8]) -> bool {
    patterns.iter().any(|pattern| {
        pattern.as_bytes().eq_ignore_ascii_case(host)
            || pattern.contains('*') && glob_matches(pattern, host.to_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_compared_whatever_their_case() {
        let patterns = ["example.org".to_owned(), "*.example.com".to_owned()];
        assert!(host_matches(&patterns, b"Example.ORG"));
        assert!(host_matches(&patterns, b"a.EXAMPLE.com"));
        assert!(!host_matches(&patterns, b"example.com"));
        assert!(!host_matches(&patterns, b""));
    }

    proptest! {
        #[test]
        fn as_one_glob_after_another(
            patterns in prop::collection::vec("[ab/*]{1,5}", 0..12),
            path in "[ab/]{0,8}",
        ) {
            let masked = patterns.iter().cloned().enumerate().map(|(n, p)| (p, 1 << n)).collect();
            let found = Paths::new(masked).unwrap().find(path.as_bytes(), Mask::MAX);
            for (n, pattern) in patterns.iter().enumerate() {
                prop_assert_eq!(found >> n & 1 == 1, glob_matches(pattern, &path), "{} {}", pattern, path);
            }
        }
    }
}
