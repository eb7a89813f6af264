//! How long a log was when it was last synced, written behind its header: a log that is shorter was cut since, and what is
//! no frame before that place was one. Without it, the end that a crash leaves and a lost end look the same.
//!
//! It is overwritten in place after each sync, within one sector. It never reaches the disk before what it tells of, so a
//! power cut leaves at most an older one.

use crate::HEADER;

/// The first bytes, which are neither those of a frame nor UTF-8.
const MARK: [u8; 2] = [0xc0, 0x1e];

/// Mark, length, checksum.
pub(crate) const EXTENT: u64 = 14;

/// What is found behind the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// A snapshot, or a log of an earlier version.
    Absent,
    /// It was synced up to this length.
    Synced(u64),
    /// Damaged, cut, or of a file of another name.
    Damaged,
}

/// The bytes for a log that was synced up to `length`.
pub(crate) fn write(salt: u32, length: u64) -> [u8; 14] {
    let mut bytes = [0; 14];
    bytes[..2].copy_from_slice(&MARK);
    bytes[2..10].copy_from_slice(&length.to_le_bytes());
    bytes[10..].copy_from_slice(&checksum(salt, length).to_le_bytes());
    bytes
}

/// Reads the bytes behind the header, of which there may be fewer.
pub(crate) fn read(salt: u32, bytes: &[u8]) -> Extent {
    if bytes.is_empty() || !bytes.iter().zip(MARK).all(|(byte, mark)| *byte == mark) {
        return Extent::Absent;
    }
    let Some(bytes) = bytes.first_chunk::<14>() else {
        return Extent::Damaged;
    };
    let [_, _, length @ .., a, b, c, d] = *bytes;
    let length = u64::from_le_bytes(length);
    let is_whole = checksum(salt, length) == u32::from_le_bytes([a, b, c, d]);
    // No log is shorter than what every log begins with.
    if is_whole && length >= HEADER + EXTENT {
        Extent::Synced(length)
    } else {
        Extent::Damaged
    }
}

fn checksum(salt: u32, length: u64) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(&length.to_le_bytes());
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_every_cut_and_another_salt_is_damage() {
        let whole = write(7, 4711);
        assert_eq!(read(7, &whole), Extent::Synced(4711));
        assert_eq!(read(8, &whole), Extent::Damaged);
        for bit in 0..14 * 8 {
            let mut flipped = whole;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let expected = if bit < 16 {
                Extent::Absent
            } else {
                Extent::Damaged
            };
            assert_eq!(read(7, &flipped), expected, "bit {bit}");
        }
        for cut in 1..14 {
            assert_eq!(read(7, &whole[..cut]), Extent::Damaged, "{cut} bytes");
        }
        assert_eq!(read(7, &[]), Extent::Absent);
        assert_eq!(read(7, &write(7, 29)), Extent::Damaged);
    }
}
