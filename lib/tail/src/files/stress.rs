//! A writer at full speed that rotates all the time, and a reader that is killed all the time: no line may be lost, and none
//! handed over twice that was read before the last checkpoint.

use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::*;
use crate::{Sink, StreamId, figures::Counters};

/// Numbers of lines, as they are handed over.
#[derive(Clone, Default)]
struct Numbers(Arc<Mutex<Vec<u64>>>);

impl Sink for Numbers {
    fn open(&mut self, _: StreamId, _: &str) {}

    fn line(&mut self, _: StreamId, line: &[u8], _: When) {
        let text = std::str::from_utf8(line).unwrap();
        let number = text
            .strip_prefix("line ")
            .and_then(|rest| rest.split(' ').next());
        self.0.lock().push(number.unwrap().parse().unwrap());
    }

    fn cut(&mut self, _: StreamId, head: &[u8], _: When) {
        panic!("a torn line: {}", head.escape_ascii());
    }
}

/// Writes lines and rotates. Truncates only what was read, since what is written between the copy and the truncation is
/// lost to everybody: here the writer itself does both.
struct Writer {
    path: PathBuf,
    file: File,
    next: u64,
    rotated: u64,
    random: fastrand::Rng,
}

impl Writer {
    fn burst(&mut self) {
        let mut text = String::new();
        for _ in 0..self.random.u32(1..300) {
            text += &format!(
                "line {} {}\n",
                self.next,
                "y".repeat(self.random.usize(40..120))
            );
            self.next += 1;
        }
        self.file.write_all(text.as_bytes()).unwrap();
    }

    fn rotate(&mut self) {
        self.rotated += 1;
        let to = self.path.with_extension(format!("log.{}", self.rotated));
        if self.random.bool() {
            fs::copy(&self.path, &to).unwrap();
            self.file.set_len(0).unwrap();
            return;
        }
        fs::rename(&self.path, &to).unwrap();
        if self.random.bool() {
            self.burst();
        }
        self.file = create(&self.path);
    }

    fn run(mut self, rotations: u64, written: &AtomicU64) -> u64 {
        while self.rotated < rotations {
            for _ in 0..self.random.u32(1..6) {
                self.burst();
                written.store(self.next, Ordering::Release);
            }
            if self.random.u8(..8) == 0 {
                thread::sleep(Duration::from_millis(self.random.u64(1..30)));
            }
            self.rotate();
        }
        self.burst();
        self.next
    }
}

fn create(path: &Path) -> File {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap()
}

struct Reader {
    dir: PathBuf,
    pattern: &'static str,
    numbers: Numbers,
    counters: Arc<Counters>,
}

impl Reader {
    fn start(&self) -> Files {
        let pattern = self.dir.join(self.pattern).to_str().unwrap().to_owned();
        let output = Output::new(Box::new(self.numbers.clone()), Arc::clone(&self.counters));
        let options = Options::new(self.dir.join("state"));
        let mut files = Files::new(
            Patterns::new(vec![pattern]).unwrap(),
            options,
            self.dir.join("state/s.tail.json"),
            output,
        )
        .unwrap();
        // Checkpoints are taken by hand here, so that it is known what they cover.
        files.next_save = Instant::now() + Duration::from_secs(86_400);
        files
    }
}

/// Reads until everything is there, killed in between. Returns how often.
fn read_with_kills(
    reader: &Reader,
    writer: &JoinHandle<u64>,
    random: &mut fastrand::Rng,
    all: &AtomicU64,
) -> u64 {
    let stop = Stop::new().unwrap();
    let mut files = reader.start();
    let (mut kills, mut safe) = (0, HashSet::new());
    let until = Instant::now() + Duration::from_secs(600);
    let mut next_kill = Instant::now() + Duration::from_millis(20);
    loop {
        assert!(Instant::now() < until, "not in time");
        files.turn(&stop).unwrap();
        if random.bool() {
            files.save();
            files.saver.settle();
            let mut numbers = reader.numbers.0.lock();
            for number in numbers.drain(..) {
                // One that the checkpoint does not cover may come again after a kill, and only then.
                assert!(
                    safe.insert(number),
                    "line {number} was handed over again: {}",
                    explain(&files, &[number], &reader.dir)
                );
            }
        }
        if Instant::now() >= next_kill {
            drop(files);
            reader.numbers.0.lock().clear();
            kills += 1;
            next_kill = Instant::now() + Duration::from_millis(random.u64(5..300));
            files = reader.start();
        }
        let have = (safe.len() + reader.numbers.0.lock().len()) as u64;
        if writer.is_finished() && have == all.load(Ordering::Acquire) {
            break;
        }
        if writer.is_finished() {
            next_kill = until;
            assert!(
                !is_done(&files, &stop),
                "lost: {}",
                explain(&files, &missing(&safe, reader, all), &reader.dir)
            );
        }
    }
    kills
}

/// Whether everything that there is has been read.
fn is_done(files: &Files, stop: &Stop) -> bool {
    let [events] = stop.wait([files.watch.fd()], Duration::ZERO).unwrap();
    !events && files.gaps.is_empty() && files.known.values().all(|file| !file.dirty)
}

fn missing(safe: &HashSet<u64>, reader: &Reader, all: &AtomicU64) -> Vec<u64> {
    let unsafe_yet = reader.numbers.0.lock().clone();
    let all = 0..all.load(Ordering::Acquire);
    all.filter(|n| !safe.contains(n) && !unsafe_yet.contains(n))
        .take(10)
        .collect()
}

/// Where the first of these lines is, and what is known of that file.
fn explain(files: &Files, lines: &[u64], dir: &Path) -> String {
    let mut text = format!("{lines:?}");
    let first = format!("line {} ", lines.first().unwrap());
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let content = fs::read_to_string(entry.path()).unwrap_or_default();
        if let Some(at) = content.find(&first) {
            let known = files.known.get(&FileId::of(&entry.metadata().unwrap()));
            text += &format!(
                "\nat {at} of {} in {:?}: {known:?}",
                content.len(),
                entry.path()
            );
        }
    }
    text
}

fn stress(rotations: u64, seed: u64, pattern: &'static str) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("state")).unwrap();
    let path = dir.path().join("a.log");
    let reader = Reader {
        dir: dir.path().to_owned(),
        pattern,
        numbers: Numbers::default(),
        counters: Arc::default(),
    };
    let mut random = fastrand::Rng::with_seed(seed);
    // So that the first checkpoint knows of nothing.
    let mut files = reader.start();
    files.save();
    files.saver.settle();
    drop(files);
    let writer = Writer {
        file: create(&path),
        path,
        next: 0,
        rotated: 0,
        random: random.fork(),
    };
    let written = Arc::new(AtomicU64::new(0));
    let thread = thread::spawn({
        let written = Arc::clone(&written);
        move || {
            let all = writer.run(rotations, &written);
            written.store(all, Ordering::Release);
            all
        }
    });
    let began = Instant::now();
    let kills = read_with_kills(&reader, &thread, &mut random, &written);
    let lines = thread.join().unwrap();
    let figures = reader.counters.figures();
    println!(
        "{pattern}: {lines} lines, {rotations} rotations, {kills} kills in {:?}: {figures:?}",
        began.elapsed()
    );
    assert_eq!(figures.lost_bytes, 0);
}

#[test]
fn no_line_is_lost_in_500_rotations_with_kills() {
    stress(500, fastrand::u64(..), "a.log");
}

#[test]
fn no_line_is_lost_either_where_the_pattern_finds_the_rotated_files() {
    stress(500, fastrand::u64(..), "a.log*");
}

#[test]
#[ignore = "minutes: run it alone, in the release profile"]
fn no_line_is_lost_in_20_000_rotations() {
    for seed in 0..10 {
        for pattern in ["a.log", "a.log*"] {
            println!("seed {seed}");
            stress(1_000, seed, pattern);
        }
    }
}
