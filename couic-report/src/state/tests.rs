//! Crashes: files truncated and damaged at every offset, and copies of the folder at any moment.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use couic_durable::{Folder, Format, Kind, Segment};
use tempfile::TempDir;
use uuid::Uuid;

use super::{
    BatchWriter, Row, Seal, StateError,
    ledger::Ledger,
    record::handed,
    recover,
    store::{self, FORMAT, StateFile, Store},
};
use crate::{codec::Take, config, history::Archive};

mod upgrade;

const NOW: u64 = 1_000;

fn batch(id: u128, host: u8) -> Vec<u8> {
    let id = (id > 0).then(|| Uuid::from_u128(id));
    let mut writer = BatchWriter::new(id, "fw1", NOW, 0);
    writer.push(&Row {
        tag: "ssh",
        ..Row::add(format!("192.0.2.{host}/32").parse().unwrap())
    });
    writer.finish().payload
}

fn seal(next: u128) -> Vec<u8> {
    Seal {
        until: NOW + 60,
        next_from: NOW + 60,
        next_id: Uuid::from_u128(next),
    }
    .encode()
}

fn bytes(ledger: &Ledger) -> Vec<u8> {
    let mut out = Vec::new();
    ledger.encode(&mut out);
    ledger.books.lock().encode(&mut out);
    out
}

fn write(store: &mut Store, ledger: &mut Ledger, payload: &[u8]) {
    store.append(std::iter::once(payload)).unwrap();
    ledger.apply(payload).unwrap();
}

/// A copy of the folder, as after kill -9.
fn copy(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    copy_into(from, to.path());
    to
}

/// Copies a folder with what is below it.
pub(crate) fn copy_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&to).unwrap();
            copy_into(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn open(dir: &Path) -> Result<recover::Recovered, StateError> {
    recover::open(dir, NOW, Archive::new(dir, config::History::default()))
}

fn recovered(dir: &Path) -> (Vec<u8>, Vec<String>) {
    let found = open(dir).unwrap();
    (bytes(&found.ledger), found.damage)
}

/// A store with two generations and records in both, and its state after every record of the newer one.
fn lively() -> (TempDir, Vec<Vec<u8>>) {
    lively_with(&later_records())
}

fn lively_with(later: &[Vec<u8>]) -> (TempDir, Vec<Vec<u8>>) {
    let dir = TempDir::new().unwrap();
    let mut found = open(dir.path()).unwrap();
    found.ledger.interval = INTERVAL;
    let (store, ledger) = (&mut found.store, &mut found.ledger);
    store.rotate(ledger).unwrap();
    for n in 0..4 {
        write(store, ledger, &batch(u128::from(n) + 1, n));
    }
    store.rotate(ledger).unwrap();
    let mut states = vec![bytes(ledger)];
    for payload in later {
        write(store, ledger, payload);
        states.push(bytes(ledger));
    }
    (dir, states)
}

/// The open interval of the older generation.
const INTERVAL: Uuid = Uuid::from_u128(0xa0);

fn later_records() -> [Vec<u8>; 5] {
    [
        batch(9, 9),
        seal(77),
        batch(0, 3),
        handed(INTERVAL),
        batch(10, 4),
    ]
}

fn files(dir: &Path) -> Vec<StateFile> {
    store::list(&Folder::new(dir, FORMAT)).unwrap().0
}

fn newest(dir: &Path, kind: Kind) -> std::path::PathBuf {
    let files = files(dir);
    let newest = files.iter().rev().find(|file| file.kind() == kind);
    dir.join(newest.unwrap().to_string())
}

#[test]
fn written_records_are_recovered() {
    let (dir, states) = lively();
    let again = recovered(copy(dir.path()).path());
    assert_eq!(&again.0, states.last().unwrap());
    assert!(again.1.is_empty(), "{:?}", again.1);
}

#[test]
fn a_journal_truncated_anywhere_loses_only_the_records_after_it() {
    let (dir, states) = lively();
    let journal = newest(dir.path(), Kind::Log);
    let whole = fs::read(&journal).unwrap();
    let mut seen = 0;
    for cut in 0..=whole.len() {
        fs::write(&journal, &whole[..cut]).unwrap();
        let (state, _) = recovered(copy(dir.path()).path());
        let at = states.iter().position(|s| *s == state);
        let at = at.unwrap_or_else(|| panic!("cut at {cut}: not an earlier state"));
        assert!(at >= seen, "cut at {cut}: older than at the cut before");
        seen = at;
    }
    assert_eq!(seen, states.len() - 1);
}

#[test]
fn a_snapshot_truncated_or_damaged_anywhere_loses_nothing() {
    let (dir, states) = lively();
    let snapshot = newest(dir.path(), Kind::Snapshot);
    let whole = fs::read(&snapshot).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x20;
        for bad in [&whole[..at], &flipped] {
            fs::write(&snapshot, bad).unwrap();
            let crashed = copy(dir.path());
            let (state, damage) = recovered(crashed.path());
            assert_eq!(&state, states.last().unwrap(), "at {at}");
            assert_eq!(damage.len(), 1, "{damage:?}");
            let (state, damage) = recovered(crashed.path());
            assert_eq!(&state, states.last().unwrap(), "at {at}, at the next start");
            assert!(damage.is_empty(), "reported once: {damage:?}");
        }
    }
}

/// What a log begins with: the header, and how far it was synced.
const LOG_HEAD: usize = 30;

/// Each record of the log in turn: those after it count, and the file is named and kept.
#[test]
fn damage_in_a_log_costs_the_record_that_it_hit() {
    let later: Vec<_> = (20..26).map(|n| batch(u128::from(n), n)).collect();
    let (dir, _) = lively_with(&later);
    let log = newest(dir.path(), Kind::Log);
    let whole = fs::read(&log).unwrap();
    let frame = (whole.len() - LOG_HEAD) / later.len();
    for hit in 0..later.len() - 1 {
        let mut rest = later.clone();
        rest.remove(hit);
        let wanted = lively_with(&rest).1;
        for at in LOG_HEAD + hit * frame..LOG_HEAD + (hit + 1) * frame {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&log, damaged).unwrap();
            let crashed = copy(dir.path());
            let (state, damage) = recovered(crashed.path());
            assert_eq!(&state, wanted.last().unwrap(), "byte {at}");
            let name = log.file_name().unwrap().to_str().unwrap();
            assert!(damage.len() == 1 && damage[0].contains(name), "{damage:?}");
            assert!(damage[0].contains("5 records could be read"), "{damage:?}");
            let (_, kept) = store::list(&Folder::new(crashed.path(), FORMAT)).unwrap();
            assert!(kept.len() == 1 && kept[0].starts_with(name), "{kept:?}");
            assert_eq!(&recovered(crashed.path()).0, wanted.last().unwrap());
        }
    }
}

/// The reports of its summary are not counted again.
#[test]
fn an_interval_whose_end_was_lost_is_reported_once() {
    let (dir, _) = lively();
    let log = newest(dir.path(), Kind::Log);
    let mut bytes = fs::read(&log).unwrap();
    let seal = LOG_HEAD + 10 + batch(9, 9).len() + 12;
    bytes[seal] ^= 1;
    fs::write(&log, bytes).unwrap();
    let found = open(dir.path()).unwrap();
    assert_eq!(found.damage.len(), 1, "{:?}", found.damage);
    assert!(found.ledger.outbox.is_empty());
    assert_ne!(found.ledger.interval, INTERVAL);
    assert_eq!(found.ledger.figures.adds(), 1, "of the last batch alone");
}

#[test]
fn a_rotation_stopped_between_any_two_steps_loses_nothing() {
    let (dir, states) = lively();
    let last = states.last().unwrap();
    let next = files(dir.path()).last().unwrap().generation() + 1;
    // The log exists, without its header, under its temporary name.
    let log = format!("ledger-{next:010}-00000000.log.tmp");
    fs::write(dir.path().join(log), "").unwrap();
    assert_eq!(&recovered(copy(dir.path()).path()).0, last);
    // The snapshot is half written under its temporary name.
    let half = dir
        .path()
        .join(format!("ledger-{next:010}-00000000.snap.tmp"));
    fs::write(half, "CRSNA").unwrap();
    let crashed = copy(dir.path());
    assert_eq!(&recovered(crashed.path()).0, last);
    // The result of that start can be opened again.
    for _ in 0..3 {
        assert_eq!(&recovered(crashed.path()).0, last);
    }
    let left = fs::read_dir(crashed.path()).unwrap();
    let left = left.filter(|entry| entry.as_ref().unwrap().path().is_file());
    let left = left.count();
    assert!(left <= 5, "two generations and the lock, not {left} files");
}

#[test]
fn two_processes_cannot_share_a_folder() {
    let dir = TempDir::new().unwrap();
    let first = open(dir.path()).unwrap();
    let second = open(dir.path()).err().unwrap();
    assert!(second.to_string().contains("in use"), "{second}");
    drop(first);
    assert!(open(dir.path()).is_ok());
}

#[test]
fn a_newer_version_is_not_overwritten() {
    let (dir, _) = lively();
    let version = FORMAT.version + 1;
    let newer = Folder::new(dir.path(), Format { version, ..FORMAT });
    Segment::begin(&newer, 9).unwrap();
    let before = files(dir.path());
    let error = open(dir.path()).err().unwrap().to_string();
    assert!(error.contains("another version"), "{error}");
    assert_eq!(files(dir.path()), before);
}
