//! Which keys of a JSON log mean what: Caddy, Traefik, nginx, and logs of one's own.

mod known;

use std::borrow::Cow;

use self::known::{CADDY, CADDY_LOGGER, NGINX, TRAEFIK};
use super::{
    FormatError, Given, Reader, Unparsed,
    access::without_port,
    escape::Escape,
    json_text::{Keys, MOST_SLOTS, Slots, Value, strings},
    request::{is_method, set_line, set_target},
    scan::{number, unless_dash},
};
use crate::Event;

/// What a key or variable holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The address of the connection's other end. Not what a server made of `X-Forwarded-For`: that may be the client's.
    Peer,
    /// The value of `X-Forwarded-For`; an array is joined.
    Forwarded,
    /// The time: ISO 8601, common log format, or Unix time in s (with or without fraction), ms, µs or ns.
    Time,
    /// The whole request line, `GET /a?b HTTP/1.1`.
    Request,
    /// The method.
    Method,
    /// Path and query.
    Path,
    /// The query, where the path lacks it.
    Query,
    /// The status.
    Status,
    /// The virtual host, perhaps with a port.
    Host,
    /// `User-Agent`.
    Agent,
    /// The user.
    User,
    /// Text for regular expressions.
    Message,
}

/// The keys of one kind of log.
#[derive(Clone, Debug)]
pub(super) struct JsonKeys {
    keys: Keys,
    /// By slot; of several slots for a field, the first that has a value counts.
    fields: Vec<Field>,
    /// The slot of a key without which, or with another start of whose value, a line is not of this log.
    only: Option<(usize, &'static [u8])>,
}

impl JsonKeys {
    pub(super) fn caddy() -> Option<Self> {
        let mut keys = Self::own(CADDY).ok()?;
        let slot = keys.fields.len();
        let name = CADDY_LOGGER.0.as_bytes().to_vec();
        keys.keys.insert([name], slot).ok()?;
        keys.only = Some((slot, CADDY_LOGGER.1));
        Some(keys)
    }

    pub(super) fn traefik() -> Option<Self> {
        Self::own(TRAEFIK).ok()
    }

    pub(super) fn nginx() -> Option<Self> {
        Self::own(NGINX).ok()
    }

    pub(super) fn own(list: &[(Field, &str)]) -> Result<Self, FormatError> {
        let is_found = |(field, _): &(Field, &str)| matches!(field, Field::Peer | Field::Message);
        if !list.iter().any(is_found) {
            return Err(FormatError::NoAddress("a key for the peer or a message"));
        }
        // One slot is kept for the key of `only`.
        if list.len() >= MOST_SLOTS {
            return Err(FormatError::TooMany(MOST_SLOTS - 1));
        }
        let mut keys = Keys::flat(&[]);
        for (slot, (_, key)) in list.iter().enumerate() {
            let inserted = keys.insert(names(key), slot);
            inserted.map_err(|why| FormatError::Key((*key).to_owned(), why))?;
        }
        Ok(Self {
            keys,
            fields: list.iter().map(|(field, _)| *field).collect(),
            only: None,
        })
    }

    pub(super) fn has(&self, field: Field) -> bool {
        self.fields.contains(&field)
    }

    pub(super) fn read<'a>(
        &self,
        line: &'a [u8],
        reader: &mut Reader,
        given: Given,
    ) -> Result<Event<'a>, Unparsed> {
        let mut slots = Slots::default();
        match (self.keys.scan(line, &mut slots), given) {
            // The values found until then are whole.
            (Ok(()), _) | (Err(Unparsed::Malformed), Given::Head) => {}
            (Err(why), _) => return Err(why),
        }
        if let Some((slot, start)) = self.only {
            let text = slots[slot].as_ref().and_then(Value::text);
            if text.is_some_and(|text| !text.starts_with(start)) {
                return Err(Unparsed::Irrelevant);
            }
        }
        let mut event = Event::default();
        for (field, value) in self.fields.iter().zip(&slots) {
            if let Some(value) = value {
                set(&mut event, *field, value, reader)?;
            }
        }
        let wants_peer = self.fields.contains(&Field::Peer);
        if event.peer.is_none() && (wants_peer || event.message.is_empty()) {
            return Err(Unparsed::Irrelevant);
        }
        Ok(event)
    }
}

/// `a.b\.c` is `c` with a dot in its name, in the object `a`.
fn names(key: &str) -> Vec<Vec<u8>> {
    let mut names = vec![Vec::new()];
    let mut bytes = key.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let literal = match byte {
            b'.' => None,
            b'\\' if bytes.peek() == Some(&b'.') => bytes.next(),
            byte => Some(byte),
        };
        match (literal, names.last_mut()) {
            (Some(byte), Some(name)) => name.push(byte),
            _ => names.push(Vec::new()),
        }
    }
    names
}

/// Sets a field that is not set yet.
pub(super) fn set<'a>(
    event: &mut Event<'a>,
    field: Field,
    value: &Value<'a>,
    reader: &mut Reader,
) -> Result<(), Unparsed> {
    let text = match (value, field) {
        // Several headers of a name are one list; of others the first counts.
        (Value::List(inside), Field::Forwarded) => {
            let all: Vec<_> = strings(inside).collect();
            Cow::Owned(all.join(&b", "[..]))
        }
        (Value::List(inside), Field::Agent | Field::Host) => {
            strings(inside).next().unwrap_or_default()
        }
        (value, Field::Peer) => value.text().ok_or(Unparsed::NoAddress)?,
        (value, _) => match value.text() {
            Some(text) => text,
            None => return Ok(()),
        },
    };
    set_text(event, field, text, reader)
}

/// Sets a field that is not set yet from unescaped text.
pub(super) fn set_text<'a>(
    event: &mut Event<'a>,
    field: Field,
    text: Cow<'a, [u8]>,
    reader: &mut Reader,
) -> Result<(), Unparsed> {
    if unless_dash(&text).is_empty() && field != Field::Peer {
        return Ok(());
    }
    let keep = |old: &mut Cow<'a, [u8]>, text| {
        if old.is_empty() {
            *old = text;
        }
    };
    match field {
        Field::Peer if event.peer.is_none() => event.peer = reader.peer(&text)?,
        Field::Time if event.time_ms.is_none() => event.time_ms = reader.clock.any(&text),
        Field::Status if event.status == 0 => {
            event.status = number(&text, 3)
                .and_then(|n| u16::try_from(n).ok())
                .unwrap_or(0);
        }
        Field::Method if event.method.is_empty() => {
            // A method has no escapes.
            if let Cow::Borrowed(text) = text
                && is_method(text)
            {
                event.method = text;
            }
        }
        Field::Request if event.path.is_empty() => match text {
            Cow::Borrowed(line) => set_line(event, line, Escape::None),
            Cow::Owned(line) => set_owned_line(event, &line),
        },
        Field::Path if event.path.is_empty() => {
            let query = std::mem::take(&mut event.query);
            set_target(event, text);
            keep(&mut event.query, query);
        }
        Field::Host => keep(&mut event.host, host(text)),
        Field::Forwarded => keep(&mut event.forwarded, text),
        Field::Query => keep(&mut event.query, text),
        Field::Agent => keep(&mut event.agent, text),
        Field::User => keep(&mut event.user, text),
        Field::Message => keep(&mut event.message, text),
        _ => {}
    }
    Ok(())
}

/// A request line that had escapes. Its method is one of those that exist, so that it can be borrowed.
fn set_owned_line(event: &mut Event<'_>, line: &[u8]) {
    const METHODS: [&[u8]; 9] = [
        b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE",
    ];
    let mut read = Event::default();
    set_line(&mut read, line, Escape::None);
    let known = METHODS.into_iter().find(|known| *known == read.method);
    event.method = known.unwrap_or_default();
    event.path = Cow::Owned(read.path.into_owned());
    event.query = Cow::Owned(read.query.into_owned());
    if event.host.is_empty() {
        event.host = Cow::Owned(read.host.into_owned());
    }
}

fn host(text: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(without_port(text)),
        Cow::Owned(text) => Cow::Owned(without_port(&text).to_vec()),
    }
}

#[cfg(test)]
mod tests;
