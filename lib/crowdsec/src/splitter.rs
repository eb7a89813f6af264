//! Splits the answer of the LAPI, `{"deleted": […], "new": […]}` in any order, into its decisions while it arrives.
//!
//! Answers have hundreds of megabytes, of which no more is held than one decision and the frame around them. The frame is
//! checked as JSON at the end: until then nothing that was told may be taken for true.

use std::mem;

use serde::{Deserialize, de::IgnoredAny};

/// The longest decision, in bytes.
const LONGEST_ITEM: usize = 64 << 10;

/// The longest frame: a comma and braces remain of each decision.
const LONGEST_FRAME: usize = 16 << 20;

/// The list that a decision is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum List {
    New,
    Deleted,
    /// One of a later version.
    Other,
}

/// The frame, with `{}` for each decision.
#[derive(Deserialize)]
struct Frame {
    #[serde(default)]
    new: Option<Vec<Item>>,
    #[serde(default)]
    deleted: Option<Vec<Item>>,
}

/// What is in a list of the frame.
#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    /// A decision, which was handed over.
    Taken(Taken),
    /// Something else, such as `null`.
    Odd(IgnoredAny),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Taken {}

/// An answer that is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SplitError {
    #[error("a decision in it has more than {LONGEST_ITEM} bytes")]
    Item,
    #[error("it is not a list of decisions")]
    Frame,
    #[error("it is not JSON: {0}")]
    Json(String),
}

/// The state between two pieces of an answer.
#[derive(Debug, Default)]
pub(crate) struct Splitter {
    frame: Vec<u8>,
    item: Vec<u8>,
    list: Option<List>,
    /// Open braces and brackets.
    depth: u32,
    in_text: bool,
    is_escaped: bool,
}

impl Splitter {
    /// Takes the next bytes, and hands over each decision that ends in them.
    pub(crate) fn push<E: From<SplitError>>(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(List, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for byte in bytes.iter().copied() {
            if let Some(list) = self.take(byte)? {
                let item = mem::take(&mut self.item);
                each(list, &item)?;
                self.item = item;
                self.item.clear();
            }
        }
        Ok(())
    }

    /// The answer is complete. Returns how many items of its lists are no decisions: the others count nevertheless.
    pub(crate) fn finish(self) -> Result<u64, SplitError> {
        let json = |error: serde_json::Error| SplitError::Json(error.to_string());
        let Frame { new, deleted } = serde_json::from_slice(&self.frame).map_err(json)?;
        // An answer that has neither is that of something else.
        let names = [&b"\"new\":"[..], b"\"deleted\":"];
        let has = |name: &[u8]| self.frame.windows(name.len()).take(64).any(|at| at == name);
        if new.is_none() && deleted.is_none() && !names.iter().any(|name| has(name)) {
            return Err(SplitError::Frame);
        }
        let items = new.iter().chain(&deleted).flatten();
        Ok(items.filter(|item| matches!(item, Item::Odd(_))).count() as u64)
    }

    /// Takes a byte; returns the list of the decision that it ends.
    fn take(&mut self, byte: u8) -> Result<Option<List>, SplitError> {
        if self.in_text {
            self.keep(byte)?;
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.in_text = false,
                _ => {}
            }
            return Ok(None);
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return Ok(None),
            b'"' => self.in_text = true,
            b'[' | b'{' => {
                if byte == b'[' && self.depth == 1 {
                    self.list = Some(self.list_at_end());
                }
                self.depth += 1;
            }
            b']' | b'}' => {
                self.depth = self.depth.checked_sub(1).ok_or(SplitError::Frame)?;
                if self.depth == 1 {
                    self.list = None;
                }
            }
            _ => {}
        }
        let was_item = !self.item.is_empty();
        self.keep(byte)?;
        if was_item && self.depth == 2 {
            self.frame.extend_from_slice(b"{}");
            return Ok(self.list);
        }
        Ok(None)
    }

    /// Keeps a byte: of a decision, or of the frame.
    fn keep(&mut self, byte: u8) -> Result<(), SplitError> {
        let begins = self.depth == 3 && byte == b'{' && self.list.is_some() && !self.in_text;
        let (to, most, error) = if begins || !self.item.is_empty() {
            (&mut self.item, LONGEST_ITEM, SplitError::Item)
        } else {
            (&mut self.frame, LONGEST_FRAME, SplitError::Frame)
        };
        if to.len() >= most {
            return Err(error);
        }
        to.push(byte);
        Ok(())
    }

    /// The list that begins behind the frame as it is.
    fn list_at_end(&self) -> List {
        if self.frame.ends_with(b"\"new\":") {
            List::New
        } else if self.frame.ends_with(b"\"deleted\":") {
            List::Deleted
        } else {
            List::Other
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// All decisions, from pieces of this size.
    fn split(text: &[u8], piece: usize) -> Result<Vec<(List, Value)>, SplitError> {
        let (mut splitter, mut all) = (Splitter::default(), Vec::new());
        for bytes in text.chunks(piece) {
            splitter.push(bytes, |list, item| {
                let value = serde_json::from_slice(item);
                all.push((list, value.map_err(|e| SplitError::Json(e.to_string()))?));
                Ok::<(), SplitError>(())
            })?;
        }
        splitter.finish().map(|_| all)
    }

    fn both(text: &str) -> Result<Vec<(List, Value)>, SplitError> {
        let whole = split(text.as_bytes(), usize::MAX);
        assert_eq!(split(text.as_bytes(), 1), whole, "{text}");
        whole
    }

    #[test]
    fn lists_come_in_any_order_or_not_at_all() {
        assert_eq!(both(r#"{"deleted":null,"new":null}"#).unwrap(), []);
        assert_eq!(both(r#"{"new":[], "deleted" : [ ]}"#).unwrap(), []);
        assert_eq!(both(r#"{"new":null}"#).unwrap(), []);
        let text = "{\"deleted\": [{\"a\": \"x]}\\\"\"}, {\"b\":[1,{\"c\":[]}]}],\n \"links\":[{\"z\":1}], \"new\":[{\"d\":{}}]}";
        let all = both(text).unwrap();
        assert_eq!(
            all,
            [
                (List::Deleted, json!({"a": "x]}\""})),
                (List::Deleted, json!({"b": [1, {"c": []}]})),
                (List::Other, json!({"z": 1})),
                (List::New, json!({"d": {}})),
            ]
        );
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for bad in [
            "",
            "null",
            "[]",
            "{}",
            "<html>",
            r#"{"message":"access forbidden"}"#,
            r#"{"new":[{"a":1}]"#,
            r#"{"new":[{"a":1},]}"#,
            r#"{"new":[{"a":1}{"a":1}]}"#,
            r#"{"new":{"a":1}}"#,
            r#"{"new":[{"a":1}}"#,
            r#"{"new":[]}}"#,
            r#"{"new":[]} x"#,
            r#"{"new":[],"new":[]}"#,
            "]",
        ] {
            assert!(both(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn odd_items_are_counted_and_the_others_taken() {
        let text = r#"{"new":[null,{"a":1},7,[{}],"x{",[[]]],"deleted":[true,{"b":2}]}"#;
        let all = both(text).unwrap();
        assert_eq!(
            all,
            [
                (List::New, json!({"a": 1})),
                (List::Deleted, json!({"b": 2}))
            ]
        );
        let mut splitter = Splitter::default();
        let pushed = splitter.push(text.as_bytes(), |_, _| Ok::<(), SplitError>(()));
        assert_eq!(pushed.and_then(|()| splitter.finish()), Ok(6));
    }

    #[test]
    fn memory_is_bounded() {
        let long = format!(r#"{{"new":[{{"a":"{}"#, "x".repeat(LONGEST_ITEM));
        assert_eq!(split(long.as_bytes(), 4096), Err(SplitError::Item));
        let long = " [".repeat(LONGEST_FRAME + 1);
        assert_eq!(split(long.as_bytes(), 4096), Err(SplitError::Frame));
    }

    proptest! {
        #[test]
        fn bytes_of_any_kind_do_not_panic(text in r#"[\[\]{},:"\\a new]{0,60}"#, piece in 1_usize..9) {
            let read = split(text.as_bytes(), piece);
            prop_assert!(read.is_err() || serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
        }
    }
}
