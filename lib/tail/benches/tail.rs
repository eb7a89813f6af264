//! What reading a log costs: CPU time per line of the source's threads while another process writes 40,000 lines a second,
//! one system call each; and the wait between writing and handing over.
//!
//! `cargo bench --manifest-path lib/tail/Cargo.toml`; the first argument is the number of lines, the second the lines a
//! second. `--write` is the child that writes.

use std::{
    env,
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use couic_tail::{Options, Sink, Source, Stop, StreamId, When, start};

const PADDING: &str = "\"GET /index.html HTTP/1.1\" 200 5123 \"https://example.org/\" \"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) \
                       Gecko/20100101 Firefox/128.0\" 198.51.100.17 - - [01/Dec/2026:06:00:00 +0000]";

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().collect();
    if let [_, flag, path, lines, rate] = arguments.as_slice()
        && flag == "--write"
    {
        return write(Path::new(path), number(lines, 0), number(rate, 1));
    }
    let numbers: Vec<u64> = arguments
        .iter()
        .filter_map(|text| text.parse().ok())
        .collect();
    let lines = numbers.first().copied().unwrap_or(200_000);
    let rate = numbers.get(1).copied().unwrap_or(40_000);
    measure(lines, rate)
}

fn number(text: &str, default: u64) -> u64 {
    text.parse().unwrap_or(default)
}

/// Writes so many lines a second, each by itself and with the time at its beginning.
fn write(path: &Path, lines: u64, rate: u64) -> io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let begin = Instant::now();
    for n in 0..lines {
        let due = Duration::from_nanos(n * 1_000_000_000 / rate);
        if n % 40 == 0 {
            thread::sleep(due.saturating_sub(begin.elapsed()));
        }
        writeln!(file, "{} {PADDING}", now_micros()).and_then(|()| file.flush())?;
    }
    Ok(())
}

fn now_micros() -> u64 {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[derive(Clone, Default)]
struct Waits(Arc<Shared>);

#[derive(Default)]
struct Shared {
    lines: AtomicU64,
    late: AtomicU64,
    /// Waits by milliseconds.
    waits: [AtomicU64; 16],
}

impl Sink for Waits {
    fn open(&mut self, _: StreamId, _: &str) {}

    fn line(&mut self, _: StreamId, line: &[u8], when: When) {
        let Shared { lines, late, waits } = &*self.0;
        lines.fetch_add(1, Ordering::Relaxed);
        if when == When::Late {
            late.fetch_add(1, Ordering::Relaxed);
            return;
        }
        // One of 16: the clock costs more than the rest.
        if lines.load(Ordering::Relaxed).is_multiple_of(16) {
            let text = std::str::from_utf8(line).unwrap_or_default();
            let written: u64 = text
                .split(' ')
                .next()
                .and_then(|first| first.parse().ok())
                .unwrap_or(0);
            let wait = now_micros().saturating_sub(written) / 1_000;
            let class = (u64::BITS - wait.leading_zeros()) as usize;
            if let Some(class) = waits.get(class.min(15)) {
                class.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// CPU time of this process, in microseconds, and the largest memory that it had, in KiB.
fn used() -> io::Result<(u64, u64)> {
    use nix::sys::resource::{UsageWho, getrusage};
    let status = std::fs::read_to_string("/proc/self/status")?;
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let most = most.and_then(|text| text.trim().strip_suffix(" kB"));
    let most = most.and_then(|text| text.parse().ok()).unwrap_or(0);
    let used = getrusage(UsageWho::RUSAGE_SELF)?;
    let micros = |time: nix::sys::time::TimeVal| {
        u64::try_from(time.tv_sec() * 1_000_000 + time.tv_usec()).unwrap_or(0)
    };
    Ok((micros(used.user_time()) + micros(used.system_time()), most))
}

fn measure(lines: u64, rate: u64) -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("access.log");
    let waits = Waits::default();
    let stop = Stop::new()?;
    let patterns = vec![dir.path().join("*.log").to_string_lossy().into_owned()];
    let options = Options::new(dir.path().to_owned());
    let source = Source::File { patterns };
    let handle = start(
        "bench",
        source,
        options,
        Box::new(waits.clone()),
        stop.clone(),
    )
    .map_err(io::Error::other)?;
    let before = used()?.0;
    let begin = Instant::now();
    let (lines_text, rate_text) = (lines.to_string(), rate.to_string());
    let mut writer = Command::new(env::current_exe()?)
        .arg("--write")
        .arg(&path)
        .args([&lines_text, &rate_text])
        .spawn()?;
    writer.wait()?;
    let until = Instant::now() + Duration::from_secs(5);
    while handle.figures().lines < lines && Instant::now() < until {
        thread::sleep(Duration::from_millis(5));
    }
    let elapsed = begin.elapsed();
    let (cpu, memory) = used()?;
    let figures = handle.figures();
    stop.stop();
    let whole = handle.join();
    let cpu = cpu - before;
    println!(
        "{} lines of {lines} in {:.1} s, {} of them late; whole: {whole}",
        figures.lines,
        elapsed.as_secs_f64(),
        waits.0.late.load(Ordering::Relaxed)
    );
    println!(
        "CPU {} ms: {} ns a line, {:.2} % of a core; largest memory {memory} KiB",
        cpu / 1_000,
        cpu * 1_000 / lines,
        cpu as f64 / elapsed.as_micros() as f64 * 100.0
    );
    for (class, count) in waits.0.waits.iter().enumerate() {
        let count = count.load(Ordering::Relaxed);
        if count > 0 {
            println!("handed over within {:>6} ms: {count}", 1_u64 << class);
        }
    }
    Ok(())
}
