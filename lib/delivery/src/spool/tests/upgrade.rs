//! A folder written by an earlier version. See `fixtures/README.md`.

use super::*;

const FILES: [(&str, &[u8]); 4] = [
    (
        "0000000000000000.seg",
        include_bytes!("../fixtures/0000000000000000.seg"),
    ),
    (
        "0000000000000001.seg",
        include_bytes!("../fixtures/0000000000000001.seg"),
    ),
    (
        "0000000000000002.seg",
        include_bytes!("../fixtures/0000000000000002.seg"),
    ),
    (
        "0000000000000003.seg",
        include_bytes!("../fixtures/0000000000000003.seg"),
    ),
];

fn before() -> TempDir {
    let dir = TempDir::new().unwrap();
    for (name, bytes) in FILES {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// The unacknowledged events, in order: number 8 has the position of an older one.
fn expected() -> Vec<StoredEvent> {
    let event = |n: u64| StoredEvent {
        seq: n + 1,
        order: if n == 7 { 3 } else { n + 1 },
        done: if n == 4 { 2 } else { 0 },
        payload: payload(&format!("event {n}: {}", "x".repeat(n as usize * 3))),
    };
    let mut events: Vec<_> = (0..20)
        .filter(|n| ![2, 5, 6, 19].contains(n))
        .map(event)
        .collect();
    events.sort_by_key(|event| (event.order, event.seq));
    events
}

#[tokio::test]
async fn the_spool_of_the_previous_version_is_read_and_continued() {
    let dir = before();
    let (spool, recovered) = Spool::open(&config(&dir)).unwrap();
    let mut events = expected();
    assert_eq!(recovered.events, events);
    assert_eq!(recovered.counters, [17, 1_700_000_000]);
    assert_eq!(recovered.recovery.damaged_segments, 0);
    assert_eq!(spool.append(None, payload("new")).unwrap(), 21);
    events.drain(..6).for_each(|event| spool.ack(event.seq));
    assert_eq!(spool.durable().await, Durability::Disk);
    drop(spool);
    let (spool, recovered) = Spool::open(&config(&dir)).unwrap();
    assert_eq!(recovered.events[..events.len()], events);
    assert_eq!(texts(&recovered).last().unwrap(), "new");
    assert_eq!(recovered.counters, [17, 1_700_000_000]);
    recovered
        .events
        .iter()
        .for_each(|event| spool.ack(event.seq));
    assert_eq!(spool.durable().await, Durability::Disk);
    drop(spool);
    // The files of the previous version are removed with their last events.
    let (_, recovered) = Spool::open(&config(&dir)).unwrap();
    assert_eq!(recovered.events, []);
    assert!(
        FILES
            .iter()
            .all(|(name, _)| !dir.path().join(name).exists())
    );
}

/// Any byte after the header, which has the seed of the checksums: the records after the damage are recovered.
#[test]
fn damage_in_it_costs_the_record_that_it_hit() {
    let (name, whole) = FILES[1];
    let wanted = expected();
    for at in 48..whole.len() {
        let dir = before();
        let mut bytes = whole.to_vec();
        bytes[at] ^= 1;
        fs::write(dir.path().join(name), bytes).unwrap();
        let (_spool, recovered) = Spool::open(&config(&dir)).unwrap();
        let missing = wanted
            .iter()
            .filter(|event| !recovered.events.contains(event));
        assert_eq!(missing.count(), 1, "byte {at}");
        assert!(recovered.recovery.lost_bytes + recovered.recovery.cut_bytes > 0);
    }
}
