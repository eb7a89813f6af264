//! The secret that authenticates a client.
//!
//! It has a type of its own so that no `Debug` output, log line or error reveals it by accident.

use std::{fmt, str::FromStr};

use uuid::Uuid;

/// A client's token. It has no `Display`, and `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Uuid);

/// The text is not a UUID. The error does not quote the text, which may be a mistyped secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is a UUID, as in 00000000-0000-0000-0000-000000000000")]
pub struct TokenError;

impl Token {
    /// The value of the `Authorization` header.
    pub(crate) fn bearer(&self) -> String {
        format!("Bearer {}", self.0)
    }
}

impl From<Uuid> for Token {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        text.parse().map(Self).map_err(|_| TokenError)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_and_errors_hide_the_text() {
        let token: Token = "bbfa1388-3218-463c-9722-6805507c14bb".parse().unwrap();
        assert_eq!(format!("{token:?}"), "Token(hidden)");
        assert_eq!(
            token.bearer(),
            "Bearer bbfa1388-3218-463c-9722-6805507c14bb"
        );

        let error = "bbfa1388-3218-463c-9722".parse::<Token>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("bbfa"));
    }
}
