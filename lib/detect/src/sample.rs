//! Lines as evidence: bounded and safe to print, since parts of them are an attacker's text.

/// The longest sample, in bytes.
pub const SAMPLE_BYTES: usize = 200;

/// The start of a line, in printable ASCII: other bytes and `\` are escaped as in Rust (`\x1b`, `\\`). What is cut off
/// is marked by `...`; at most [`SAMPLE_BYTES`].
pub(crate) fn sample(line: &[u8]) -> String {
    const CUT: &str = "...";
    let mut text = String::with_capacity(SAMPLE_BYTES);
    let mut fits = 0;
    for byte in line {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b' '..=b'~' => text.push(char::from(*byte)),
            other => text.push_str(&format!("\\x{other:02x}")),
        }
        if text.len() > SAMPLE_BYTES {
            text.truncate(fits);
            text.push_str(CUT);
            break;
        }
        if text.len() <= SAMPLE_BYTES - CUT.len() {
            fits = text.len();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_and_other_alphabets_are_escaped() {
        let line = "GET /\u{1b}[31m \u{202e}\\ \"x\"".as_bytes();
        let expected = r#"GET /\x1b[31m \xe2\x80\xae\\ "x""#;
        assert_eq!(sample(line), expected);
        assert_eq!(sample(&[b'a'; 200]), "a".repeat(200));
        assert_eq!(sample(&[b'a'; 201]), "a".repeat(197) + "...");
        assert_eq!(sample(b""), "");
    }

    proptest! {
        #[test]
        fn bounded_and_printable(line in prop::collection::vec(any::<u8>(), 0..400)) {
            let text = sample(&line);
            prop_assert!(text.len() <= SAMPLE_BYTES);
            prop_assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)));
            let whole = line.iter().map(|b| std::ascii::escape_default(*b).count()).sum::<usize>();
            prop_assert!(whole <= SAMPLE_BYTES || text.ends_with("...") || text.len() >= line.len());
        }
    }
}
