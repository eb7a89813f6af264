//! Concurrent rule changes while snapshots are written.

use std::{
    sync::atomic::{
        AtomicBool,
        Ordering::{Acquire, Release},
    },
    thread,
};

use super::*;

#[test]
fn concurrent_snapshots_and_changes_lose_nothing() {
    const WRITERS: u32 = 4;
    const CHANGES: u64 = 2_000;
    let home = Home::new();
    let (journal, _) = home.open();
    let (table, done) = (Table::default(), AtomicBool::new(false));
    thread::scope(|scope| {
        let upkeep = scope.spawn(|| {
            let mut snapshots = 0;
            while !done.load(Acquire) {
                journal.sync();
                journal.compact(&[&table]).unwrap();
                snapshots += 1;
            }
            snapshots
        });
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (table, journal) = (&table, &journal);
                scope.spawn(move || {
                    for change in 0..CHANGES {
                        let n = writer + WRITERS * (change as u32 % 20);
                        let claims = if change % 3 == 0 {
                            vec![]
                        } else {
                            vec![claim(0, change)]
                        };
                        table.set(journal, key(n), claims);
                        journal.commit();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Release);
        assert!(upkeep.join().unwrap() > 0);
    });
    assert_eq!(home.read(), table.rules());
    assert_eq!(journal.problems(), []);
    assert_eq!(journal.figures().records, u64::from(WRITERS) * CHANGES);
}
