//! The messages of OpenSSH's sshd (and sshd-session, sshd-auth), 7.0 to 10.
//!
//! User names are client text without any quoting: `Failed password for invalid user x from 6.6.6.6 port 1 ssh2 from
//! 192.0.2.7 port 4711 ssh2`. Hence each message is read from the end that sshd wrote: from the right where the address is
//! the last thing or before sshd's own words, from the left where it is the first. Where client text stands
//! on both sides the address must be the only one of its shape, otherwise the line is ambiguous.
//!
//! Lines of PAM are left out: sshd tells the same outcome itself. So are lines about an established session.

use std::{borrow::Cow, net::IpAddr};

use memchr::memmem;

use super::{
    Unparsed,
    address::address,
    scan::{cut, cut_last, number},
    syslog::Header,
};
use crate::{Event, Login};

/// The most repetitions that are believed: more than any sensible jail waits for.
const MOST_REPEATED: u16 = 100;

/// Who, and what became of it.
struct Found<'a> {
    user: &'a [u8],
    peer: &'a [u8],
    login: Option<Login>,
}

/// Reads the message behind a header of syslog.
pub(super) fn read<'a>(header: &Header<'a>) -> Result<Event<'a>, Unparsed> {
    if !matches!(
        header.program,
        b"" | b"sshd" | b"sshd-session" | b"sshd-auth"
    ) {
        return Err(Unparsed::Irrelevant);
    }
    let (text, repeated) = unrepeated(header.message);
    let found = message(text)?;
    let peer: IpAddr = address(found.peer).ok_or(Unparsed::NoAddress)?;
    Ok(Event {
        peer: Some(peer),
        user: Cow::Borrowed(found.user),
        login: found.login,
        repeated,
        message: Cow::Borrowed(header.message),
        ..Event::default()
    })
}

/// The message in `message repeated 2 times: [ MESSAGE]` of rsyslog, and how often it came after the first of these; at
/// most [`MOST_REPEATED`].
fn unrepeated(text: &[u8]) -> (&[u8], u16) {
    let inside = || {
        let (times, message) = cut(text.strip_prefix(b"message repeated ")?, b'[')?;
        let message = message.strip_prefix(b" ")?.strip_suffix(b"]")?;
        let times = number(times.strip_suffix(b" times: ")?, 9).unwrap_or(1);
        let more = u16::try_from(times.saturating_sub(1)).unwrap_or(MOST_REPEATED);
        Some((message, more.min(MOST_REPEATED)))
    };
    inside().unwrap_or((text, 0))
}

fn message(text: &[u8]) -> Result<Found<'_>, Unparsed> {
    let text = [&b"error: "[..], b"fatal: ", b"info: "]
        .into_iter()
        .find_map(|level| text.strip_prefix(level))
        .unwrap_or(text);
    // One comparison of the first bytes rules most messages out.
    let (word, rest) = cut(text, b' ').ok_or(Unparsed::Irrelevant)?;
    match word {
        b"Failed" => attempt(rest, Login::Failed),
        b"Accepted" => attempt(rest, Login::Accepted),
        b"Invalid" => invalid_user(rest),
        b"Connection" | b"Disconnected" => closed(rest),
        b"Disconnecting" => disconnecting(rest),
        b"maximum" => {
            let rest = after(rest, b"authentication attempts exceeded for ")?;
            let rest = rest.strip_suffix(b" [preauth]").unwrap_or(rest);
            tried(rest, Login::Failed, true)
        }
        b"User" => not_allowed(rest),
        b"PAM:" => pam(rest),
        _ => first_address(text),
    }
}

/// `METHOD for [invalid user ]USER from ADDR port N ssh2[: KEY]`
fn attempt(rest: &[u8], login: Login) -> Result<Found<'_>, Unparsed> {
    let (method, rest) = cut(rest, b' ').ok_or(Unparsed::Irrelevant)?;
    let rest = after(rest, b"for ")?;
    let has_key = !method.starts_with(b"password") && !method.starts_with(b"keyboard");
    tried(rest, login, !has_key)
}

/// `[invalid user ]USER from ADDR port N ssh2`, and with `last` nothing behind it. A certificate that was offered puts its
/// name, client text, behind it.
fn tried(rest: &[u8], login: Login, last: bool) -> Result<Found<'_>, Unparsed> {
    let (user, peer) = match rest.strip_prefix(b"invalid user ") {
        None if last => right(rest, b" ssh2")?,
        // The name of an account that exists may have spaces (from a directory), never a colon.
        None => match memmem::find(rest, b" ssh2: ") {
            Some(end) => right(&rest[..end], b"")?,
            None => right(rest, b" ssh2")?,
        },
        Some(rest) if last || rest.ends_with(b" ssh2") => right(rest, b" ssh2")?,
        Some(rest) => {
            only(rest, b" ssh2: ")?;
            let end = memmem::find(rest, b" ssh2: ").ok_or(Unparsed::Malformed)?;
            right(&rest[..end], b"")?
        }
    };
    Ok(Found {
        user,
        peer,
        login: Some(login),
    })
}

/// `USER from ADDR port N END`, read from its end.
fn right<'a>(rest: &'a [u8], end: &[u8]) -> Result<(&'a [u8], &'a [u8]), Unparsed> {
    let rest = rest.strip_suffix(end).ok_or(Unparsed::Malformed)?;
    let rest = without_port(rest);
    let (user, peer) = cut_last(rest, b' ').ok_or(Unparsed::Malformed)?;
    let user = user.strip_suffix(b"from").ok_or(Unparsed::Malformed)?;
    Ok((user.strip_suffix(b" ").unwrap_or(user), peer))
}

/// The text without ` port N` at its end. Old versions leave the port out in some messages.
fn without_port(text: &[u8]) -> &[u8] {
    cut_last(text, b' ')
        .filter(|(_, port)| number(port, 5).is_some())
        .and_then(|(text, _)| text.strip_suffix(b" port"))
        .unwrap_or(text)
}

/// Whether the mark is in the text once.
fn only(text: &[u8], mark: &[u8]) -> Result<(), Unparsed> {
    match memmem::find_iter(text, mark).count() {
        0 => Err(Unparsed::Malformed),
        1 => Ok(()),
        _ => Err(Unparsed::Ambiguous),
    }
}

/// `user USER from ADDR[ port N]`
fn invalid_user(rest: &[u8]) -> Result<Found<'_>, Unparsed> {
    let (user, peer) = right(after(rest, b"user ")?, b"")?;
    Ok(Found {
        user,
        peer,
        login: Some(Login::Failed),
    })
}

/// `closed by`, `reset by` or `from`, then `[[authenticating |invalid ]user USER ]ADDR[ port N][ [preauth]]`.
fn closed(rest: &[u8]) -> Result<Found<'_>, Unparsed> {
    let rest = [&b"closed by "[..], b"reset by ", b"from "]
        .into_iter()
        .find_map(|words| rest.strip_prefix(words))
        .ok_or(Unparsed::Irrelevant)?;
    // Otherwise somebody was logged in, or it is a mere "Connection from".
    let rest = rest
        .strip_suffix(b" [preauth]")
        .ok_or(Unparsed::Irrelevant)?;
    let (user, peer) = named(without_port(rest))?;
    Ok(Found {
        user,
        peer,
        login: Some(Login::Abandoned),
    })
}

/// `[[authenticating |invalid ]user USER ]ADDR`, read from its end.
fn named(text: &[u8]) -> Result<(&[u8], &[u8]), Unparsed> {
    let Some((user, peer)) = cut_last(text, b' ') else {
        return Ok((b"", text));
    };
    let user = [&b"authenticating user"[..], b"invalid user", b"user"]
        .into_iter()
        .find_map(|kind| user.strip_prefix(kind))
        .ok_or(Unparsed::Malformed)?;
    Ok((user.strip_prefix(b" ").unwrap_or(user), peer))
}

/// `[authenticating |invalid ]user USER ADDR port N: REASON[ [preauth]]`. A reason may quote the client.
fn disconnecting(rest: &[u8]) -> Result<Found<'_>, Unparsed> {
    let rest = rest
        .strip_suffix(b" [preauth]")
        .ok_or(Unparsed::Irrelevant)?;
    let (user, peer) = if let Some(head) = rest.strip_suffix(b": Too many authentication failures")
    {
        named(without_port(head))?
    } else if rest.starts_with(b"authenticating user ") {
        // See `tried`: the first colon with a space is behind the name of an account that exists.
        let end = memmem::find(rest, b": ").ok_or(Unparsed::Malformed)?;
        named(without_port(&rest[..end]))?
    } else if rest.starts_with(b"invalid user ") {
        only(rest, b" port ")?;
        let end = memmem::find(rest, b" port ").ok_or(Unparsed::Malformed)?;
        named(&rest[..end])?
    } else {
        (&b""[..], cut(rest, b' ').ok_or(Unparsed::Malformed)?.0)
    };
    Ok(Found {
        user,
        peer,
        login: Some(Login::Abandoned),
    })
}

/// `USER from ADDR not allowed because …`, of an account that exists.
fn not_allowed(rest: &[u8]) -> Result<Found<'_>, Unparsed> {
    // The reasons are sshd's own words.
    let end = memmem::rfind(rest, b" not allowed because ").ok_or(Unparsed::Irrelevant)?;
    let (user, peer) = right(&rest[..end], b"")?;
    Ok(Found {
        user,
        peer,
        login: Some(Login::Failed),
    })
}

/// `WHAT for [illegal user ]USER from ADDR`
fn pam(rest: &[u8]) -> Result<Found<'_>, Unparsed> {
    let rest = after(rest, b"Authentication failure for ")?;
    let (user, peer) = right(rest.strip_prefix(b"illegal user ").unwrap_or(rest), b"")?;
    Ok(Found {
        user,
        peer,
        login: Some(Login::Failed),
    })
}

fn after<'a>(text: &'a [u8], words: &[u8]) -> Result<&'a [u8], Unparsed> {
    text.strip_prefix(words).ok_or(Unparsed::Irrelevant)
}

/// Messages in which sshd's own words end with the address, whatever the client sent behind it.
const FIRST: &[(&[u8], Login)] = &[
    (b"Received disconnect from ", Login::Abandoned),
    (b"Unable to negotiate with ", Login::Abandoned),
    (b"banner exchange: Connection from ", Login::Abandoned),
    (
        b"ssh_dispatch_run_fatal: Connection from ",
        Login::Abandoned,
    ),
    (
        b"Did not receive identification string from ",
        Login::Abandoned,
    ),
    (
        b"Timeout before authentication for connection from ",
        Login::Abandoned,
    ),
    (b"Timeout before authentication for ", Login::Abandoned),
    (b"ROOT LOGIN REFUSED FROM ", Login::Failed),
];

fn first_address(text: &[u8]) -> Result<Found<'_>, Unparsed> {
    let mut found = FIRST
        .iter()
        .find_map(|(words, login)| Some((text.strip_prefix(*words)?, *login)));
    if let Some(rest) = text.strip_prefix(b"drop connection #") {
        // "drop connection #0 from [ADDR]:PORT on [ADDR]:22 penalty: failed authentication"
        let from = cut(rest, b' ').and_then(|(_, rest)| rest.strip_prefix(b"from ["));
        let peer = from.and_then(|rest| cut(rest, b']'));
        found = peer.map(|(peer, _)| (peer, Login::Abandoned));
    }
    if let Some(rest) = text.strip_prefix(b"Bad protocol version identification '") {
        // What the client sent, then sshd's own end.
        let (_, peer) = right(rest, b"")?;
        found = Some((peer, Login::Abandoned));
    }
    let (rest, login) = found.ok_or(Unparsed::Irrelevant)?;
    // Established sessions end with a disconnect too.
    if text.starts_with(b"Received") && !text.ends_with(b" [preauth]") {
        return Err(Unparsed::Irrelevant);
    }
    let peer = cut(rest, b' ').map_or(rest, |(peer, _)| peer);
    Ok(Found {
        user: b"",
        // "Received disconnect from 192.0.2.7: 11: bye" of old versions
        peer: peer.strip_suffix(b":").unwrap_or(peer),
        login: Some(login),
    })
}

#[cfg(test)]
mod tests;
