//! Crashes and corruption.

use std::{fs, io, path::Path};

use couic_durable::HEADER;
use tempfile::TempDir;

use super::*;

mod failing_disk;
mod oracle;
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

#[tokio::test]
async fn a_tail_cut_at_every_byte_is_told_and_the_spool_continues() {
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
        // It was synced; only a segment of earlier versions begins with the header alone.
        let is_told = cut < whole.len() && cut != usize::try_from(HEADER).unwrap();
        let told = recovered.recovery.damaged_segments;
        assert_eq!(told, usize::from(is_told), "cut at {cut}");
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
