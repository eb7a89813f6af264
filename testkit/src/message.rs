//! HTTP/1.1 messages (RFC 9112) as bytes, for the server and the client.

use std::ops::Range;

/// The offsets of a message's parts in a buffer that starts with it.
pub(crate) struct Message {
    /// The start line and headers, with the empty line.
    pub(crate) head: usize,
    /// The body: one part, or as many as there are chunks.
    pub(crate) body: Vec<Range<usize>>,
    /// The end of the message.
    pub(crate) end: usize,
}

impl Message {
    /// The first message of a buffer; `None` while it is not complete.
    pub(crate) fn find(bytes: &[u8]) -> Option<Self> {
        let head = head_len(bytes)?;
        let text = std::str::from_utf8(&bytes[..head]).ok()?;
        let chunked = header(text, "transfer-encoding").is_some_and(|v| v.contains("chunked"));
        let (body, end) = if chunked {
            chunks(bytes, head)?
        } else {
            let length = header(text, "content-length").and_then(|v| v.parse().ok());
            let end = head + length.unwrap_or(0);
            (std::iter::once(head..end).collect(), end)
        };
        (bytes.len() >= end).then_some(Self { head, body, end })
    }

    /// The body without its framing.
    pub(crate) fn body_of(&self, bytes: &[u8]) -> Vec<u8> {
        let parts = self.body.iter().map(|part| &bytes[part.clone()]);
        parts.collect::<Vec<_>>().concat()
    }
}

/// The length of the head, with the empty line; `None` while that line is missing.
pub(crate) fn head_len(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// The value of a header; the case of its name does not matter.
pub(crate) fn header<'head>(head: &'head str, name: &str) -> Option<&'head str> {
    let mut pairs = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    pairs.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value.trim()))
}

/// The chunks from `at` on, and the end of the message. Trailers are not supported.
fn chunks(bytes: &[u8], mut at: usize) -> Option<(Vec<Range<usize>>, usize)> {
    let mut chunks = Vec::new();
    loop {
        let rest = bytes.get(at..)?;
        let line = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        let start = at + line + 2;
        at = start + size + 2;
        if size == 0 {
            return Some((chunks, at));
        }
        chunks.push(start..start + size);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &str) -> Option<(String, usize)> {
        let found = Message::find(text.as_bytes())?;
        let body = String::from_utf8(found.body_of(text.as_bytes())).unwrap();
        Some((body, text.len() - found.end))
    }

    #[test]
    fn bodies_with_a_length_in_chunks_and_none_are_found() {
        let none = "HTTP/1.1 204 No Content\r\n\r\nHTTP";
        assert_eq!(body(none), Some((String::new(), 4)));
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]more";
        assert_eq!(body(length), Some(("[]".to_owned(), 4)));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[1\r\n1;x=y\r\n]\r\n0\r\n\r\n";
        assert_eq!(body(chunked), Some(("[1]".to_owned(), 0)));
        for cut in 0..chunked.len() {
            assert_eq!(body(&chunked[..cut]), None, "{cut}");
        }
    }
}
