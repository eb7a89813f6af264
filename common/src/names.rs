//! Names that become file names: of clients and of sets.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The text is not 1 to 48 of `[A-Za-z0-9_-]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to 48 characters: letters, digits, _ and -")]
pub struct NameError;

fn check(text: &str) -> Result<Arc<str>, NameError> {
    let fits = (1..=48).contains(&text.len());
    let clean = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if fits && clean {
        Ok(text.into())
    } else {
        Err(NameError)
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
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
                check(text).map(Self)
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
    ClientName
}
name! {
    /// The name of a set: 1 to 48 of `[A-Za-z0-9_-]`, so that it is safe as a file name. Cheap to clone.
    SetName
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
            assert_eq!(bad.parse::<SetName>(), Err(NameError), "{bad:?}");
        }
    }
}
