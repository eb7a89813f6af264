//! Names of clients, sets and notifiers, which are used as file names.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The text contains a character, or has a length, that the name does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has {0}")]
pub struct NameError(&'static str);

fn check(text: &str) -> Result<Arc<str>, NameError> {
    let fits = (1..=48).contains(&text.len());
    let clean = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if fits && clean {
        Ok(text.into())
    } else {
        let rule = "1 to 48 characters: letters, digits, _ and -";
        Err(NameError(rule))
    }
}

fn check_notifier(text: &str) -> Result<Arc<str>, NameError> {
    let fits = (1..=64).contains(&text.len()) && !text.starts_with('.');
    let clean = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if fits && text.bytes().all(clean) {
        Ok(text.into())
    } else {
        let rule = "1 to 64 characters: letters, digits, _, - and ., the last not at the start";
        Err(NameError(rule))
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                $check(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                <String as utoipa::PartialSchema>::schema()
            }
        }
        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    };
}

name! {
    /// The name of an API client: 1 to 48 of `[A-Za-z0-9_-]`, so that it is safe as a file name. Cheap to clone.
    ClientName, check
}
name! {
    /// The name of a set: 1 to 48 of `[A-Za-z0-9_-]`, so that it is safe as a file name. Cheap to clone.
    SetName, check
}
name! {
    /// The name of a notifier: 1 to 64 of `[A-Za-z0-9_.-]`, no `.` at the start, so that it is safe as a folder's name.
    /// Cheap to clone.
    NotifierName, check_notifier
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_as_file_names() {
        assert!("a-B_9".parse::<SetName>().is_ok());
        assert!("x".repeat(48).parse::<ClientName>().is_ok());
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a.b",
            "é",
            "a b",
            "a\0",
            &"x".repeat(49),
        ] {
            assert!(bad.parse::<SetName>().is_err(), "{bad:?}");
        }
        assert!("siem-2.Backup_x".parse::<NotifierName>().is_ok());
        for bad in ["", ".", "..", ".a", "a/b", "é", "a b", &"x".repeat(65)] {
            assert!(bad.parse::<NotifierName>().is_err(), "{bad:?}");
        }
    }
}
