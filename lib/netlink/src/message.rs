//! Messages and attributes of netlink, see netlink(7). Malformed messages never panic.

use std::io;

const NESTED: u16 = 0x8000;
/// Size of nlmsghdr: length, type, flags, sequence, port.
pub(crate) const HEADER: usize = 16;
/// `NLM_F_REQUEST`, alone and with `NLM_F_DUMP`.
pub(crate) const REQUEST: u16 = 1;
pub(crate) const DUMP: u16 = 0x301;
/// `NLM_F_DUMP_INTR`: the list changed during the dump.
pub(crate) const INTERRUPTED: u16 = 0x10;

/// Builds a request of this type.
pub(crate) fn request(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    // Requests are a few bytes long.
    let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let mut request = Vec::with_capacity(HEADER + body.len());
    request.extend(length.to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    request.extend([0; 8]);
    request.extend(body);
    request
}

/// Appends an attribute.
pub(crate) fn push(body: &mut Vec<u8>, kind: u16, payload: &[u8]) {
    let length = u16::try_from(4 + payload.len()).unwrap_or(u16::MAX);
    body.extend(length.to_ne_bytes());
    body.extend(kind.to_ne_bytes());
    body.extend(payload);
    body.resize(body.len().next_multiple_of(4), 0);
}

pub(crate) fn short() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "truncated netlink message")
}

/// One message of a response.
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) body: &'a [u8],
}

/// The messages of a response. An error message is yielded as an error, and a truncated one ends the iteration.
pub(crate) fn messages(mut answer: &[u8]) -> impl Iterator<Item = io::Result<Message<'_>>> {
    std::iter::from_fn(move || {
        if answer.is_empty() {
            return None;
        }
        let first = message(answer);
        let length = double(answer, 0).and_then(|n| usize::try_from(n).ok());
        let next = length.map_or(answer.len(), |n| n.next_multiple_of(4).max(HEADER));
        answer = match &first {
            Ok(_) => answer.get(next..).unwrap_or_default(),
            Err(_) => &[],
        };
        Some(first)
    })
}

fn message(answer: &[u8]) -> io::Result<Message<'_>> {
    let length = double(answer, 0).and_then(|n| usize::try_from(n).ok());
    let kind = word(answer, 4).ok_or_else(short)?;
    let flags = word(answer, 6).ok_or_else(short)?;
    let body = answer.get(HEADER..length.ok_or_else(short)?);
    let body = body.ok_or_else(short)?;
    if i32::from(kind) == libc::NLMSG_ERROR {
        let errno = double(body, 0).ok_or_else(short)?.cast_signed();
        return Err(io::Error::from_raw_os_error(errno.saturating_neg()));
    }
    Ok(Message { kind, flags, body })
}

pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_ne_bytes(bytes))
}

pub(crate) fn double(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_ne_bytes(bytes))
}

/// The payload of the first attribute of a type.
pub(crate) fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (length, kind) = (usize::from(word(bytes, 0)?), word(bytes, 2)?);
        let payload = bytes.get(4..length)?;
        if kind & !NESTED == wanted {
            return Some(payload);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_found() {
        let mut body = Vec::new();
        push(&mut body, 7, b"abc");
        push(&mut body, NESTED | 9, &5_u32.to_ne_bytes());
        assert_eq!(body.len(), 16);
        assert_eq!(attribute(&body, 7), Some(&b"abc"[..]));
        assert_eq!(attribute(&body, 9), Some(&5_u32.to_ne_bytes()[..]));
        assert_eq!(attribute(&body, 8), None);
        assert_eq!(attribute(&[255, 0, 7, 0, 1], 7), None);
        assert_eq!(attribute(&[0, 0, 7, 0], 7), None);
    }

    #[test]
    fn a_request_has_its_length() {
        let request = request(18, REQUEST, &[1, 2, 3, 4]);
        assert_eq!(
            (double(&request, 0), word(&request, 4)),
            (Some(20), Some(18))
        );
        let read = messages(&request).next().unwrap().unwrap();
        assert_eq!((read.flags, read.body), (REQUEST, &[1, 2, 3, 4][..]));
    }
}
