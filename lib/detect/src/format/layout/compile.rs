//! A `log_format` made into segments, and refused where a client could write an address.

use super::{
    super::{FormatError, json_keys::Field},
    Item, Layout, Segment, Variable,
    variables::{Writer, field, writer},
};

/// The most variables of a layout, and the most segments.
const MOST: usize = 64;

impl Layout {
    pub(in super::super) fn compile(text: &str) -> Result<Self, FormatError> {
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
