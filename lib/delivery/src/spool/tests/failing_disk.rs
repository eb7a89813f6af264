//! Full disks and failed syncs: memory only, and then on disk again.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use super::*;

/// A disk with room for `room` more bytes, whose fsync fails while `syncs` is false.
#[derive(Clone, Debug)]
pub(super) struct SmallDisk {
    pub(super) room: Arc<AtomicI64>,
    pub(super) syncs: Arc<AtomicBool>,
}

impl SmallDisk {
    pub(super) fn new(room: i64) -> Self {
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
