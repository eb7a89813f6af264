//! How records lie in a file, so that damage costs what it hit and nothing else.
//!
//! A file begins with a header that names the format. Behind it lie frames: a mark, a length, a checksum, a payload.
//! Where a frame is not what its checksum says, the next one is looked for byte by byte. The checksum is salted with
//! a random number that stands in the file's name: what happens to look like a frame inside of a payload, or what an
//! older file left in the same place of the disk, is none.

use super::window::{ReadAt, Window};

/// What a file of state begins with.
const MAGIC: [u8; 8] = *b"couic\r\n\x1a";

/// The format that is written. Whoever adds a kind of record that must not be overlooked raises it.
pub(super) const FORMAT: u32 = 1;

/// The bytes before the first frame.
pub(super) const HEADER: u64 = 16;

/// What a frame begins with.
const MARK: [u8; 2] = [0xc0, 0x1c];

/// Mark, length and checksum.
const HEAD: usize = 10;

/// The longest payload.
pub(super) const MAX_PAYLOAD: usize = 1 << 20;

/// The header of a new file.
pub(super) fn header() -> [u8; 16] {
    header_of(FORMAT)
}

fn header_of(format: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&format.to_le_bytes());
    let sum = crc32fast::hash(&header[..12]);
    header[12..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// A format that can be read.
    Known,
    /// A format of a later version.
    Newer(u32),
    /// It is damaged, or was never written whole.
    Damaged,
}

/// Judges the first bytes of a file.
pub(super) fn read_header(bytes: &[u8]) -> Header {
    let Some(bytes) = bytes.first_chunk::<16>() else {
        return Header::Damaged;
    };
    let format = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    if *bytes != header_of(format) {
        return Header::Damaged;
    }
    if format > FORMAT {
        return Header::Newer(format);
    }
    Header::Known
}

/// Adds a frame whose payload `write` appends. False where that is too long: nothing is added then.
pub(super) fn put(out: &mut Vec<u8>, salt: u32, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    let start = out.len();
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&[0; 8]);
    write(out);
    let length = out.len() - start - HEAD;
    let fits = u32::try_from(length).ok().filter(|_| length <= MAX_PAYLOAD);
    let Some(length) = fits else {
        out.truncate(start);
        return false;
    };
    let sum = checksum(salt, length, &out[start + HEAD..]);
    out[start + 2..start + 6].copy_from_slice(&length.to_le_bytes());
    out[start + 6..start + HEAD].copy_from_slice(&sum.to_le_bytes());
    true
}

fn checksum(salt: u32, length: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(&length.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// How many frames these are, all of them whole.
pub(super) fn count(mut frames: &[u8]) -> u64 {
    let mut count = 0;
    while let Some((head, rest)) = frames.split_first_chunk::<HEAD>() {
        let length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        frames = rest.get(length..).unwrap_or_default();
        count += 1;
    }
    count
}

/// What was found in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Whole frames whose payload made sense.
    pub(super) records: u64,
    /// Whole frames whose payload did not.
    pub(super) senseless: u64,
    /// Bytes between frames that are no frames.
    pub(super) damaged_bytes: u64,
    /// Where the first of these, or the first senseless frame, is.
    pub(super) first_damage: Option<u64>,
    /// Bytes behind the last frame.
    pub(super) torn: u64,
    /// Bytes that the disk does not give out.
    pub(super) unreadable: u64,
}

impl Scanned {
    /// Whether it is all there, but for the end.
    pub(super) const fn is_sound(&self) -> bool {
        self.damaged_bytes == 0 && self.senseless == 0 && self.unreadable == 0
    }
}

/// Calls `each` with the payload of every whole frame from `offset` on; it tells whether it made sense of it.
pub(super) fn scan(
    source: &dyn ReadAt,
    offset: u64,
    length: u64,
    salt: u32,
    mut each: impl FnMut(&[u8]) -> bool,
) -> Scanned {
    let mut window = Window::new(source, offset, length);
    let mut scanned = Scanned::default();
    let mut skipped = 0;
    while !window.is_at_end() {
        let at = window.offset();
        let Some(payload) = frame(&mut window, salt) else {
            skipped += window.skip_to(MARK[0]);
            continue;
        };
        if skipped > 0 {
            scanned.damaged_bytes += skipped;
            scanned.first_damage.get_or_insert(at - skipped);
            skipped = 0;
        }
        if each(payload) {
            scanned.records += 1;
        } else {
            scanned.senseless += 1;
            scanned.first_damage.get_or_insert(at);
        }
        let whole = HEAD + payload.len();
        window.advance(whole);
    }
    scanned.torn = skipped;
    scanned.unreadable = window.unreadable();
    scanned
}

/// The payload of the frame that begins here, if one does.
fn frame<'a>(window: &'a mut Window<'_>, salt: u32) -> Option<&'a [u8]> {
    let head = window.peek(HEAD)?;
    if head[..2] != MARK {
        return None;
    }
    let length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
    let wanted = u32::from_le_bytes([head[6], head[7], head[8], head[9]]);
    let size = usize::try_from(length).ok().filter(|n| *n <= MAX_PAYLOAD)?;
    let payload = &window.peek(HEAD + size)?[HEAD..];
    (checksum(salt, length, payload) == wanted).then_some(payload)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALT: u32 = 0x1234_5678;

    fn file(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        for payload in payloads {
            assert!(put(&mut out, SALT, |out| out.extend_from_slice(payload)));
            ends.push(out.len());
        }
        (out, ends)
    }

    fn read(bytes: &Vec<u8>) -> (Vec<Vec<u8>>, Scanned) {
        let mut found = Vec::new();
        let scanned = scan(bytes, 0, bytes.len() as u64, SALT, |payload| {
            found.push(payload.to_vec());
            true
        });
        (found, scanned)
    }

    fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
        // Marks inside of payloads are what makes it hard.
        let byte = prop_oneof![Just(MARK[0]), Just(MARK[1]), Just(0), any::<u8>()];
        prop::collection::vec(prop::collection::vec(byte, 0..60), 1..40)
    }

    #[test]
    fn headers_are_known_newer_or_damaged() {
        assert_eq!(read_header(&header()), Header::Known);
        assert_eq!(read_header(&header_of(7)), Header::Newer(7));
        assert_eq!(read_header(&header()[..15]), Header::Damaged);
        for bit in 0..128 {
            let mut flipped = header();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_header(&flipped), Header::Damaged, "bit {bit}");
        }
    }

    #[test]
    fn a_payload_that_is_too_long_adds_nothing() {
        let mut out = vec![7];
        assert!(!put(&mut out, SALT, |out| out.resize(MAX_PAYLOAD + 12, 0)));
        assert_eq!(out, [7]);
    }

    #[test]
    fn another_salt_reads_nothing() {
        let (bytes, _) = file(&[b"one".to_vec(), b"two".to_vec()]);
        let scanned = scan(&bytes, 0, bytes.len() as u64, SALT + 1, |_| true);
        assert_eq!((scanned.records, scanned.torn), (0, bytes.len() as u64));
    }

    proptest! {
        #[test]
        fn any_prefix_gives_the_frames_that_are_whole(payloads in payloads(), cut in any::<prop::sample::Index>()) {
            let (mut bytes, ends) = file(&payloads);
            bytes.truncate(cut.index(bytes.len() + 1));
            let whole = ends.iter().filter(|end| **end <= bytes.len()).count();
            let (found, scanned) = read(&bytes);
            prop_assert_eq!(&found[..], &payloads[..whole]);
            let last = ends[..whole].last().copied().unwrap_or(0);
            prop_assert_eq!(scanned.torn, (bytes.len() - last) as u64);
            prop_assert!(scanned.is_sound());
        }

        #[test]
        fn a_flipped_bit_costs_its_frame_alone(payloads in payloads(), bit in any::<prop::sample::Index>()) {
            let (mut bytes, ends) = file(&payloads);
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            let hit = ends.iter().position(|end| bit / 8 < *end).unwrap();
            let (found, scanned) = read(&bytes);
            let mut left = payloads.clone();
            left.remove(hit);
            prop_assert_eq!(found, left);
            if hit + 1 < payloads.len() {
                prop_assert_eq!(scanned.damaged_bytes, (HEAD + payloads[hit].len()) as u64);
                let start = if hit == 0 { 0 } else { ends[hit - 1] };
                prop_assert_eq!(scanned.first_damage, Some(start as u64));
            } else {
                prop_assert!(scanned.torn > 0);
            }
        }

        #[test]
        fn noise_is_never_a_frame(bytes in prop::collection::vec(any::<u8>(), 0..5_000)) {
            let (found, scanned) = read(&bytes);
            prop_assert!(found.is_empty());
            prop_assert_eq!(scanned.torn, bytes.len() as u64);
        }
    }
}
