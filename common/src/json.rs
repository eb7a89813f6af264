//! The strings of JSON texts, and where they stand: lists of clouds and feeds, whose shapes differ.
//!
//! Guarantees: memory holds one string at a time, not the documents; each document costs as much as it is long; a text that
//! nests deeper than 128 levels is an error.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Where a string stands in its document.
#[derive(Clone, Copy, Debug)]
pub struct JsonPlace<'a> {
    parent: Option<&'a JsonPlace<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Field(&'a str),
    Item(u64),
}

impl JsonPlace<'_> {
    /// The name of the field that it stands under, at any depth of arrays in between; empty if there is none.
    #[must_use]
    pub fn field(&self) -> &str {
        match (self.step, self.parent) {
            (Step::Field(name), _) => name,
            (_, Some(parent)) => parent.field(),
            _ => "",
        }
    }

    /// Whether these are the steps from the document to it: names of fields, numbers of items, or `*` for any.
    #[must_use]
    pub fn matches<S: AsRef<str>>(&self, steps: &[S]) -> bool {
        let Some(parent) = self.parent else {
            return steps.is_empty();
        };
        let Some((last, before)) = steps.split_last() else {
            return false;
        };
        let last = last.as_ref();
        let is_it = match self.step {
            Step::Root => false,
            Step::Field(name) => last == "*" || last == name,
            Step::Item(number) => last == "*" || last.parse() == Ok(number),
        };
        is_it && parent.matches(before)
    }
}

/// Calls `each` with every string of a text that holds one JSON document, or several one after the other. Returns how many
/// documents there are. What stands before a mistake has been handed out by then.
///
/// # Errors
/// The text is not JSON.
pub fn json_strings(
    bytes: &[u8],
    each: &mut dyn FnMut(&JsonPlace<'_>, &str),
) -> serde_json::Result<u64> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // Where each document ends first: a `Deserializer` that is asked whether there is more counts the lines from the start
    // of the text each time.
    let mut documents = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    let (mut start, mut count) = (0, 0);
    while let Some(document) = documents.next() {
        document?;
        let end = documents.byte_offset();
        let place = JsonPlace {
            parent: None,
            step: Step::Root,
        };
        let walk = Walk {
            place: &place,
            each: &mut *each,
        };
        let document = bytes.get(start..end).unwrap_or_default();
        walk.deserialize(&mut serde_json::Deserializer::from_slice(document))?;
        start = end;
        count += 1;
    }
    Ok(count)
}

struct Walk<'a, 'p> {
    place: &'a JsonPlace<'p>,
    each: &'a mut dyn FnMut(&JsonPlace<'_>, &str),
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        (self.each)(self.place, value);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { place, each } = self;
        for number in 0.. {
            let place = JsonPlace {
                parent: Some(place),
                step: Step::Item(number),
            };
            let item = Walk {
                place: &place,
                each: &mut *each,
            };
            if items.next_element_seed(item)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let Self { place, each } = self;
        while let Some(field) = fields.next_key::<Cow<'de, str>>()? {
            let place = JsonPlace {
                parent: Some(place),
                step: Step::Field(&field),
            };
            fields.next_value_seed(Walk {
                place: &place,
                each: &mut *each,
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, pointer: &str) -> Vec<String> {
        let steps: Vec<&str> = pointer.split('/').skip(1).collect();
        let mut found = Vec::new();
        json_strings(text.as_bytes(), &mut |place, value| {
            if place.matches(&steps) {
                found.push(value.to_owned());
            }
        })
        .unwrap();
        found
    }

    #[test]
    fn places_match_names_numbers_and_stars() {
        let text = r#"{"a":[{"b":"1","c":["2","3"]},{"b":"4"}],"b":"5"} {"a":[{"b":"6"}]} "7""#;
        assert_eq!(at(text, "/a/*/b"), ["1", "4", "6"]);
        assert_eq!(at(text, "/a/1/b"), ["4"]);
        assert_eq!(at(text, "/*/0/*/1"), ["3"]);
        assert_eq!(at(text, "/b"), ["5"]);
        assert_eq!(at(text, ""), ["7"]);
        assert!(at(text, "/a/b").is_empty() && at(text, "/a/*").is_empty());
    }

    #[test]
    fn the_field_is_the_nearest_and_documents_are_counted() {
        let mut fields = Vec::new();
        let text = "\u{feff}{\"a\":[[\"x\"]],\"b\":{\"c\":\"y\"}}\n[\"z\"]\n";
        let count = json_strings(text.as_bytes(), &mut |place, value| {
            fields.push(format!("{}={value}", place.field()));
        });
        assert_eq!(count.unwrap(), 2);
        assert_eq!(fields, ["a=x", "c=y", "=z"]);
        for bad in ["{", "{\"a\":1}}", &"[".repeat(100_000)] {
            assert!(json_strings(bad.as_bytes(), &mut |_, _| ()).is_err());
        }
    }
}
