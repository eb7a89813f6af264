//! Parts of a report that may be anything: what has another form than expected is as if it were missing.

use std::{borrow::Cow, fmt};

use couic_common::OwnerKind;
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// A text, a number, or anything else.
#[derive(Default)]
pub(super) enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(u64),
    #[default]
    Other,
}

/// What is read of `metadata` and of `owner`.
#[derive(Default)]
pub(super) struct Details<'a> {
    kind: Scalar<'a>,
    detail: Scalar<'a>,
    name: Scalar<'a>,
}

impl Scalar<'_> {
    /// The number, else 0.
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Number(number) => *number,
            _ => 0,
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => "",
        }
    }
}

impl Details<'_> {
    /// `detail` of metadata.
    pub(super) fn detail(&self) -> &str {
        self.detail.text()
    }

    /// The owner.
    pub(super) fn owner(&self) -> Option<(OwnerKind, Option<&str>)> {
        let kinds = [OwnerKind::Set, OwnerKind::Client, OwnerKind::Peer];
        let kind = kinds
            .into_iter()
            .find(|kind| kind.as_str() == self.kind.text())?;
        let name = self.name.text();
        Some((kind, (!name.is_empty()).then_some(name)))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Scalar<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        let parts = json.deserialize_any(Anything {
            keeps_fields: false,
        })?;
        Ok(parts.detail)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Details<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        json.deserialize_any(Anything { keeps_fields: true })
    }
}

/// Reads any JSON. A scalar becomes `detail`, unless fields are kept.
struct Anything {
    keeps_fields: bool,
}

impl Anything {
    fn scalar<'a>(&self, scalar: Scalar<'a>) -> Details<'a> {
        if self.keeps_fields {
            return Details::default();
        }
        Details {
            detail: scalar,
            ..Details::default()
        }
    }
}

impl<'de> Visitor<'de> for Anything {
    type Value = Details<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(self.scalar(Scalar::Text(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.scalar(Scalar::Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(self.scalar(Scalar::Number(number)))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Details::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Details::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Details::default())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Details::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Details::default())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut read = Details::default();
        while let Some(Key(key)) = map.next_key()? {
            match key.as_ref() {
                "kind" if self.keeps_fields => read.kind = map.next_value()?,
                "detail" if self.keeps_fields => read.detail = map.next_value()?,
                "name" if self.keeps_fields => read.name = map.next_value()?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(read)
    }
}

/// A key, borrowed unless it has escapes.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_the_expected_form_is_read_and_all_else_is_ignored() {
        let read = |json: &str| {
            let details: Details<'_> = serde_json::from_str(json).unwrap();
            let owner = details.owner().map(|(kind, name)| {
                let name = name.unwrap_or("-");
                format!("{} {name}", kind.as_str())
            });
            (details.detail().to_owned(), owner)
        };
        let nothing = (String::new(), None);
        for json in [
            "null",
            "true",
            "1",
            "-1",
            "1.5",
            "\"x\"",
            "[1,[2]]",
            "{}",
            "{\"detail\":5}",
            "{\"kind\":\"martian\",\"name\":\"x\"}",
            "{\"kind\":{\"kind\":\"set\"}}",
        ] {
            assert_eq!(read(json), nothing, "{json}");
        }
        let json = r#"{"kind":"f2b","detail":"a\u0062c","extra":{"detail":"no"}}"#;
        assert_eq!(read(json), ("abc".to_owned(), None));
        let json = r#"{"kind":"client","name":"ops","more":[{}]}"#;
        assert_eq!(read(json), (String::new(), Some("client ops".to_owned())));
        assert_eq!(
            read(r#"{"kind":"set","name":null}"#).1.as_deref(),
            Some("set -")
        );
        let number = |json: &str| serde_json::from_str::<Scalar<'_>>(json).unwrap().number();
        let numbers = ["7", "-7", "null", "\"7\"", "{\"a\":1}", "[7]"].map(number);
        assert_eq!(numbers, [7, 0, 0, 0, 0, 0]);
    }
}
