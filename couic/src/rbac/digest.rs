//! What is kept of a token: its SHA-256.
//!
//! A token is a random UUID: 122 bits that nobody can guess from the hash, however fast hashes are. So there is neither
//! a slow hash nor a salt, which are for passwords; and `printf %s TOKEN | sha256sum` tells whose token one is.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};
use uuid::Uuid;

/// The SHA-256 of a token's 36 characters in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TokenHash([u128; 2]);

impl TokenHash {
    pub(super) fn of(token: &Uuid) -> Self {
        let mut text = Uuid::encode_buffer();
        let digest = Sha256::digest(token.hyphenated().encode_lower(&mut text).as_bytes());
        let mut halves = [0; 2];
        for (half, bytes) in halves.iter_mut().zip(digest.chunks_exact(16)) {
            *half = bytes
                .iter()
                .fold(0, |sum, byte| sum << 8 | u128::from(*byte));
        }
        Self(halves)
    }

    /// Reads 64 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        let (high, low) = text.split_at(32);
        let half = |text| u128::from_str_radix(text, 16).ok();
        Some(Self([half(high)?, half(low)?]))
    }
}

impl ConstantTimeEq for TokenHash {
    fn ct_eq(&self, other: &Self) -> Choice {
        let ([a, b], [c, d]) = (self.0, other.0);
        a.ct_eq(&c) & b.ct_eq(&d)
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [high, low] = self.0;
        write!(f, "{high:032x}{low:032x}")
    }
}

/// A hash is no secret, but says nothing either.
impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_sha256sum_says() {
        let token: Uuid = "550E8400-E29B-41D4-A716-446655440000".parse().unwrap();
        let hash = TokenHash::of(&token);
        // printf %s 550e8400-e29b-41d4-a716-446655440000 | sha256sum
        let expected = "a3a9e1ed9732cab28868127be00f1ce921acaefdd5c3b23a6e9e0072bd9c1a34";
        assert_eq!(hash.to_string(), expected);
        assert_eq!(TokenHash::parse(expected), Some(hash));
        assert!(bool::from(hash.ct_eq(&hash)));
    }

    #[test]
    fn only_64_digits_are_a_hash() {
        for bad in [
            "",
            "0",
            &"0".repeat(63),
            &"0".repeat(65),
            &"g".repeat(64),
            &"+".repeat(64),
        ] {
            assert_eq!(TokenHash::parse(bad), None, "{bad}");
        }
    }
}
