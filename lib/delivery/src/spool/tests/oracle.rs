//! A map as the oracle: any steps, and any failures of the disk in between.

use std::{collections::BTreeMap, sync::atomic::Ordering};

use proptest::prelude::*;

use super::{failing_disk::SmallDisk, *};

#[derive(Clone, Debug)]
enum Step {
    Append { len: usize, order: Option<u8> },
    Ack(prop::sample::Index),
    Progress(prop::sample::Index, u64),
    Counter(u64, u64),
    Settle,
    Room(i64),
    Syncs(bool),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_usize..200, prop::option::weighted(0.2, any::<u8>()))
            .prop_map(|(len, order)| Step::Append { len, order }),
        5 => any::<prop::sample::Index>().prop_map(Step::Ack),
        1 => (any::<prop::sample::Index>(), 0_u64..9).prop_map(|(at, done)| Step::Progress(at, done)),
        1 => (0_u64..2, any::<u64>()).prop_map(|(slot, value)| Step::Counter(slot, value)),
        3 => Just(Step::Settle),
        1 => (0_i64..2_000).prop_map(Step::Room),
        1 => any::<bool>().prop_map(Step::Syncs),
        1 => Just(Step::Reopen),
    ]
}

/// The expected content.
#[derive(Default)]
struct Oracle {
    events: BTreeMap<u64, StoredEvent>,
    counters: [u64; COUNTERS],
}

impl Oracle {
    fn sorted(&self) -> Vec<StoredEvent> {
        let mut events: Vec<_> = self.events.values().cloned().collect();
        events.sort_by_key(|event| (event.order, event.seq));
        events
    }

    fn apply(&mut self, spool: &Spool, step: &Step) {
        let pick = |at: &prop::sample::Index, events: &BTreeMap<u64, StoredEvent>| {
            (!events.is_empty()).then(|| *events.keys().nth(at.index(events.len())).unwrap())
        };
        match step {
            Step::Append { len, order } => {
                let payload: Arc<[u8]> = Arc::from(vec![b'x'; *len]);
                let order = order.map(u64::from);
                let seq = spool.append(order, Arc::clone(&payload)).unwrap();
                let event = StoredEvent {
                    seq,
                    order: order.unwrap_or(seq),
                    done: 0,
                    payload,
                };
                assert!(
                    self.events.insert(seq, event).is_none(),
                    "number {seq} given twice"
                );
            }
            Step::Ack(at) => {
                if let Some(seq) = pick(at, &self.events) {
                    self.events.remove(&seq);
                    spool.ack(seq);
                }
            }
            Step::Progress(at, done) => {
                if let Some(seq) = pick(at, &self.events) {
                    self.events.get_mut(&seq).unwrap().done = *done;
                    spool.progress(seq, *done);
                }
            }
            Step::Counter(slot, value) => {
                self.counters[usize::try_from(*slot).unwrap()] = *value;
                spool.set_counter(*slot, *value);
            }
            Step::Settle | Step::Room(_) | Step::Syncs(_) | Step::Reopen => {}
        }
    }
}

async fn run_steps(steps: &[Step]) {
    let dir = TempDir::new().unwrap();
    let disk = SmallDisk::new(1 << 30);
    let open = || Spool::open_on(&config(&dir), Arc::new(disk.clone())).unwrap();
    let mut oracle = Oracle::default();
    let (mut spool, _) = open();
    for step in steps {
        oracle.apply(&spool, step);
        match step {
            Step::Settle => {
                spool.durable().await;
            }
            Step::Room(room) => disk.room.store(*room, Ordering::SeqCst),
            Step::Syncs(syncs) => disk.syncs.store(*syncs, Ordering::SeqCst),
            Step::Reopen => {
                disk.room.store(1 << 30, Ordering::SeqCst);
                disk.syncs.store(true, Ordering::SeqCst);
                let mut state = spool.shared.state.subscribe();
                state.wait_for(|state| state.alarm.is_none()).await.unwrap();
                drop(spool);
                let recovered;
                (spool, recovered) = open();
                assert_eq!(recovered.events, oracle.sorted());
                assert_eq!(recovered.counters, oracle.counters);
                assert_eq!(recovered.recovery.damaged_segments, 0);
                let live: usize = oracle
                    .events
                    .values()
                    .map(|e| e.payload.len() + record::RECORD_OVERHEAD)
                    .sum();
                let bytes = spool.status().bytes;
                assert!(
                    bytes <= 2 * live as u64 + 6 * 512,
                    "{bytes} bytes for {live} live"
                );
            }
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// After any steps, and any failures of the disk in between: after a restart exactly the unacknowledged events are
    /// recovered.
    #[test]
    fn a_spool_is_a_map_that_survives(mut steps in prop::collection::vec(step(), 1..120)) {
        steps.push(Step::Reopen);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run_steps(&steps));
    }
}
