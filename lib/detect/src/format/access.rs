//! The access logs of nginx and Apache in their oldest layouts.

use std::borrow::Cow;

use super::{
    Given, Reader, Unparsed,
    address::v4_before_space,
    clock::CLF,
    escape::Escape,
    request::set_line,
    scan::{behind_digits, cut, cut_escaped, cut_last, cut_quote, number, status, unless_dash},
};
use crate::{Event, Needs};

/// Which of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// `ADDR - USER [TIME] "REQUEST" STATUS SIZE`
    Common,
    /// The same and ` "REFERER" "AGENT"`.
    Combined,
    /// The same behind `HOST:PORT `, which Apache takes from its configuration.
    VhostCombined,
}

impl Access {
    /// Sets the fields of a fresh event.
    pub(super) fn read<'a>(
        self,
        event: &mut Event<'a>,
        line: &'a [u8],
        reader: &mut Reader,
        given: Given,
        needs: Option<&Needs>,
    ) -> Result<(), Unparsed> {
        let mut line = line;
        if self == Self::VhostCombined {
            let (host, rest) = cut(line, b' ').ok_or(Unparsed::Malformed)?;
            event.host = Cow::Borrowed(without_port(host));
            line = rest;
        }
        let rest = front(event, line, reader)
            .ok_or(Unparsed::Malformed)
            .flatten()?;
        let complete = back(event, rest, self != Self::Common, needs);
        if complete.is_none() && given == Given::Line {
            return Err(Unparsed::Malformed);
        }
        Ok(())
    }
}

/// `ADDR - USER [TIME] "`. Gives what follows it; none if the layout is another one. The address is the first field, so
/// that no client's text stands before it.
#[inline]
fn front<'a>(
    event: &mut Event<'a>,
    line: &'a [u8],
    reader: &mut Reader,
) -> Option<Result<&'a [u8], Unparsed>> {
    if let Some((peer, end)) = v4_before_space(line) {
        event.peer = Some(peer.into());
        let (_, rest) = line.split_at_checked(end + 1)?;
        return Some(Ok(who_and_when(event, rest, reader)?));
    }
    let (peer, rest) = cut(line, b' ')?;
    let rest = who_and_when(event, rest, reader)?;
    Some(reader.peer(peer).map(|peer| {
        event.peer = peer;
        rest
    }))
}

/// The length of `- - [TIME] "`.
const WHEN: usize = CLF + 8;

/// `- USER [TIME] "`.
#[inline]
fn who_and_when<'a>(
    event: &mut Event<'a>,
    text: &'a [u8],
    reader: &mut Reader,
) -> Option<&'a [u8]> {
    // Mostly nobody is named, and it is the second of the line before.
    if let Some([b'-', b' ', b'-', b' ', b'[', after @ ..]) = text.first_chunk::<WHEN>()
        && let Some((time, b"] \"")) = after.split_first_chunk()
        && let Some(ms) = reader.clock.same(time)
    {
        event.time_ms = Some(ms);
        return text.get(WHEN..);
    }
    let (head, rest) = cut_quote(text)?;
    let (who, time) = head.split_at(head.len().checked_sub(CLF + 3)?);
    let time = time.strip_prefix(b"[")?.strip_suffix(b"] ")?;
    event.time_ms = reader.clock.clf(time);
    if who != b"- - " {
        // Users may have spaces; the name in front of them is "-" unless Apache asks identd.
        let (_, user) = cut(who, b' ')?;
        event.user = Escape::Backslash.undo(unless_dash(user.strip_suffix(b" ")?));
    }
    Some(rest)
}

/// `REQUEST" STATUS SIZE`, with `more` also ` "REFERER" "AGENT"`. None at the first thing that is missing.
#[inline]
fn back<'a>(
    event: &mut Event<'a>,
    text: &'a [u8],
    more: bool,
    needs: Option<&Needs>,
) -> Option<()> {
    let Some((request, rest)) = cut_quote(text) else {
        set_line(event, text, Escape::Backslash);
        return None;
    };
    let complete = answer(event, rest, more);
    if needs.is_none_or(|needs| needs.request(event.status)) {
        set_line(event, request, Escape::Backslash);
    }
    complete
}

/// ` STATUS SIZE`, with `more` also ` "REFERER" "AGENT"`.
#[inline]
fn answer<'a>(event: &mut Event<'a>, text: &'a [u8], more: bool) -> Option<()> {
    let [b' ', rest @ ..] = text else {
        return None;
    };
    // Nearly all have three digits.
    let (code, rest) = match rest {
        [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9', b' ', after @ ..] => (&rest[..3], after),
        _ => cut(rest, b' ')?,
    };
    event.status = status(code);
    if event.status == 0 && code != b"-" && code != b"000" {
        return None;
    }
    if !more {
        return is_size(cut(rest, b' ').map_or(rest, |(size, _)| size));
    }
    let rest = match behind_digits(rest) {
        Some([b' ', b'"', rest @ ..]) => rest,
        _ => {
            let (size, rest) = cut_quote(rest)?;
            is_size(size.strip_suffix(b" ")?)?;
            rest
        }
    };
    let (_, rest) = cut_quote(rest)?;
    let (agent, _, escaped) = cut_escaped(rest.strip_prefix(b" \"")?)?;
    let agent = unless_dash(agent);
    if escaped {
        event.agent = Escape::Backslash.undo(agent);
    } else {
        event.agent = Cow::Borrowed(agent);
    }
    Some(())
}

fn is_size(text: &[u8]) -> Option<()> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    (digits || text == b"-").then_some(())
}

/// The host of `host`, `host:80`, `[2001:db8::1]:80`.
pub(super) fn without_port(host: &[u8]) -> &[u8] {
    match cut_last(host, b':') {
        Some((name, port)) if number(port, 5).is_some() && !name.ends_with(b":") => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests;
