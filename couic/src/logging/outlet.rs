//! A bounded buffer and a thread that writes it out: who logs does not wait.

use std::{
    fmt,
    io::{self, Write},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::warning;
use crate::config::LogFormat;

/// Some ten thousand lines; two of these are the most that an outlet holds.
const CAPACITY: usize = 1 << 20;

/// Lines on their way to one sink.
#[derive(Clone, Debug)]
pub(super) struct Outlet(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    lines: u64,
    lost: u64,
    waiting: bool,
    closed: bool,
    done: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").finish_non_exhaustive()
    }
}

impl Outlet {
    /// Starts the thread that writes to `sink`.
    pub(super) fn start(
        name: &str,
        sink: impl Write + Send + 'static,
        format: LogFormat,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        });
        let outlet = Self(Arc::clone(&shared));
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write_out(&shared, sink, format))?;
        Ok(outlet)
    }

    /// Hands over whole lines. Waits up to `patience` for room; then they are lost, and counted.
    pub(super) fn push(&self, bytes: &[u8], lines: u64, patience: Duration) {
        let mut state = self.0.state.lock();
        let full = |s: &State| !s.buffer.is_empty() && s.buffer.len() + bytes.len() > CAPACITY;
        if full(&state) && !patience.is_zero() {
            let deadline = Instant::now() + patience;
            while full(&state) && !self.0.emptied.wait_until(&mut state, deadline).timed_out() {}
        }
        if full(&state) || state.closed {
            state.lost += lines;
            return;
        }
        state.buffer.extend_from_slice(bytes);
        state.lines += lines;
        if state.waiting {
            state.waiting = false;
            drop(state);
            self.0.filled.notify_one();
        }
    }

    /// Takes no more lines, and waits until all are written or the deadline is over.
    pub(super) fn close(&self, deadline: Duration) {
        let deadline = Instant::now() + deadline;
        let mut state = self.0.state.lock();
        state.closed = true;
        self.0.filled.notify_one();
        while !state.done && !self.0.emptied.wait_until(&mut state, deadline).timed_out() {}
    }
}

fn write_out(shared: &Shared, mut sink: impl Write, format: LogFormat) {
    let mut buffer = Vec::new();
    let (mut failed, mut torn) = (0, false);
    loop {
        let mut state = shared.state.lock();
        while state.buffer.is_empty() && !state.closed {
            state.waiting = true;
            shared.filled.wait(&mut state);
        }
        let last = state.closed;
        std::mem::swap(&mut state.buffer, &mut buffer);
        let lines = std::mem::take(&mut state.lines);
        failed += std::mem::take(&mut state.lost);
        drop(state);
        shared.emptied.notify_all();

        // Lost lines came after those in the buffer, or failed before them; either way the gap is told.
        if failed > 0 {
            // On a line of its own, whatever became of the last one.
            let text = if torn { "\n" } else { "" }.to_owned() + &told(failed, format);
            let (written, outcome) = put(&mut sink, text.as_bytes());
            torn = is_torn(&text.as_bytes()[..written], torn);
            if outcome.is_ok() {
                failed = 0;
            }
        }
        let (written, outcome) = put(&mut sink, &buffer);
        if outcome.and_then(|()| sink.flush()).is_err() {
            let written = &buffer[..written];
            torn = is_torn(written, torn);
            let whole = written.iter().filter(|b| **b == b'\n').count();
            failed += lines.saturating_sub(whole as u64);
        }
        buffer.clear();
        if last {
            shared.state.lock().done = true;
            shared.emptied.notify_all();
            return;
        }
    }
}

/// Writes as much as the sink takes, and answers how much that was.
fn put(sink: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match sink.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// Whether the output ends in the middle of a line, after this was written.
fn is_torn(written: &[u8], before: bool) -> bool {
    written.last().map_or(before, |last| *last != b'\n')
}

fn told(lost: u64, format: LogFormat) -> String {
    let message = format!("{lost} log lines were lost here: this output was too slow, or full");
    warning(format, &message)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Hands each write to the test, and waits until it is taken.
    struct Slow(mpsc::SyncSender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .send(bytes.to_vec())
                .map_err(|_| io::Error::other("gone"))?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// How many lines are told to be lost, all in all.
    fn lost(text: &[u8]) -> usize {
        let text = String::from_utf8_lossy(text);
        let told = text
            .lines()
            .filter_map(|l| l.split_once(" log lines were lost here"));
        told.map(|(head, _)| head.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
            .sum()
    }

    #[test]
    fn a_stuck_sink_holds_nobody_up_and_loses_countably() {
        let (sender, written) = mpsc::sync_channel(0);
        let outlet = Outlet::start("test", Slow(sender), LogFormat::Text).unwrap();
        let line = [b'#'; 1024];
        let pushed = 5_000;
        for _ in 0..pushed {
            outlet.push(&line, 1, Duration::ZERO);
        }
        outlet.close(Duration::from_millis(1));
        let all: Vec<u8> = written.iter().flatten().collect();
        let kept = all.iter().filter(|b| **b == b'#').count() / line.len();
        assert_eq!(kept + lost(&all), pushed);
        assert!((1024..=2 * 1024 + 1).contains(&kept), "bounded: {kept}");
    }

    #[test]
    fn a_patient_writer_loses_nothing() {
        let (sender, written) = mpsc::sync_channel(0);
        let outlet = Outlet::start("test", Slow(sender), LogFormat::Text).unwrap();
        let reader = thread::spawn(move || written.iter().map(|w| w.len()).sum::<usize>());
        for _ in 0..5_000 {
            outlet.push(&[b'x'; 1024], 1, Duration::from_secs(30));
        }
        outlet.close(Duration::from_secs(30));
        drop(outlet);
        assert_eq!(reader.join().unwrap(), 5_000 * 1024);
    }

    #[test]
    fn what_a_full_disk_refused_is_told_when_it_works_again() {
        struct Full(u32, mpsc::Sender<Vec<u8>>);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                if self.0 == 1 {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.1.send(bytes.to_vec()).unwrap();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (sender, written) = mpsc::channel();
        let outlet = Outlet::start("test", Full(0, sender), LogFormat::Text).unwrap();
        outlet.push(b"one\ntwo\n", 2, Duration::ZERO);
        while !outlet.0.state.lock().waiting {
            thread::yield_now();
        }
        outlet.push(b"three\n", 1, Duration::ZERO);
        outlet.close(Duration::from_secs(30));
        let all: Vec<Vec<u8>> = written.iter().collect();
        assert_eq!(all.len(), 2);
        assert_eq!((lost(&all[0]), &all[1][..]), (2, &b"three\n"[..]));
    }

    #[test]
    fn a_line_that_a_full_disk_cut_off_ends_before_the_next() {
        struct Filling(usize, mpsc::Sender<Vec<u8>>);
        impl Write for Filling {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let taken = bytes.len().min(self.0);
                if taken == 0 {
                    // Somebody makes room.
                    self.0 = 1 << 20;
                    return Err(io::ErrorKind::StorageFull.into());
                }
                self.0 -= taken;
                self.1.send(bytes[..taken].to_vec()).unwrap();
                Ok(taken)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (sender, written) = mpsc::channel();
        let outlet = Outlet::start("test", Filling(6, sender), LogFormat::Text).unwrap();
        outlet.push(b"one\ntwo\nthree\n", 3, Duration::ZERO);
        while !outlet.0.state.lock().waiting {
            thread::yield_now();
        }
        outlet.push(b"four\n", 1, Duration::ZERO);
        outlet.close(Duration::from_secs(30));
        let all: Vec<u8> = written.iter().flatten().collect();
        assert_eq!(lost(&all), 2, "of three, one was written whole");
        assert!(all.starts_with(b"one\ntw\n") && all.ends_with(b"\nfour\n"));
    }
}
