//! nginx's own `log_format`, compiled to a splitter.
//!
//! nginx escapes quotes and control characters in what clients send, so a quote or a tab of the layout is a sure mark in
//! the line. The marks cut a line into segments. In a segment, what the server writes before the first text of a client is
//! read from the left, what it writes behind the last one from the right: no client reaches across. What stands between
//! two texts of clients may be theirs; an address there is refused when the layout is compiled.

mod compile;
mod variables;

use memchr::{memchr, memmem};

use self::variables::Writer;
use super::{
    Given, Reader, Unparsed,
    json_keys::{Field, set_text},
    json_text::unescape,
    scan::cut_quote,
};
use crate::Event;

/// A compiled `log_format`.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    segments: Vec<Segment>,
}

/// What stands up to a mark.
#[derive(Clone, Debug, Default)]
struct Segment {
    /// Up to the first text of a client: read from the left.
    left: Vec<Item>,
    /// From the first to the last text of a client.
    middle: Vec<Item>,
    /// Behind the last text of a client: read from the right.
    right: Vec<Item>,
    /// The mark: a quote or control character; none at the end of the line.
    mark: Option<u8>,
}

/// Literals and variables always take turns.
#[derive(Clone, Debug)]
enum Item {
    Literal(Vec<u8>),
    Variable(Variable),
}

#[derive(Clone, Debug)]
struct Variable {
    name: String,
    field: Option<Field>,
    writer: Writer,
}

impl Layout {
    pub(super) fn has(&self, field: Field) -> bool {
        let sides =
            |s: &'_ Segment| [&s.left, &s.middle, &s.right].map(|items| is_in(items, field));
        self.segments.iter().flat_map(sides).any(|is_in| is_in)
    }

    pub(super) fn read<'a>(
        &self,
        line: &'a [u8],
        reader: &mut Reader,
        given: Given,
    ) -> Result<Event<'a>, Unparsed> {
        let mut event = Event::default();
        let mut rest = line;
        for segment in &self.segments {
            let found = match segment.mark {
                None if given == Given::Line => Some((rest, &b""[..])),
                None => None,
                Some(b'"') => cut_quote(rest),
                Some(mark) => super::scan::cut(rest, mark),
            };
            let Some((text, behind)) = found else {
                // A segment without its end says nothing.
                let enough = given == Given::Head && event.peer.is_some();
                return if enough {
                    Ok(event)
                } else {
                    Err(Unparsed::Malformed)
                };
            };
            rest = behind;
            segment
                .read(text, &mut |field, value| {
                    set_text(&mut event, field, unescape(value), reader)
                })
                .ok_or(Unparsed::Malformed)
                .flatten()?;
        }
        Ok(event)
    }
}

fn is_in(items: &[Item], field: Field) -> bool {
    let of = |item: &Item| match item {
        Item::Literal(_) => None,
        Item::Variable(variable) => variable.field,
    };
    items.iter().any(|item| of(item) == Some(field))
}

impl Segment {
    /// Gives the values of the fields. None if the text is of another layout.
    fn read<'a, E>(
        &self,
        text: &'a [u8],
        set: &mut impl FnMut(Field, &'a [u8]) -> Result<(), E>,
    ) -> Option<Result<(), E>> {
        let rest = forwards(&self.left, text, set)?;
        let rest = match rest {
            Ok(rest) => backwards(&self.right, rest, set)?,
            error => error,
        };
        let rest = match rest {
            Ok(rest) => forwards(&self.middle, rest, set)?,
            error => error,
        };
        match rest {
            Ok(b"") => Some(Ok(())),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        }
    }
}

/// Reads from the left and gives what is left over.
fn forwards<'a, E>(
    items: &[Item],
    mut text: &'a [u8],
    set: &mut impl FnMut(Field, &'a [u8]) -> Result<(), E>,
) -> Option<Result<&'a [u8], E>> {
    for (at, item) in items.iter().enumerate() {
        match item {
            Item::Literal(literal) => text = text.strip_prefix(&**literal)?,
            Item::Variable(variable) => {
                let end = match (variable.writer, items.get(at + 1)) {
                    (Writer::Server(Some(width)), _) => width,
                    (_, Some(Item::Literal(literal))) => match **literal {
                        [byte] => memchr(byte, text)?,
                        _ => memmem::find(text, literal)?,
                    },
                    _ => text.len(),
                };
                let (value, rest) = text.split_at_checked(end)?;
                text = rest;
                if let Some(Err(error)) = variable.field.map(|field| set(field, value)) {
                    return Some(Err(error));
                }
            }
        }
    }
    Some(Ok(text))
}

/// Reads from the right and gives what is left over. The first item is a literal.
fn backwards<'a, E>(
    items: &[Item],
    mut text: &'a [u8],
    set: &mut impl FnMut(Field, &'a [u8]) -> Result<(), E>,
) -> Option<Result<&'a [u8], E>> {
    for (at, item) in items.iter().enumerate().rev() {
        match item {
            Item::Literal(literal) => text = text.strip_suffix(&**literal)?,
            Item::Variable(variable) => {
                let start = match (variable.writer, at.checked_sub(1).map(|at| &items[at])) {
                    (Writer::Server(Some(width)), _) => text.len().checked_sub(width)?,
                    (_, Some(Item::Literal(literal))) => {
                        memmem::rfind(text, literal)? + literal.len()
                    }
                    _ => return None,
                };
                let (rest, value) = text.split_at(start);
                text = rest;
                if let Some(Err(error)) = variable.field.map(|field| set(field, value)) {
                    return Some(Err(error));
                }
            }
        }
    }
    Some(Ok(text))
}

#[cfg(test)]
mod tests;
