//! Reads a file, and describes its damage.

use std::{fs::File, io};

use couic_common::counted;

use crate::{
    Folder, Format, HEADER, Kind, Name,
    extent::{self, EXTENT, Extent},
    frame::{HEAD, Header, MARK},
    window::{ReadAt, Window},
};

/// The result of reading a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scanned {
    /// Its length, in bytes.
    pub length: u64,
    /// Valid frames with a valid payload.
    pub records: u64,
    /// Valid frames with an invalid payload.
    pub senseless: u64,
    /// Bytes after the header that no crash explains and that are no frames: they may have been records.
    pub damaged_bytes: u64,
    /// The offset of the first damage, that of the header included.
    pub first_damage: Option<u64>,
    /// Bytes after the last frame of a log that are the beginning of one, as a crash leaves it.
    pub torn: u64,
    /// Bytes that are missing at the end of a log, which was longer when it was synced.
    pub missing: u64,
    /// Bytes that the disk could not read.
    pub unreadable: u64,
    /// The header is damaged or incomplete; valid frames after it were read all the same.
    pub headless: bool,
    /// The version in its header, if that is undamaged.
    pub version: Option<u32>,
    /// The file has this format of a later version: nothing was read.
    pub newer: Option<u32>,
}

impl Scanned {
    /// Whether it is undamaged, except for a torn end.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.damaged_bytes == 0
            && self.senseless == 0
            && self.unreadable == 0
            && self.missing == 0
            && self.newer.is_none()
            && !self.headless
    }

    /// Bytes that may have been records and were not read. None are lost with a damaged header alone.
    #[must_use]
    pub const fn lost_bytes(&self) -> u64 {
        match self.newer {
            Some(_) => self.length.saturating_sub(HEADER),
            None => self.damaged_bytes + self.missing,
        }
    }

    /// The damage, as a predicate whose subject is the file's name. `outcome` says what happened to the records that
    /// could be read.
    #[must_use]
    pub fn damage(&self, outcome: &str) -> String {
        if let Some(format) = self.newer {
            return format!("is of format {format}, of a later version, and was not read");
        }
        let Self {
            length, records, ..
        } = *self;
        if self.headless && length < HEADER {
            return format!(
                "is damaged: it was cut to {length} bytes, and the records that it had are lost"
            );
        }
        if records == 0 && self.headless && self.damaged_bytes > 0 {
            return format!(
                "is damaged from its first byte on: none of its {length} bytes could be read"
            );
        }
        let records = counted(records, "record", "records");
        let mut text = format!("is damaged: {records} could be read and {outcome}");
        if let Some(at) = self.first_damage {
            text = format!("{text}; the first damage is at byte {at}");
        }
        let bytes = (
            self.damaged_bytes,
            "byte is no valid record",
            "bytes are no valid record",
        );
        let unknown = (
            self.senseless,
            "record is unknown to this version",
            "records are unknown to this version",
        );
        let unreadable = (
            self.unreadable,
            "byte the disk could not read",
            "bytes the disk could not read",
        );
        let missing = (
            self.missing,
            "byte is missing at its end",
            "bytes are missing at its end",
        );
        for (count, one, many) in [bytes, missing, unknown, unreadable] {
            if count > 0 {
                text = format!("{text}; {}", counted(count, one, many));
            }
        }
        if self.headless && self.damaged_bytes == 0 {
            text += "; its header is damaged, which costs no record";
        }
        text
    }
}

impl Folder {
    /// Calls `each` with the payload of every valid frame of a file; it returns whether the payload is valid.
    ///
    /// # Errors
    /// The system's error if the file cannot be opened. Bytes that cannot be read are counted instead.
    pub fn read(&self, name: &Name, mut each: impl FnMut(&[u8]) -> bool) -> io::Result<Scanned> {
        let file = File::open(self.path(name))?;
        let length = file.metadata()?.len();
        let mut start = [0; (HEADER + EXTENT) as usize];
        let got = ReadAt::read_at(&file, &mut start, 0).unwrap_or(0);
        let (header, rest) = start[..got].split_at(got.min(HEADER as usize));
        let header = self.format().read_header(header);
        if let Header::Newer(format) = header {
            return Ok(Scanned {
                length,
                newer: Some(format),
                ..Scanned::default()
            });
        }
        let extent = extent::read(name.salt, rest);
        let head = match extent {
            Extent::Absent => HEADER,
            Extent::Synced(_) | Extent::Damaged => HEADER + EXTENT,
        };
        let synced = match extent {
            Extent::Synced(synced) => synced,
            Extent::Absent | Extent::Damaged => 0,
        };
        let headless = header == Header::Damaged;
        let mut window = Window::new(&file, if headless { 0 } else { head }, length);
        let head = if length < HEADER { 0 } else { head };
        let mut scanned = scan(
            self.format(),
            &mut window,
            [head, synced],
            name.salt,
            &mut each,
        );
        scanned.length = length;
        scanned.headless = headless;
        if let Header::Known(version) = header {
            scanned.version = Some(version);
        }
        scanned.missing = synced.saturating_sub(length);
        if extent == Extent::Damaged {
            scanned.first_damage = Some(HEADER);
            scanned.damaged_bytes += (length - HEADER).min(EXTENT);
        }
        // A snapshot is synced before it gets its name, and no crash makes a byte unreadable.
        let is_damage = name.kind == Kind::Snapshot || scanned.unreadable > 0;
        if is_damage && scanned.torn > 0 {
            (scanned.first_damage).get_or_insert(length - scanned.torn);
            scanned.damaged_bytes += std::mem::take(&mut scanned.torn);
        }
        Ok(scanned)
    }
}

/// `header` is the size of the header in the file: its bytes are never counted as records. Up to `synced`, the file was on the
/// disk.
fn scan(
    format: Format,
    window: &mut Window<'_>,
    [header, synced]: [u64; 2],
    salt: u32,
    each: &mut dyn FnMut(&[u8]) -> bool,
) -> Scanned {
    let mut scanned = Scanned::default();
    let mut skipped = 0;
    let mut is_cut = false;
    while !window.is_at_end() {
        let at = window.offset();
        let Some(payload) = format.frame(window, salt) else {
            if skipped == 0 {
                is_cut = at >= synced && format.is_cut(window);
            }
            skipped += window.skip_to(MARK[0]);
            continue;
        };
        if skipped > 0 {
            scanned.damaged_bytes += at.saturating_sub(header.max(at - skipped));
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
    let end = window.offset();
    let rest = end.saturating_sub(header.max(end - skipped));
    if is_cut {
        scanned.torn = rest;
    } else if rest > 0 {
        scanned.damaged_bytes += rest;
        scanned.first_damage.get_or_insert(end - rest);
    }
    scanned.unreadable = window.unreadable();
    scanned
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALT: u32 = 0x1234_5678;
    const FORMAT: Format = Format {
        prefix: "test",
        version: 1,
        max_payload: 1 << 20,
    };

    fn window(bytes: &Vec<u8>) -> Window<'_> {
        Window::new(bytes, 0, bytes.len() as u64)
    }

    fn file(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
        let (mut out, mut ends) = (Vec::new(), Vec::new());
        for payload in payloads {
            assert!(FORMAT.put(&mut out, SALT, |out| out.extend_from_slice(payload)));
            ends.push(out.len());
        }
        (out, ends)
    }

    fn read(bytes: &Vec<u8>) -> (Vec<Vec<u8>>, Scanned) {
        let mut found = Vec::new();
        let scanned = scan(FORMAT, &mut window(bytes), [0, 0], SALT, &mut |payload| {
            found.push(payload.to_vec());
            true
        });
        (found, scanned)
    }

    fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
        // Marks inside of payloads are the hard case.
        let byte = prop_oneof![Just(MARK[0]), Just(MARK[1]), Just(0), any::<u8>()];
        prop::collection::vec(prop::collection::vec(byte, 0..60), 1..40)
    }

    #[test]
    fn another_salt_reads_nothing() {
        let (bytes, _) = file(&[b"one".to_vec(), b"two".to_vec()]);
        let scanned = scan(FORMAT, &mut window(&bytes), [0, 0], SALT + 1, &mut |_| true);
        assert_eq!((scanned.records, scanned.torn), (0, 0));
        assert_eq!(scanned.damaged_bytes, bytes.len() as u64);
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
                // A larger length in its head looks like a write that was interrupted.
                prop_assert!(scanned.torn > 0 || scanned.damaged_bytes > 0);
            }
        }

        /// Whether junk is appended, or lies over the end: no killed process leaves that.
        #[test]
        fn an_end_that_no_interrupted_write_leaves_is_damage(
            payloads in payloads(),
            junk in prop::collection::vec(any::<u8>(), 20..200),
            over in 0..100_usize,
        ) {
            let (bytes, _) = file(&payloads);
            let left = bytes.len().saturating_sub(over);
            for junk in [junk.clone(), vec![0; junk.len()]] {
                let (_, scanned) = read(&[&bytes[..left], &junk].concat());
                let (_, cut) = read(&bytes[..left].to_vec());
                // A frame that was cut may have been longer than the junk.
                let is_hidden = scanned.torn > cut.torn;
                prop_assert!(!scanned.is_sound() || is_hidden, "{scanned:?}");
                prop_assert!(!is_hidden || scanned.torn < 70);
            }
        }

        #[test]
        fn no_loss_before_the_place_that_was_synced_is_a_torn_end(
            payloads in payloads(),
            cut in any::<prop::sample::Index>(),
        ) {
            let (mut bytes, ends) = file(&payloads);
            let synced = bytes.len() as u64;
            bytes.truncate(cut.index(bytes.len()));
            let scanned = scan(FORMAT, &mut window(&bytes), [0, synced], SALT, &mut |_| true);
            prop_assert_eq!(scanned.torn, 0);
            prop_assert_eq!(scanned.is_sound(), bytes.is_empty() || ends.contains(&bytes.len()));
        }

        #[test]
        fn noise_is_never_a_frame(bytes in prop::collection::vec(any::<u8>(), 0..5_000)) {
            let (found, scanned) = read(&bytes);
            prop_assert!(found.is_empty());
            prop_assert_eq!(scanned.torn + scanned.damaged_bytes, bytes.len() as u64);
        }
    }
}
