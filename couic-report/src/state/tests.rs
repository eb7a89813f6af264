//! Crashes: files cut and damaged at every offset, and kept copies of the folder as it was at any moment.

use std::{fs, path::Path};

use tempfile::TempDir;
use uuid::Uuid;

use super::{
    BatchWriter, Seal,
    frame::Kind,
    ledger::Ledger,
    record::handed,
    recover,
    store::{self, Store},
};

const NOW: u64 = 1_000;

fn batch(id: u128, host: u8) -> Vec<u8> {
    let id = (id > 0).then(|| Uuid::from_u128(id));
    let mut writer = BatchWriter::new(id, "fw1", 0);
    writer.add(format!("192.0.2.{host}/32").parse().unwrap(), "ssh");
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
    out
}

fn write(store: &mut Store, ledger: &mut Ledger, payload: &[u8]) {
    store.append(std::iter::once(payload)).unwrap();
    ledger.apply(payload).unwrap();
}

/// A copy of the folder: what a kill -9 leaves.
fn copy(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

fn recovered(dir: &Path) -> (Vec<u8>, Vec<String>) {
    let found = recover::open(dir, NOW).unwrap();
    (bytes(&found.ledger), found.damage)
}

/// A store with two generations and records in both, and its state after every record of the newer one.
fn lively() -> (TempDir, Vec<Vec<u8>>) {
    let dir = TempDir::new().unwrap();
    let mut found = recover::open(dir.path(), NOW).unwrap();
    let (store, ledger) = (&mut found.store, &mut found.ledger);
    for n in 0..4 {
        write(store, ledger, &batch(u128::from(n) + 1, n));
    }
    store.rotate(ledger).unwrap();
    let mut states = vec![bytes(ledger)];
    let sealed = ledger.interval;
    for payload in [
        batch(9, 9),
        seal(77),
        batch(0, 3),
        handed(sealed),
        batch(10, 4),
    ] {
        write(store, ledger, &payload);
        states.push(bytes(ledger));
    }
    (dir, states)
}

fn newest(dir: &Path, kind: Kind) -> std::path::PathBuf {
    let files = store::list(dir).unwrap();
    let (_, generation) = files.iter().rev().find(|(k, _)| *k == kind).unwrap();
    store::path(dir, kind, *generation)
}

#[test]
fn what_was_written_is_there_again() {
    let (dir, states) = lively();
    let again = recovered(copy(dir.path()).path());
    assert_eq!(&again.0, states.last().unwrap());
    assert!(again.1.is_empty(), "{:?}", again.1);
}

#[test]
fn a_journal_cut_anywhere_loses_only_what_was_not_acknowledged() {
    let (dir, states) = lively();
    let journal = newest(dir.path(), Kind::Journal);
    let whole = fs::read(&journal).unwrap();
    let mut seen = 0;
    for cut in 0..=whole.len() {
        fs::write(&journal, &whole[..cut]).unwrap();
        let (state, _) = recovered(copy(dir.path()).path());
        let at = states.iter().position(|s| *s == state);
        let at = at.unwrap_or_else(|| panic!("cut at {cut}: no state that ever was"));
        assert!(at >= seen, "cut at {cut}: older than at the cut before");
        seen = at;
    }
    assert_eq!(seen, states.len() - 1);
}

#[test]
fn a_snapshot_cut_or_damaged_anywhere_loses_nothing() {
    let (dir, states) = lively();
    let snapshot = newest(dir.path(), Kind::Snapshot);
    let whole = fs::read(&snapshot).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x20;
        for bad in [&whole[..at], &flipped] {
            fs::write(&snapshot, bad).unwrap();
            let crashed = copy(dir.path());
            // The version byte alone says something that is no damage.
            let Ok(found) = recover::open(crashed.path(), NOW) else {
                assert_eq!(at, 7);
                continue;
            };
            assert_eq!(&bytes(&found.ledger), states.last().unwrap(), "at {at}");
            assert_eq!(found.damage.len(), 1, "{:?}", found.damage);
        }
    }
}

#[test]
fn a_rotation_stopped_between_any_two_steps_loses_nothing() {
    let (dir, states) = lively();
    let last = states.last().unwrap();
    let files = store::list(dir.path()).unwrap();
    let next = files.last().unwrap().1 + 1;
    // The journal is there, its head is not.
    fs::write(store::path(dir.path(), Kind::Journal, next), "").unwrap();
    assert_eq!(&recovered(copy(dir.path()).path()).0, last);
    // The snapshot is half written under its other name.
    fs::write(dir.path().join("snapshot.new"), "CRSNA").unwrap();
    let crashed = copy(dir.path());
    assert_eq!(&recovered(crashed.path()).0, last);
    // And what that start made can be opened again, and again.
    for _ in 0..3 {
        assert_eq!(&recovered(crashed.path()).0, last);
    }
    assert!(
        store::list(crashed.path()).unwrap().len() <= 4,
        "old files stay"
    );
}

#[test]
fn two_cannot_share_a_folder() {
    let dir = TempDir::new().unwrap();
    let first = recover::open(dir.path(), NOW).unwrap();
    let second = recover::open(dir.path(), NOW).err().unwrap();
    assert!(second.to_string().contains("in use"), "{second}");
    drop(first);
    assert!(recover::open(dir.path(), NOW).is_ok());
}

#[test]
fn a_newer_version_is_not_overwritten() {
    let (dir, _) = lively();
    let journal = newest(dir.path(), Kind::Journal);
    let mut bytes = fs::read(&journal).unwrap();
    bytes[7] = 2;
    fs::write(&journal, &bytes).unwrap();
    let before = store::list(dir.path()).unwrap();
    let error = recover::open(dir.path(), NOW).err().unwrap().to_string();
    assert!(error.contains("another version"), "{error}");
    assert_eq!(store::list(dir.path()).unwrap(), before);
}
