//! Takes a list of a million lines from a local server through fetch, judgement, merge, store and write, and tells time and
//! memory of this process: `cargo run --release -p couic-feeds --example million`. The set is written to nowhere, so that
//! the figures are the library's.

use std::{
    fmt::Write as _,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener},
    sync::Arc,
    thread,
    time::Instant,
};

use bytes::Bytes;
use couic_common::{Networks, Policy, SetName};
use couic_feeds::{FeedConfig, Feeds, Put, SetSink, Settings, SinkError};

const LINES: u32 = 1_000_000;

#[derive(Debug)]
struct Nowhere;

#[async_trait::async_trait]
impl SetSink for Nowhere {
    async fn put(&self, _: Policy, _: &SetName, list: Bytes) -> Result<Put, SinkError> {
        println!("put: {} bytes", list.len());
        Ok(Put::default())
    }

    async fn remove(&self, _: Policy, _: &SetName) -> Result<(), SinkError> {
        Ok(())
    }

    async fn has(&self, _: Policy, _: &SetName) -> Result<bool, SinkError> {
        Ok(true)
    }

    async fn read(&self, _: Policy, _: &SetName) -> Result<Option<Networks>, SinkError> {
        Ok(None)
    }

    async fn ignored(&self) -> Result<Networks, SinkError> {
        Ok(Networks::default())
    }
}

/// Answers each request with a part of the list, a little longer each time, and keeps one part in memory.
fn serve(listener: &TcpListener) -> io::Result<()> {
    for extra in 0.. {
        let (mut stream, _) = listener.accept()?;
        let _ = stream.read(&mut [0; 4096])?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")?;
        let mut part = String::new();
        for n in 0..LINES + extra {
            // Spread over the address space, few of them neighbours, not in order.
            let host = 0x1000_0000 + n.wrapping_mul(0x9e37_79b1) % 0x5000_0000;
            writeln!(part, "{}", Ipv4Addr::from(host)).map_err(io::Error::other)?;
            if part.len() > 60_000 {
                stream.write_all(part.as_bytes())?;
                part.clear();
            }
        }
        stream.write_all(part.as_bytes())?;
    }
    Ok(())
}

fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lines = status
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS"));
    lines
        .map(|line| line.replace('\t', " "))
        .collect::<Vec<_>>()
        .join(", ")
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::temp_dir().join(format!("couic-million-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    thread::spawn(move || serve(&listener));
    let config: FeedConfig = serde_json::from_value(serde_json::json!({
        "name": "million", "url": url, "allow_http": true, "shadow": false,
    }))?;
    let feeds = Feeds::new(&[config], Settings::new(dir.clone()), Arc::new(Nowhere))?;
    println!("before: {}", memory());
    for round in 1..=3 {
        let start = Instant::now();
        feeds.refresh("million").await?;
        println!(
            "round {round}: {:.2} s, {}",
            start.elapsed().as_secs_f64(),
            memory()
        );
    }
    for feed in feeds.status() {
        println!(
            "{} entries, {} networks, dropped: {}",
            feed.entries,
            feed.networks,
            feed.dropped.told()
        );
    }
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
