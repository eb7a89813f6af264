//! Crashes, full disks and corruption, against a map as the oracle.

use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
};

use couic_durable::HEADER;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

mod upgrade;

fn config(dir: &TempDir) -> SpoolConfig {
    SpoolConfig {
        segment_bytes: 512,
        retry_every: Duration::from_millis(1),
        ..SpoolConfig::new(dir.path())
    }
}

fn payload(text: &str) -> Arc<[u8]> {
    Arc::from(text.as_bytes())
}

fn texts(recovered: &Recovered) -> Vec<String> {
    let text = |event: &StoredEvent| String::from_utf8(event.payload.to_vec()).unwrap();
    recovered.events.iter().map(text).collect()
}

fn segment_files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = (fs::read_dir(dir).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    files.sort();
    files
}

/// A disk with room for `room` more bytes, whose fsync fails while `syncs` is false.
#[derive(Clone, Debug)]
struct SmallDisk {
    room: Arc<AtomicI64>,
    syncs: Arc<AtomicBool>,
}

impl SmallDisk {
    fn new(room: i64) -> Self {
        Self {
            room: Arc::new(AtomicI64::new(room)),
            syncs: Arc::new(true.into()),
        }
    }

    fn full() -> io::Error {
        io::Error::from(io::ErrorKind::StorageFull)
    }
}

impl Medium for SmallDisk {
    fn create(&self, path: &Path) -> io::Result<File> {
        match self.room.load(Ordering::SeqCst) {
            ..=0 => Err(Self::full()),
            _ => FileSystem.create(path),
        }
    }

    /// Like a real disk: writes as much as fits, then fails.
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        let len = i64::try_from(bytes.len()).unwrap();
        let room = self.room.fetch_sub(len, Ordering::SeqCst);
        let fits = usize::try_from(room.clamp(0, len)).unwrap();
        FileSystem.write(file, &bytes[..fits])?;
        if fits < bytes.len() {
            return Err(Self::full());
        }
        Ok(())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        if !self.syncs.load(Ordering::SeqCst) {
            return Err(io::Error::other("fsync failed"));
        }
        FileSystem.sync(file)
    }
}

#[tokio::test]
async fn a_torn_tail_is_ignored_at_every_byte_and_the_spool_continues() {
    let dir = TempDir::new().unwrap();
    let big = SpoolConfig {
        segment_bytes: 1 << 20,
        ..config(&dir)
    };
    let (spool, _) = Spool::open(&big).unwrap();
    let mut ends = Vec::new();
    for n in 0..6 {
        spool.append(None, payload(&format!("event {n}"))).unwrap();
        assert_eq!(spool.durable().await, Durability::Disk);
        ends.push(spool.status().bytes);
    }
    drop(spool);
    let segment = &segment_files(dir.path())[0];
    let whole = fs::read(segment).unwrap();
    assert_eq!(whole.len() as u64, ends[5]);
    for cut in 0..=whole.len() {
        let torn = TempDir::new().unwrap();
        let name = segment.file_name().unwrap();
        fs::write(torn.path().join(name), &whole[..cut]).unwrap();
        let left = ends.iter().filter(|&&end| end <= cut as u64).count();
        let (spool, recovered) = Spool::open(&config(&torn)).unwrap();
        let mut expected: Vec<_> = (0..left).map(|n| format!("event {n}")).collect();
        assert_eq!(texts(&recovered), expected, "cut at {cut}");
        assert_eq!(recovered.recovery.damaged_segments, 0, "cut at {cut}");
        spool.append(None, payload("after")).unwrap();
        drop(spool);
        let (_, recovered) = Spool::open(&config(&torn)).unwrap();
        expected.push("after".to_owned());
        assert_eq!(texts(&recovered), expected, "after the cut at {cut}");
    }
}

/// For a flipped bit anywhere, also in the header and in the record with the counters and the next number.
#[tokio::test]
async fn damage_costs_the_event_that_it_hit_and_is_reported_once() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = Spool::open(&config(&dir)).unwrap();
    spool.set_counter(1, 5);
    spool.durable().await;
    let all: Vec<_> = (0..4).map(|n| format!("event {n}")).collect();
    for event in &all {
        spool.append(None, payload(event)).unwrap();
    }
    drop(spool);
    let segment = &segment_files(dir.path())[0];
    let name = segment.file_name().unwrap().to_str().unwrap();
    let whole = fs::read(segment).unwrap();
    let event = record::RECORD_OVERHEAD + 7;
    let first = whole.len() - 4 * event;
    for at in 0..whole.len() - event {
        let damaged = TempDir::new().unwrap();
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(damaged.path().join(name), bytes).unwrap();
        let mut expected = all.clone();
        if at >= first {
            expected.remove((at - first) / event);
        }
        let (spool, recovered) = Spool::open(&config(&damaged)).unwrap();
        assert_eq!(texts(&recovered), expected, "byte {at}");
        assert_eq!(recovered.recovery.damaged_segments, 1, "byte {at}");
        let is_header = at < usize::try_from(HEADER).unwrap();
        assert_eq!(recovered.recovery.has_losses(), !is_header, "byte {at}");
        let seq = spool.append(None, payload("after")).unwrap();
        assert_eq!(seq, 5, "no number is given twice");
        drop(spool);
        let names = fs::read_dir(damaged.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let kept = names.filter(|found| found.starts_with(&format!("{name}.damaged-")));
        assert_eq!(kept.count(), 1);
        expected.push("after".to_owned());
        let (_, recovered) = Spool::open(&config(&damaged)).unwrap();
        assert_eq!(texts(&recovered), expected, "byte {at}, at the next start");
        assert_eq!(
            recovered.recovery.damaged_segments, 0,
            "byte {at}: reported once"
        );
    }
}

#[test]
fn a_segment_of_garbage_is_kept_aside() {
    let dir = TempDir::new().unwrap();
    fs::write(
        dir.path().join("spool-0000000003-00000000.log"),
        vec![7; 1000],
    )
    .unwrap();
    let (_, recovered) = Spool::open(&config(&dir)).unwrap();
    assert_eq!(recovered.events, []);
    assert_eq!(recovered.recovery.lost_bytes, 1000 - HEADER);
    let kept = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap());
    let kept: Vec<_> = kept
        .filter(|entry| entry.metadata().unwrap().len() > 0)
        .collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(fs::read(kept[0].path()).unwrap().len(), 1000);
}

#[tokio::test]
async fn a_full_disk_means_memory_only_and_then_catches_up() {
    let dir = TempDir::new().unwrap();
    let disk = SmallDisk::new(300);
    let (spool, _) = Spool::open_on(&config(&dir), Arc::new(disk.clone())).unwrap();
    let first = spool.append(None, payload("first")).unwrap();
    assert_eq!(spool.durable().await, Durability::Disk);
    for n in 0..100 {
        spool
            .append(None, payload(&format!("event {n:03}")))
            .unwrap();
    }
    assert_eq!(spool.durable().await, Durability::Memory);
    assert!(spool.status().alarm.is_some());
    spool.ack(first);
    disk.room.store(1 << 20, Ordering::SeqCst);
    let mut state = spool.shared.state.subscribe();
    state.wait_for(|state| state.alarm.is_none()).await.unwrap();
    assert_eq!(spool.durable().await, Durability::Disk);
    drop(spool);
    let (_, recovered) = Spool::open(&config(&dir)).unwrap();
    let expected: Vec<_> = (0..100).map(|n| format!("event {n:03}")).collect();
    assert_eq!(texts(&recovered), expected);
    assert_eq!(recovered.recovery.damaged_segments, 0);
}

#[tokio::test]
async fn an_event_of_a_failed_fsync_does_not_come_back() {
    let dir = TempDir::new().unwrap();
    let disk = SmallDisk::new(1 << 20);
    let (spool, _) = Spool::open_on(&config(&dir), Arc::new(disk.clone())).unwrap();
    spool.append(None, payload("kept")).unwrap();
    assert_eq!(spool.durable().await, Durability::Disk);
    disk.syncs.store(false, Ordering::SeqCst);
    let unsure = spool.append(None, payload("unsure")).unwrap();
    assert_eq!(spool.durable().await, Durability::Memory);
    spool.ack(unsure);
    disk.syncs.store(true, Ordering::SeqCst);
    let mut state = spool.shared.state.subscribe();
    state.wait_for(|state| state.alarm.is_none()).await.unwrap();
    drop(spool);
    let (_, recovered) = Spool::open(&config(&dir)).unwrap();
    assert_eq!(texts(&recovered), ["kept"]);
}

#[test]
fn one_process_at_a_time() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = Spool::open(&config(&dir)).unwrap();
    let second = Spool::open(&config(&dir)).map(|_| ());
    assert!(matches!(second, Err(SpoolError::Locked { .. })));
    drop(spool);
    Spool::open(&config(&dir)).unwrap();
}

#[test]
fn an_event_that_is_too_large_is_refused() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = Spool::open(&config(&dir)).unwrap();
    let huge: Arc<[u8]> = Arc::from(vec![0; MAX_PAYLOAD + 1]);
    let refused = spool.append(None, huge);
    assert!(matches!(refused, Err(SpoolError::TooLarge { .. })));
}

#[tokio::test]
async fn one_old_event_does_not_keep_the_dead_ones_on_disk() {
    let dir = TempDir::new().unwrap();
    let (spool, _) = Spool::open(&config(&dir)).unwrap();
    let old = spool.append(None, payload("old")).unwrap();
    spool.progress(old, 3);
    for n in 0..2_000 {
        let seq = spool.append(None, payload(&format!("event {n}"))).unwrap();
        // So that events are written before they are acknowledged.
        if n % 20 == 0 {
            assert_eq!(spool.durable().await, Durability::Disk);
        }
        spool.ack(seq);
    }
    assert_eq!(spool.durable().await, Durability::Disk);
    let bytes = spool.status().bytes;
    assert!(bytes < 4_096, "{bytes} bytes for one event");
    drop(spool);
    let (_, recovered) = Spool::open(&config(&dir)).unwrap();
    assert_eq!(texts(&recovered), ["old"]);
    assert_eq!(recovered.events[0].done, 3);
}

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
