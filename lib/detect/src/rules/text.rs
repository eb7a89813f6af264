//! The text in which literals and regexes are searched.

use crate::{Event, format::escape::hex};

/// The message of a line; without one its path, and `?` and its query if there is one, percent-decoded, `+` as a space.
/// `buffer` is used if that is not one piece.
#[inline]
pub(crate) fn text<'a>(event: &'a Event<'_>, buffer: &'a mut Vec<u8>) -> &'a [u8] {
    if !event.message.is_empty() {
        return &event.message;
    }
    if event.query.is_empty() {
        return &event.path;
    }
    buffer.clear();
    buffer.extend_from_slice(&event.path);
    buffer.push(b'?');
    decode(&event.query, buffer);
    buffer
}

fn decode(query: &[u8], out: &mut Vec<u8>) {
    let mut rest = query;
    while let [first, tail @ ..] = rest {
        let (byte, tail) = match (first, tail) {
            (b'%', [_, _, behind @ ..]) => hex(tail).map_or((b'%', tail), |byte| (byte, behind)),
            (b'+', tail) => (b' ', tail),
            (other, tail) => (*other, tail),
        };
        out.push(byte);
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded_and_messages_are_not() {
        let mut event = Event {
            path: b"/a%20".into(),
            query: b"q=union+select%20%27&p=%zz%4".into(),
            ..Event::default()
        };
        let mut buffer = Vec::new();
        assert_eq!(
            text(&event, &mut buffer).escape_ascii().to_string(),
            r"/a%20?q=union select \'&p=%zz%4"
        );
        event.message = b"m%20".into();
        assert_eq!(text(&event, &mut buffer), b"m%20");
        event = Event {
            path: b"/p".into(),
            ..Event::default()
        };
        assert_eq!(text(&event, &mut buffer), b"/p");
    }
}
