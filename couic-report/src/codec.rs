//! The binary format on disk: little-endian integers, length-prefixed texts and byte strings.
//!
//! Reading never panics and never allocates more than the input's length: a torn or foreign file yields [`Malformed`].

use couic_common::{Cidr, V4Net, V6Net};

/// The bytes are not in this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed")]
pub(crate) struct Malformed;

// A CIDR is encoded as family, prefix length, address.
const V4: u8 = 4;
const V6: u8 = 6;

/// Appends to a buffer.
pub(crate) trait Put {
    fn put_u8(&mut self, value: u8);
    fn put_u32(&mut self, value: u32);
    fn put_u64(&mut self, value: u64);
    fn put_u128(&mut self, value: u128);
    /// At most `u32::MAX` bytes.
    fn put_bytes(&mut self, bytes: &[u8]);
    /// Truncated to 255 bytes, at a character boundary.
    fn put_short(&mut self, text: &str);
    fn put_cidr(&mut self, cidr: Cidr);
}

impl Put for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u128(&mut self, value: u128) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        self.extend_from_slice(bytes);
    }

    fn put_short(&mut self, text: &str) {
        let text = &text[..text.floor_char_boundary(usize::from(u8::MAX))];
        self.put_u8(u8::try_from(text.len()).unwrap_or(u8::MAX));
        self.extend_from_slice(text.as_bytes());
    }

    fn put_cidr(&mut self, cidr: Cidr) {
        match cidr {
            Cidr::V4(net) => {
                self.extend_from_slice(&[V4, net.len()]);
                self.put_u32(net.addr());
            }
            Cidr::V6(net) => {
                self.extend_from_slice(&[V6, net.len()]);
                self.put_u128(net.addr());
            }
        }
    }
}

/// Reads from the front of a slice.
pub(crate) struct Take<'a>(pub(crate) &'a [u8]);

impl<'a> Take<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (head, tail) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Result<u128, Malformed> {
        self.array().map(u128::from_le_bytes)
    }

    pub(crate) fn slice(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = tail;
        Ok(head)
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(self.u32()?).map_err(|_| Malformed)?;
        self.slice(len)
    }

    pub(crate) fn short(&mut self) -> Result<&'a str, Malformed> {
        let len = usize::from(self.u8()?);
        std::str::from_utf8(self.slice(len)?).map_err(|_| Malformed)
    }

    pub(crate) fn cidr(&mut self) -> Result<Cidr, Malformed> {
        let [family, len] = self.array()?;
        let cidr = match family {
            V4 => V4Net::new(self.u32()?, len).map(Cidr::V4),
            V6 => V6Net::new(self.u128()?, len).map(Cidr::V6),
            _ => None,
        };
        cidr.ok_or(Malformed)
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_texts_are_truncated_at_a_character_boundary() {
        let mut out = Vec::new();
        out.put_short(&"é".repeat(200));
        assert_eq!(Take(&out).short().unwrap(), "é".repeat(127));
    }

    proptest! {
        #[test]
        fn round_trips_and_rejects_truncated_input(
            number: u64, id: u128, text in "\\PC{0,60}", addr: IpAddr, len in 0u8..=128, bytes: Vec<u8>,
        ) {
            let Ok(cidr) = Cidr::new(addr, len) else { return Ok(()) };
            let mut out = Vec::new();
            out.put_u64(number);
            out.put_u128(id);
            out.put_short(&text);
            out.put_cidr(cidr);
            out.put_bytes(&bytes);
            let read = |from: &[u8]| {
                let mut from = Take(from);
                let all = (from.u64()?, from.u128()?, from.short()?.to_owned(), from.cidr()?, from.bytes()?.to_vec());
                if from.is_empty() { Ok(all) } else { Err(Malformed) }
            };
            prop_assert_eq!(read(&out), Ok((number, id, text, cidr, bytes)));
            for cut in 0..out.len() {
                prop_assert_eq!(read(&out[..cut]), Err(Malformed));
            }
        }
    }
}
