//! Wildcard matching.

/// Whether `text` matches `pattern` as a whole: `*` stands for any number of bytes, `?` for exactly one.
///
/// Greedy, backtracking to the last `*` only: constant memory, and time at most the product of both lengths.
#[must_use]
pub fn glob_matches(pattern: impl AsRef<[u8]>, text: impl AsRef<[u8]>) -> bool {
    let (pattern, text) = (pattern.as_ref(), text.as_ref());
    let (mut p, mut t) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                last_star = Some((p, t));
                p += 1;
            }
            Some(b'?') => (p, t) = (p + 1, t + 1),
            Some(same) if same == byte => (p, t) = (p + 1, t + 1),
            _ => match last_star {
                Some((star, from)) => {
                    last_star = Some((star, from + 1));
                    (p, t) = (star + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    let rest = pattern.get(p..).unwrap_or_default();
    rest.iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, exponential in the number of stars.
    fn oracle(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => {
                oracle(rest, text) || (!text.is_empty() && oracle(pattern, &text[1..]))
            }
            (Some((p, ps)), Some((t, ts))) => (*p == b'?' || p == t) && oracle(ps, ts),
            _ => false,
        }
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        let text = "a".repeat(4_096);
        assert!(!glob_matches(&("a*".repeat(64) + "b"), &text));
        assert!(glob_matches("a*".repeat(64), &text));
    }

    proptest! {
        #[test]
        fn as_defined(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            let expected = oracle(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(glob_matches(&pattern, &text), expected);
        }
    }
}
