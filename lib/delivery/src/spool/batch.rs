//! Pending writes, coalesced.
//!
//! Operations accumulate here while an earlier group is being synced, or for as long as the disk is full. That stays
//! bounded: an event that is acknowledged before it was written leaves nothing behind, so the batch is never larger
//! than the live events plus a number for each one on disk.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::record::Record;

/// One change of the spool.
#[derive(Debug)]
pub(super) enum Op {
    Append {
        seq: u64,
        order: u64,
        payload: Arc<[u8]>,
    },
    Ack {
        seq: u64,
    },
    Progress {
        seq: u64,
        done: u64,
    },
    Counter {
        slot: u64,
        value: u64,
    },
}

/// Changes that are written as one group.
#[derive(Debug, Default)]
pub(super) struct Batch {
    data: BTreeMap<u64, (u64, Arc<[u8]>)>,
    progress: BTreeMap<u64, u64>,
    acks: BTreeSet<u64>,
    counters: BTreeMap<u64, u64>,
    /// Events of a group that failed half way: they may be on disk, so their acknowledgement must be written, too.
    suspect: BTreeSet<u64>,
}

impl Batch {
    pub(super) fn absorb(&mut self, op: Op) {
        match op {
            Op::Append {
                seq,
                order,
                payload,
            } => {
                self.data.insert(seq, (order, payload));
            }
            Op::Ack { seq } => {
                self.progress.remove(&seq);
                if self.data.remove(&seq).is_none() || self.suspect.contains(&seq) {
                    self.acks.insert(seq);
                }
            }
            Op::Progress { seq, done } => {
                self.progress.insert(seq, done);
            }
            Op::Counter { slot, value } => {
                self.counters.insert(slot, value);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.data.is_empty()
            && self.progress.is_empty()
            && self.acks.is_empty()
            && self.counters.is_empty()
    }

    /// Records that this group may have been written in part.
    pub(super) fn mark_suspect(&mut self) {
        self.suspect.extend(self.data.keys());
    }

    /// The records, events before their progress and acknowledgements.
    pub(super) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let data = self
            .data
            .iter()
            .map(|(&seq, (order, payload))| Record::Data {
                seq,
                order: *order,
                payload,
            });
        let progress = (self.progress.iter()).map(|(&seq, &done)| Record::Progress { seq, done });
        let acks = self.acks.iter().map(|&seq| Record::Ack { seq });
        let counters =
            (self.counters.iter()).map(|(&slot, &value)| Record::Counter { slot, value });
        data.chain(progress).chain(acks).chain(counters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn append(seq: u64) -> Op {
        Op::Append {
            seq,
            order: seq,
            payload: Arc::from(&b"x"[..]),
        }
    }

    #[test]
    fn an_event_acknowledged_before_it_is_written_leaves_nothing() {
        let mut batch = Batch::default();
        batch.absorb(append(1));
        batch.absorb(Op::Progress { seq: 1, done: 3 });
        batch.absorb(Op::Ack { seq: 1 });
        assert!(batch.is_empty());
        batch.absorb(Op::Ack { seq: 9 });
        assert_eq!(
            batch.records().collect::<Vec<_>>(),
            [Record::Ack { seq: 9 }]
        );
    }

    #[test]
    fn an_event_that_may_be_on_disk_is_acknowledged_there() {
        let mut batch = Batch::default();
        batch.absorb(append(1));
        batch.mark_suspect();
        batch.absorb(append(2));
        batch.absorb(Op::Ack { seq: 1 });
        batch.absorb(Op::Ack { seq: 2 });
        assert_eq!(
            batch.records().collect::<Vec<_>>(),
            [Record::Ack { seq: 1 }]
        );
    }

    #[test]
    fn the_last_counter_and_progress_hold() {
        let mut batch = Batch::default();
        for n in 1..=3 {
            batch.absorb(Op::Counter { slot: 1, value: n });
            batch.absorb(Op::Progress { seq: 5, done: n });
        }
        assert_eq!(
            batch.records().collect::<Vec<_>>(),
            [
                Record::Progress { seq: 5, done: 3 },
                Record::Counter { slot: 1, value: 3 }
            ]
        );
    }
}
