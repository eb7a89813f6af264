//! Logs on a disk that can fill up, and their formats.

use std::{
    fs::File,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
};

use couic_durable::{FileSystem, Folder, Format, HEADER, Kind, Medium, Name, Scanned, Segment};
use proptest::prelude::*;
use tempfile::TempDir;

/// Overhead of a frame.
pub(crate) const HEAD: usize = 10;

/// As in the crates that use them.
pub(crate) const FORMATS: [Format; 3] = [
    format("journal", 1, 1 << 20),
    format("spool", 2, (64 << 20) + 17),
    format("ledger", 2, 1 << 30),
];

pub(crate) const fn format(prefix: &'static str, version: u32, max_payload: usize) -> Format {
    Format {
        prefix,
        version,
        max_payload,
    }
}

/// A disk with room for this many more bytes.
#[derive(Debug)]
pub(crate) struct SmallDisk(pub(crate) AtomicI64);

impl Medium for SmallDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        FileSystem.create(path)
    }

    /// Like a real disk: writes as much as fits, then fails.
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        let length = i64::try_from(bytes.len()).unwrap();
        let room = self.0.fetch_sub(length, SeqCst);
        let fits = usize::try_from(room.clamp(0, length)).unwrap();
        FileSystem.write(file, &bytes[..fits])?;
        if fits < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        FileSystem.sync(file)
    }
}

pub(crate) struct Home {
    _dir: TempDir,
    pub(crate) folder: Folder,
    pub(crate) disk: Arc<SmallDisk>,
}

pub(crate) fn home(format: Format) -> Home {
    // In memory if possible: hundreds of runs would wait for the disk.
    let dir = tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap();
    let disk = Arc::new(SmallDisk(AtomicI64::new(1 << 40)));
    let folder = Folder::on(&dir.path().join("log"), format, Arc::clone(&disk) as _);
    folder.ensure().unwrap();
    Home {
        _dir: dir,
        folder,
        disk,
    }
}

pub(crate) fn frames(format: Format, salt: u32, payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for payload in payloads {
        assert!(format.put(&mut out, salt, |out| out.extend_from_slice(payload)));
    }
    out
}

/// Writes a log, or a snapshot.
pub(crate) fn write(home: &Home, format: Format, kind: Kind, payloads: &[Vec<u8>]) -> Name {
    if kind == Kind::Snapshot {
        let written = home.folder.write_snapshot(1, |out| {
            (payloads.iter()).try_for_each(|payload| out.put(|out| out.extend_from_slice(payload)))
        });
        return written.unwrap().name;
    }
    let mut segment = Segment::begin(&home.folder, 1).unwrap();
    let frames = frames(format, segment.salt(), payloads);
    segment.write(&frames).unwrap();
    segment.sync().unwrap();
    segment.name()
}

pub(crate) fn read(home: &Home, name: &Name) -> (Vec<Vec<u8>>, Scanned) {
    let mut found = Vec::new();
    let scanned = home.folder.read(name, |payload| {
        found.push(payload.to_vec());
        true
    });
    (found, scanned.unwrap())
}

/// Where the first frame begins: behind the header and, in a log, how far it was synced.
pub(crate) fn first(kind: Kind) -> usize {
    let extent = if kind == Kind::Log { 14 } else { 0 };
    usize::try_from(HEADER).unwrap() + extent
}

/// Where each frame ends in the file.
pub(crate) fn ends(kind: Kind, payloads: &[Vec<u8>]) -> Vec<usize> {
    let mut at = first(kind);
    let end = |payload: &Vec<u8>| {
        at += HEAD + payload.len();
        at
    };
    payloads.iter().map(end).collect()
}

/// Payloads full of marks, and of complete frames with a guessed salt.
pub(crate) fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let byte = prop_oneof![Just(0xc0), Just(0x1c), Just(0), any::<u8>()];
    let noise = prop::collection::vec(byte, 0..60);
    let forged = any::<u32>().prop_map(|salt| frames(FORMATS[0], salt, &[b"forged".to_vec()]));
    prop::collection::vec(prop_oneof![4 => noise, 1 => forged], 1..30)
}

pub(crate) fn format_and_kind() -> impl Strategy<Value = (Format, Kind)> {
    let kind = prop_oneof![Just(Kind::Log), Just(Kind::Snapshot)];
    (prop::sample::select(&FORMATS[..]), kind)
}
