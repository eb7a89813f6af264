//! A scanner that finds the values of wanted keys in a line of JSON, and borrows them.
//!
//! A wanted key that comes twice is refused: readers disagree on which one counts, so a client that manages to add one must
//! not choose. The same holds for the objects on the way to it. Nothing may follow the object. Values that nobody wants
//! are skipped: their strings, brackets and nesting are checked, their commas and colons are not.

mod keys;
mod unescape;

use std::borrow::Cow;

use memchr::{memchr, memchr2};

pub(super) use self::{keys::Keys, unescape::unescape};
use super::Unparsed;

/// The most wanted keys of a format.
pub(super) const MOST_SLOTS: usize = 24;
/// The deepest nesting of skipped values: one bit each.
const DEEPEST: u32 = 64;

/// What stands behind a wanted key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    /// A string, perhaps with escapes.
    Text { raw: &'a [u8], escaped: bool },
    /// A number, `true` or `false`.
    Bare(&'a [u8]),
    /// What stands between the brackets of an array.
    List(&'a [u8]),
}

/// The values found, by slot.
pub(super) type Slots<'a> = [Option<Value<'a>>; MOST_SLOTS];

impl Keys {
    /// Fills the slots from a line that is one object.
    pub(super) fn scan<'a>(&self, line: &'a [u8], slots: &mut Slots<'a>) -> Result<(), Unparsed> {
        let mut scanner = Scanner {
            keys: self,
            rest: line,
            seen: 0,
            slots,
        };
        scanner.expect(b'{')?;
        scanner.object(0)?;
        scanner.space();
        if scanner.rest.is_empty() {
            Ok(())
        } else {
            Err(Unparsed::Malformed)
        }
    }
}

struct Scanner<'k, 'a, 's> {
    keys: &'k Keys,
    rest: &'a [u8],
    /// The nodes that were met.
    seen: u64,
    slots: &'s mut Slots<'a>,
}

impl<'a> Scanner<'_, 'a, '_> {
    /// The members of an object behind its bracket. `node` is the object's; as deep as the keys are.
    fn object(&mut self, node: usize) -> Result<(), Unparsed> {
        self.space();
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.expect(b'"')?;
            let (name, escaped) = self.string()?;
            self.expect(b':')?;
            let name = if escaped {
                unescape(name)
            } else {
                Cow::Borrowed(name)
            };
            match self.keys.child(node, &name) {
                None => _ = self.value()?,
                Some(child) => self.wanted(child)?,
            }
            self.space();
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    fn wanted(&mut self, child: usize) -> Result<(), Unparsed> {
        let met = 1 << child;
        if self.seen & met != 0 {
            return Err(Unparsed::Ambiguous);
        }
        self.seen |= met;
        if let Some(slot) = self.keys.nodes[child].slot {
            self.slots[slot] = self.value()?;
            return Ok(());
        }
        self.space();
        if self.take(b'{') {
            return self.object(child);
        }
        self.value().map(|_| ())
    }

    /// Reads over a value; none is an object or null.
    fn value(&mut self) -> Result<Option<Value<'a>>, Unparsed> {
        self.space();
        let (first, after) = self.rest.split_first().ok_or(Unparsed::Malformed)?;
        match first {
            b'"' => {
                self.rest = after;
                let (raw, escaped) = self.string()?;
                Ok(Some(Value::Text { raw, escaped }))
            }
            b'{' => {
                self.skip()?;
                Ok(None)
            }
            b'[' => {
                let inside = self.skip()?;
                Ok(Some(Value::List(inside)))
            }
            _ => {
                let bare = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                let end = self.rest.iter().position(|byte| !bare(byte));
                let (text, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
                if text.is_empty() {
                    return Err(Unparsed::Malformed);
                }
                self.rest = rest;
                Ok((text != b"null").then_some(Value::Bare(text)))
            }
        }
    }

    fn string(&mut self) -> Result<(&'a [u8], bool), Unparsed> {
        let (raw, escaped, rest) = string(self.rest).ok_or(Unparsed::Malformed)?;
        self.rest = rest;
        Ok((raw, escaped))
    }

    /// Reads over an object or array; gives what is between its brackets.
    fn skip(&mut self) -> Result<&'a [u8], Unparsed> {
        let text = self.rest;
        let (mut depth, mut objects) = (0, 0_u64);
        loop {
            let (byte, rest) = self.rest.split_first().ok_or(Unparsed::Malformed)?;
            self.rest = rest;
            match byte {
                b'"' => _ = self.string()?,
                b'{' | b'[' => {
                    depth += 1;
                    if depth > DEEPEST {
                        return Err(Unparsed::Malformed);
                    }
                    objects = objects << 1 | u64::from(*byte == b'{');
                }
                b'}' | b']' => {
                    if (objects & 1 == 1) != (*byte == b'}') {
                        return Err(Unparsed::Malformed);
                    }
                    objects >>= 1;
                    depth -= 1;
                    if depth == 0 {
                        return Ok(&text[1..text.len() - rest.len() - 1]);
                    }
                }
                _ => {}
            }
        }
    }

    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let rest = self.rest.strip_prefix(&[byte]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// Reads space and the byte.
    fn expect(&mut self, byte: u8) -> Result<(), Unparsed> {
        self.space();
        if self.take(byte) {
            Ok(())
        } else {
            Err(Unparsed::Malformed)
        }
    }
}

impl<'a> Value<'a> {
    /// The text, unescaped. None of an array.
    pub(super) fn text(&self) -> Option<Cow<'a, [u8]>> {
        match *self {
            Value::Text { raw, escaped: true } => Some(unescape(raw)),
            Value::Text { raw, .. } | Value::Bare(raw) => Some(Cow::Borrowed(raw)),
            Value::List(_) => None,
        }
    }
}

/// What a string holds behind its opening quote, whether that has escapes, and what follows the closing quote.
fn string(text: &[u8]) -> Option<(&[u8], bool, &[u8])> {
    // Most strings are shorter than what a vectorised search pays for.
    let head = &text[..text.len().min(16)];
    let mut at = match head.iter().position(|byte| matches!(byte, b'"' | b'\\')) {
        None => memchr2(b'"', b'\\', &text[head.len()..])? + head.len(),
        Some(found) => found,
    };
    let escaped = text[at] == b'\\';
    while text[at] == b'\\' {
        at += 2 + memchr2(b'"', b'\\', text.get(at + 2..)?)?;
    }
    Some((&text[..at], escaped, &text[at + 1..]))
}

/// The strings of an array, which was scanned.
pub(super) fn strings(list: &[u8]) -> impl Iterator<Item = Cow<'_, [u8]>> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let (raw, escaped, behind) = string(&rest[memchr(b'"', rest)? + 1..])?;
        rest = behind;
        Some(if escaped {
            unescape(raw)
        } else {
            Cow::Borrowed(raw)
        })
    })
}

#[cfg(test)]
mod tests;
