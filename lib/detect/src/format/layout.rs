//! nginx's own `log_format`, compiled to a splitter.
//!
//! nginx escapes quotes and control characters in what clients send, so a quote or a tab of the layout is a sure mark in
//! the line. The marks cut a line into segments. In a segment, what the server writes before the first text of a client is
//! read from the left, what it writes behind the last one from the right: no client reaches across. What stands between
//! two texts of clients may be theirs; an address there is refused when the layout is compiled.

mod variables;

use memchr::{memchr, memmem};

use self::variables::{Writer, field, writer};
use super::{
    FormatError, Given, Reader, Unparsed,
    json_keys::{Field, set_text},
    json_text::unescape,
    scan::cut_quote,
};
use crate::Event;

/// The most variables of a layout, and the most segments.
const MOST: usize = 64;

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
    pub(super) fn compile(text: &str) -> Result<Self, FormatError> {
        let mut segments: Vec<(Vec<Item>, Option<u8>)> = vec![(Vec::new(), None)];
        let mut variables = 0;
        let mut rest = text;
        while let Some(char) = rest.chars().next() {
            rest = &rest[char.len_utf8()..];
            let Some((items, mark)) = segments.last_mut() else {
                break;
            };
            if char == '$' {
                let name =
                    name(&mut rest).ok_or_else(|| FormatError::Variable(format!("${rest}")))?;
                push_variable(items, name);
                variables += 1;
                continue;
            }
            // In nginx's configuration, these escapes stand for the character.
            let (literal, used) = match (char, rest.as_bytes().first()) {
                ('\\', Some(b't')) => ('\t', 1),
                ('\\', Some(b'"')) => ('"', 1),
                ('\\', Some(b'\\')) => ('\\', 1),
                _ => (char, 0),
            };
            rest = &rest[used..];
            match u8::try_from(literal) {
                Ok(byte @ (b'"' | ..0x20)) => {
                    *mark = Some(byte);
                    segments.push((Vec::new(), None));
                }
                _ => push_literal(items, literal),
            }
        }
        if variables > MOST || segments.len() > 2 * MOST {
            return Err(FormatError::TooMany(MOST));
        }
        let mut items: Vec<_> = segments.iter_mut().flat_map(|(items, _)| items).collect();
        choose_peer(&mut items)?;
        let segments = segments
            .into_iter()
            .map(|(items, mark)| Segment::new(items, mark));
        Ok(Self {
            segments: segments.collect::<Result<_, _>>()?,
        })
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

/// The name behind a dollar sign, with or without braces.
fn name<'t>(rest: &mut &'t str) -> Option<&'t str> {
    let (text, braced) = match rest.strip_prefix('{') {
        Some(text) => (text, true),
        None => (*rest, false),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let end = text.bytes().position(|byte| !is_name(byte));
    let (name, behind) = text.split_at(end.unwrap_or(text.len()));
    *rest = if braced {
        behind.strip_prefix('}')?
    } else {
        behind
    };
    (!name.is_empty()).then_some(name)
}

fn push_literal(items: &mut Vec<Item>, char: char) {
    let mut buffer = [0; 4];
    let bytes = char.encode_utf8(&mut buffer).as_bytes();
    match items.last_mut() {
        Some(Item::Literal(literal)) => literal.extend_from_slice(bytes),
        _ => items.push(Item::Literal(bytes.to_vec())),
    }
}

fn push_variable(items: &mut Vec<Item>, name: &str) {
    // Where one ends and the next begins is not to be told: they are one that means nothing.
    if let Some(Item::Variable(before)) = items.last_mut() {
        before.name = format!("{}${name}", before.name);
        before.field = before
            .field
            .filter(|field| is_address(*field))
            .or(field(name).filter(|field| is_address(*field)));
        before.writer = Writer::Other;
        return;
    }
    items.push(Item::Variable(Variable {
        name: format!("${name}"),
        field: field(name),
        writer: writer(name),
    }));
}

const fn is_address(field: Field) -> bool {
    matches!(field, Field::Peer | Field::Forwarded)
}

/// Makes sure that there is one address. The one of the PROXY protocol counts where there is no other.
fn choose_peer(items: &mut [&mut Item]) -> Result<(), FormatError> {
    let mut variables: Vec<_> = items
        .iter_mut()
        .filter_map(|item| match item {
            Item::Variable(variable) => Some(variable),
            Item::Literal(_) => None,
        })
        .collect();
    if variables
        .iter()
        .any(|variable| variable.field == Some(Field::Peer))
    {
        return Ok(());
    }
    let proxied = variables
        .iter_mut()
        .find(|variable| variable.name == "$proxy_protocol_addr");
    let proxied = proxied.ok_or(FormatError::NoAddress("$remote_addr"))?;
    proxied.field = Some(Field::Peer);
    Ok(())
}

impl Segment {
    fn new(mut items: Vec<Item>, mark: Option<u8>) -> Result<Self, FormatError> {
        let is_client = |item: &Item| matches!(item, Item::Variable(variable) if variable.writer == Writer::Other);
        let (Some(first), Some(last)) = (
            items.iter().position(is_client),
            items.iter().rposition(is_client),
        ) else {
            return Ok(Self {
                left: items,
                mark,
                ..Self::default()
            });
        };
        let right = items.split_off(last + 1);
        let middle = items.split_off(first);
        check(&middle)?;
        Ok(Self {
            left: items,
            middle,
            right,
            mark,
        })
    }

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

/// Refuses an address among texts of clients. One that is such a text itself must be the only one.
fn check(middle: &[Item]) -> Result<(), FormatError> {
    let variables = || {
        middle.iter().filter_map(|item| match item {
            Item::Variable(variable) => Some(variable),
            Item::Literal(_) => None,
        })
    };
    let address = variables().find(|variable| variable.field.is_some_and(is_address));
    let Some(address) = address else {
        return Ok(());
    };
    let glued = address.name[1..].contains('$');
    let other =
        variables().find(|other| other.name != address.name && other.writer == Writer::Other);
    match other {
        None if !glued && variables().count() == 1 => Ok(()),
        other => Err(FormatError::Ambiguous {
            address: address.name.clone(),
            text: other.unwrap_or(address).name.clone(),
        }),
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
