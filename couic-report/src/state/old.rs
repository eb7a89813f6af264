//! Files of format 1, of versions before 2.0: `journal.N` and `snapshot.N`, read at the first start after an upgrade and
//! replaced.
//!
//! A frame is a length, a CRC-32 and a payload, without a salt. So a client can forge a frame inside of a payload: after
//! damage, reading continues only at the offset given by the damaged frame's own length.

use couic_durable::{HEADER, Kind, Scanned};

use crate::codec::Take;

/// The largest record.
const MAX_RECORD: usize = 1 << 30;

/// Length and CRC-32.
const FRAME_HEAD: usize = 8;

const VERSION: u8 = 1;

/// The prefix of a file name.
pub(super) const fn stem(kind: Kind) -> &'static str {
    match kind {
        Kind::Log => "journal",
        Kind::Snapshot => "snapshot",
    }
}

/// Calls `each` with the payload of every valid frame; it returns whether the payload is valid.
pub(super) fn read(
    file: &[u8],
    kind: Kind,
    generation: u64,
    mut each: impl FnMut(&[u8]) -> bool,
) -> Scanned {
    let mut scanned = read_head(file, kind, generation);
    let mut at = HEADER as usize;
    while at < file.len() && scanned.newer.is_none() {
        if let Some(payload) = frame(&file[at..]) {
            if each(payload) {
                scanned.records += 1;
            } else {
                scanned.senseless += 1;
                scanned.first_damage.get_or_insert(at as u64);
            }
            at += FRAME_HEAD + payload.len();
        } else if let Some(next) = next_frame(file, at) {
            scanned.first_damage.get_or_insert(at as u64);
            scanned.damaged_bytes += (next - at) as u64;
            at = next;
        } else {
            scanned.torn = (file.len() - at) as u64;
            break;
        }
    }
    if kind == Kind::Snapshot {
        // It was complete before it got its name.
        scanned.damaged_bytes += std::mem::take(&mut scanned.torn);
    }
    scanned
}

/// Magic, version and generation.
fn read_head(file: &[u8], kind: Kind, generation: u64) -> Scanned {
    let magic = match kind {
        Kind::Log => b"CRJOURN",
        Kind::Snapshot => b"CRSNAPS",
    };
    let is_ours = file.len() >= HEADER as usize
        && file[..7] == *magic
        && file[8..16] == generation.to_le_bytes();
    Scanned {
        length: file.len() as u64,
        headless: !is_ours,
        newer: (is_ours && file[7] != VERSION).then(|| u32::from(file[7])),
        ..Scanned::default()
    }
}

fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let mut from = Take(bytes);
    let (length, sum) = (length(&mut from)?, from.u32().ok()?);
    let payload = from.slice(length).ok()?;
    (crc32fast::hash(payload) == sum).then_some(payload)
}

/// Not 0: a file that was extended before its content was written has zeros, and the checksum of an empty payload is 0.
fn length(from: &mut Take<'_>) -> Option<usize> {
    let length = from.u32().ok()? as usize;
    (1..=MAX_RECORD).contains(&length).then_some(length)
}

/// The offset of the frame after a damaged one, if that one's length is intact.
fn next_frame(file: &[u8], at: usize) -> Option<usize> {
    let next = at + FRAME_HEAD + length(&mut Take(&file[at..]))?;
    frame(file.get(next..)?).map(|_| next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::Put;

    fn put(out: &mut Vec<u8>, payload: &[u8]) {
        out.put_u32(u32::try_from(payload.len()).unwrap());
        out.put_u32(crc32fast::hash(payload));
        out.extend_from_slice(payload);
    }

    /// A journal of generation 7.
    fn journal(payloads: &[&[u8]]) -> Vec<u8> {
        let mut file = b"CRJOURN\x01".to_vec();
        file.put_u64(7);
        payloads.iter().for_each(|payload| put(&mut file, payload));
        file
    }

    fn payloads(file: &[u8]) -> (Vec<Vec<u8>>, Scanned) {
        let mut found = Vec::new();
        let scanned = read(file, Kind::Log, 7, |payload| {
            found.push(payload.to_vec());
            true
        });
        (found, scanned)
    }

    #[test]
    fn truncation_ends_the_frames_there_and_zeros_are_no_frames() {
        let file = journal(&[b"one", b"three", b"x"]);
        let ends = [16 + 11, 16 + 24, 16 + 33];
        assert_eq!(file.len(), ends[2]);
        for cut in 16..=file.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count();
            let (found, scanned) = payloads(&file[..cut]);
            assert_eq!(found.len(), whole, "{cut}");
            assert!(scanned.is_sound(), "{cut}");
            let mut zeros = file[..cut].to_vec();
            zeros.resize(file.len() + 100, 0);
            assert!(payloads(&zeros).0.len() <= whole + 1, "{cut}");
        }
    }

    #[test]
    fn damage_after_an_intact_length_costs_one_frame() {
        let file = journal(&[b"one", b"three", b"x"]);
        for at in 27 + 4..40 {
            let mut damaged = file.clone();
            damaged[at] ^= 4;
            let (found, scanned) = payloads(&damaged);
            assert_eq!(found, [&b"one"[..], b"x"], "byte {at}");
            assert_eq!(
                (scanned.damaged_bytes, scanned.first_damage),
                (13, Some(27))
            );
            assert!(!scanned.is_sound());
        }
    }

    #[test]
    fn a_frame_inside_of_a_payload_is_never_read() {
        let mut forged = b"begins".to_vec();
        put(&mut forged, b"forged");
        let file = journal(&[b"one", &forged, b"last"]);
        let damaged_frame = 16 + 11;
        for at in damaged_frame..damaged_frame + FRAME_HEAD + 6 {
            for bit in 0..8 {
                let mut damaged = file.clone();
                damaged[at] ^= 1 << bit;
                let (found, scanned) = payloads(&damaged);
                assert!(!found.contains(&b"forged".to_vec()), "byte {at}");
                assert_eq!(found[0], b"one");
                // Without its length, the rest is lost, and counted.
                let has_length = at >= damaged_frame + 4;
                assert_eq!(found.len(), if has_length { 2 } else { 1 }, "byte {at}");
                assert!(has_length || scanned.torn > 0);
            }
        }
    }

    #[test]
    fn headers_of_other_files_and_versions_are_recognized() {
        let mut file = journal(&[b"one"]);
        assert!(payloads(&file).1.is_sound());
        for scanned in [
            read(&file, Kind::Log, 8, |_| true),
            read(&file, Kind::Snapshot, 7, |_| true),
        ] {
            assert!(scanned.headless && !scanned.is_sound() && scanned.records == 1);
        }
        assert!(read(&file[..15], Kind::Log, 7, |_| true).headless);
        file[7] = 9;
        let scanned = read(&file, Kind::Log, 7, |_| true);
        assert_eq!((scanned.newer, scanned.records), (Some(9), 0));
    }
}
