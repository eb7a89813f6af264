//! Crashes, corruption and full disks, with the formats of every log: the journal, a spool, the ledger.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod support;

use std::{fs, sync::atomic::Ordering::SeqCst};

use couic_durable::{Folder, HEADER, Kind, Segment};
use proptest::{prelude::*, sample::Index};

use support::{FORMATS, ends, first, format, format_and_kind, frames, home, payloads, read, write};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn flipped_bits_cost_the_frames_that_they_hit(
        (format, kind) in format_and_kind(),
        payloads in payloads(),
        flips in prop::collection::vec(any::<Index>(), 1..5),
    ) {
        let home = home(format);
        let name = write(&home, format, kind, &payloads);
        let path = home.folder.path(&name);
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        for flip in flips {
            let bit = flip.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        prop_assume!(bytes != whole);
        fs::write(&path, &bytes).unwrap();
        let header = usize::try_from(HEADER).unwrap();
        let mut start = first(kind);
        let mut left = Vec::new();
        for (payload, end) in payloads.iter().zip(ends(kind, &payloads)) {
            if bytes[start..end] == whole[start..end] {
                left.push(payload.clone());
            }
            start = end;
        }
        let (found, scanned) = read(&home, &name);
        prop_assert_eq!(&found, &left);
        prop_assert_eq!(scanned.records, left.len() as u64);
        prop_assert_eq!(scanned.headless, bytes[..header] != whole[..header]);
        // A damaged header alone costs no record, and is not counted as one.
        prop_assert!(scanned.lost_bytes() == 0 || bytes[header..] != whole[header..]);
        // It is reported, unless it is the torn end of a log.
        prop_assert!(!scanned.is_sound() || (kind == Kind::Log && scanned.torn > 0) || left == payloads);
    }

    #[test]
    fn noise_holds_no_frame((format, kind) in format_and_kind(), noise in prop::collection::vec(any::<u8>(), 0..3_000)) {
        let home = home(format);
        let name = write(&home, format, kind, &[]);
        fs::write(home.folder.path(&name), &noise).unwrap();
        let (found, scanned) = read(&home, &name);
        prop_assert!(found.is_empty());
        prop_assert!(!scanned.is_sound());
    }

    /// All successful writes are read back; a failed one is not.
    #[test]
    fn a_disk_that_fills_up_keeps_what_was_written(
        format in prop::sample::select(&FORMATS[..]),
        groups in prop::collection::vec(payloads(), 1..6),
        room in 0_i64..4_000,
    ) {
        let home = home(format);
        home.disk.0.store(room, SeqCst);
        let Ok(mut segment) = Segment::begin(&home.folder, 1) else {
            prop_assert!(room < 30);
            prop_assert_eq!(home.folder.list().unwrap().files, []);
            return Ok(());
        };
        let name = segment.name();
        let mut kept = Vec::new();
        for group in groups {
            let bytes = segment.bytes();
            if segment.write(&frames(format, segment.salt(), &group)).is_err() {
                prop_assert!(segment.abandon(bytes) && segment.bytes() == bytes);
                prop_assert!(segment.write(b"more").is_err());
                break;
            }
            kept.extend(group);
        }
        let (found, scanned) = read(&home, &name);
        prop_assert_eq!(found, kept);
        prop_assert!(scanned.is_sound() && scanned.torn == 0);
    }

    #[test]
    fn a_snapshot_is_complete_or_does_not_exist(
        format in prop::sample::select(&FORMATS[..]), payloads in payloads(), room in 0_i64..2_000,
    ) {
        let home = home(format);
        home.disk.0.store(room, SeqCst);
        let written = home.folder.write_snapshot(3, |out| {
            payloads.iter().try_for_each(|payload| out.put(|out| out.extend_from_slice(payload)))
        });
        let files = home.folder.list().unwrap().files;
        match written {
            Ok(written) => {
                prop_assert_eq!(files, [written.name]);
                let (found, scanned) = read(&home, &written.name);
                prop_assert!(scanned.is_sound() && scanned.length == written.bytes);
                prop_assert_eq!(found, payloads);
            }
            Err(_) => {
                prop_assert_eq!(files, []);
                prop_assert_eq!(fs::read_dir(home.folder.dir()).unwrap().count(), 0);
            }
        }
    }
}

#[test]
fn a_cut_at_every_byte_leaves_the_frames_before_it() {
    let payloads: Vec<_> = (0..6).map(|n| vec![0xc0; n * 3]).collect();
    for format in FORMATS {
        for kind in [Kind::Log, Kind::Snapshot] {
            let ends = ends(kind, &payloads);
            let home = home(format);
            let name = write(&home, format, kind, &payloads);
            let path = home.folder.path(&name);
            let whole = fs::read(&path).unwrap();
            assert_eq!(whole.len(), *ends.last().unwrap());
            for cut in 0..=whole.len() {
                fs::write(&path, &whole[..cut]).unwrap();
                let left = ends.iter().filter(|end| **end <= cut).count();
                let (found, scanned) = read(&home, &name);
                assert_eq!(found, payloads[..left], "{format:?} {kind:?} cut at {cut}");
                // A log of earlier versions begins with the header alone.
                let is_sound = match kind {
                    Kind::Log => cut == whole.len() || cut == 16,
                    Kind::Snapshot => cut == 16 || ends.contains(&cut),
                };
                assert_eq!(scanned.is_sound(), is_sound, "{kind:?} cut at {cut}");
            }
        }
    }
}

#[test]
fn a_damaged_header_is_reported_as_costing_no_record() {
    for payloads in [vec![], vec![b"one".to_vec(), b"two".to_vec()]] {
        for (format, kind) in FORMATS
            .into_iter()
            .zip([Kind::Log, Kind::Snapshot, Kind::Log])
        {
            let home = home(format);
            let name = write(&home, format, kind, &payloads);
            let path = home.folder.path(&name);
            let mut bytes = fs::read(&path).unwrap();
            bytes[3] ^= 1;
            fs::write(&path, bytes).unwrap();
            let (found, scanned) = read(&home, &name);
            assert_eq!(found, payloads);
            assert!(!scanned.is_sound() && scanned.lost_bytes() == 0);
            let text = scanned.damage("count");
            assert!(
                text.ends_with("its header is damaged, which costs no record"),
                "{text}"
            );
        }
    }
}

#[test]
fn a_log_of_a_later_version_is_not_read() {
    let home = home(FORMATS[0]);
    let newer = format("journal", 2, 1 << 20);
    let name = {
        let folder = Folder::new(home.folder.dir(), newer);
        let mut segment = Segment::begin(&folder, 1).unwrap();
        let frames = frames(newer, segment.salt(), &[b"x".to_vec()]);
        segment.write(&frames).unwrap();
        segment.name()
    };
    let (found, scanned) = read(&home, &name);
    assert!(found.is_empty() && !scanned.is_sound());
    assert!(scanned.damage("count").starts_with("is of format 2,"));
}

#[test]
fn an_obsolete_file_is_removed_and_a_damaged_one_set_aside() {
    let home = home(FORMATS[2]);
    let [first, second] = [1, 2].map(|number| Segment::begin(&home.folder, number).unwrap().name());
    assert_eq!(home.folder.retire(&first, false).unwrap(), None);
    let kept = home.folder.retire(&second, true).unwrap().unwrap();
    assert!(kept.starts_with(&format!("{second}.damaged-")), "{kept}");
    let listing = home.folder.list().unwrap();
    assert_eq!(listing.files, []);
    assert_eq!(listing.kept, [kept]);
    // Both are gone now, as if an operator had removed them.
    assert_eq!(home.folder.retire(&first, false).unwrap(), None);
    assert_eq!(home.folder.retire(&second, true).unwrap(), None);
}

#[test]
fn one_process_at_a_time() {
    let home = home(FORMATS[1]);
    let lock = home.folder.lock().unwrap();
    let second = home.folder.lock().unwrap_err();
    assert!(matches!(second, couic_durable::LockError::InUse));
    drop(lock);
    home.folder.lock().unwrap();
}
