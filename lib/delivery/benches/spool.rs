//! Durable events per second of the spool, and the latency of a single one.
//!
//! `cargo bench -p couic-delivery --bench spool [-- DIR]`; the folder decides which disk is measured.

use std::{env, error::Error, path::PathBuf, sync::Arc, time::Instant};

use couic_delivery::spool::{Durability, Spool, SpoolConfig};

/// About the size of a batch of two reports.
const EVENT: usize = 400;
const SINGLE: usize = 500;
const GROUPED: usize = 200_000;
/// How many events a producer appends before it waits for them.
const WINDOW: usize = 1_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let base = env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let base = base.map_or_else(env::temp_dir, PathBuf::from);
    let dir = tempfile::Builder::new()
        .prefix("couic-spool-")
        .tempdir_in(&base)?;
    let (spool, _) = Spool::open(&SpoolConfig::new(dir.path()))?;
    let payload: Arc<[u8]> = Arc::from(vec![b'x'; EVENT]);

    let mut waits = Vec::with_capacity(SINGLE);
    for _ in 0..SINGLE {
        let start = Instant::now();
        let seq = spool.append(None, Arc::clone(&payload))?;
        if spool.durable().await != Durability::Disk {
            return Err("the disk fails: nothing was measured".into());
        }
        waits.push(start.elapsed());
        spool.ack(seq);
    }
    waits.sort_unstable();
    println!(
        "one event with fsync, {EVENT} bytes, on {}: p50 {:?}, p99 {:?}",
        base.display(),
        waits[SINGLE / 2],
        waits[SINGLE * 99 / 100]
    );

    let start = Instant::now();
    for _ in 0..GROUPED / WINDOW {
        let mut window = Vec::with_capacity(WINDOW);
        for _ in 0..WINDOW {
            window.push(spool.append(None, Arc::clone(&payload))?);
        }
        if spool.durable().await != Durability::Disk {
            return Err("the disk fails: nothing was measured".into());
        }
        window.into_iter().for_each(|seq| spool.ack(seq));
    }
    spool.durable().await;
    let took = start.elapsed().as_secs_f64();
    println!(
        "group commit, {WINDOW} at a time, each appended, synced and acknowledged: {:.0} events/s",
        GROUPED as f64 / took
    );
    Ok(())
}
