//! A folder written by an earlier version. See `fixtures/README.md`.

use super::*;

const FILES: [(&str, &[u8]); 4] = [
    ("snapshot.1", include_bytes!("../fixtures/snapshot.1")),
    ("journal.1", include_bytes!("../fixtures/journal.1")),
    ("snapshot.2", include_bytes!("../fixtures/snapshot.2")),
    ("journal.2", include_bytes!("../fixtures/journal.2")),
];

fn before() -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, bytes) in FILES {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// Without the history, which is not in those files.
fn recovered(dir: &Path) -> (Vec<u8>, Vec<String>) {
    let found = open(dir).unwrap();
    let mut state = Vec::new();
    found.ledger.encode(&mut state);
    (state, found.damage)
}

fn expected() -> &'static [u8] {
    include_bytes!("../fixtures/state.expected")
}

#[test]
fn the_state_of_the_previous_version_is_read_and_replaced() {
    let dir = before();
    for _ in 0..3 {
        let (state, damage) = recovered(dir.path());
        assert_eq!(state, expected());
        assert!(damage.is_empty(), "{damage:?}");
    }
    let files = files(dir.path());
    let is_new = |file: &StateFile| matches!(file, StateFile::New(_));
    assert!(files.len() == 4 && files.iter().all(is_new), "{files:?}");
    for file in files {
        let mode = fs::metadata(dir.path().join(file.to_string())).unwrap();
        assert_eq!(mode.permissions().mode() & 0o7777, 0o600);
    }
}

#[test]
fn its_newest_snapshot_may_be_damaged() {
    for at in [3, 8, 20, 60] {
        let dir = before();
        let mut bytes = FILES[2].1.to_vec();
        bytes[at] ^= 1;
        fs::write(dir.path().join("snapshot.2"), bytes).unwrap();
        let (state, damage) = recovered(dir.path());
        assert_eq!(state, expected(), "byte {at}");
        assert_eq!(damage.len(), 1, "{damage:?}");
        let kept = fs::read_dir(dir.path()).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name();
            name.to_str().unwrap().starts_with("snapshot.2.damaged-")
        });
        assert_eq!(kept.count(), 1);
        assert_eq!(recovered(dir.path()), (expected().to_vec(), vec![]));
    }
}

/// The first batch after the snapshot is damaged: the others count.
#[test]
fn damage_in_its_journal_costs_the_record_that_it_hit() {
    let dir = before();
    let mut bytes = FILES[3].1.to_vec();
    bytes[16 + 8 + 40] ^= 1;
    fs::write(dir.path().join("journal.2"), bytes).unwrap();
    let (state, damage) = recovered(dir.path());
    assert!(
        damage.len() == 1 && damage[0].contains("journal.2"),
        "{damage:?}"
    );
    let wanted = Ledger::decode(&mut Take(expected())).unwrap();
    let found = Ledger::decode(&mut Take(&state)).unwrap();
    assert_eq!(found.figures.adds(), wanted.figures.adds());
    let last = wanted.outbox.back().unwrap();
    assert_eq!(found.outbox.back().unwrap().adds, last.adds - 2);
    assert!(!found.knows(Uuid::from_u128(5)) && found.knows(Uuid::from_u128(6)));
}
