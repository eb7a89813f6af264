//! A bounded buffer and a thread that writes it to a sink, so that logging does not block.

use std::{
    fmt,
    io::{self, Write},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

/// In bytes, some ten thousand lines; an outlet holds at most two of these.
const CAPACITY: usize = 1 << 20;

/// In bytes: room for single lines when lines in bulk have filled the buffer.
const RESERVE: usize = 1 << 18;

/// A buffered sink.
#[derive(Clone, Debug)]
pub(super) struct Outlet(Arc<SharedBuffer>);

struct SharedBuffer {
    state: Mutex<BufferState>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Default)]
struct BufferState {
    buffer: Vec<u8>,
    lines: u64,
    lost: u64,
    waiting: bool,
    closed: bool,
    done: bool,
}

impl fmt::Debug for SharedBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").finish_non_exhaustive()
    }
}

impl Outlet {
    /// Starts the thread that writes to `sink`. `lost` makes the line that reports lost ones.
    pub(super) fn start(
        name: &str,
        sink: impl Write + Send + 'static,
        lost: impl Fn(u64) -> String + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(SharedBuffer {
            state: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        });
        let outlet = Self(Arc::clone(&shared));
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || write_out(&shared, sink, lost))?;
        Ok(outlet)
    }

    /// Queues complete lines. Waits up to `timeout` for room; then they are dropped and counted.
    pub(super) fn push(&self, bytes: &[u8], lines: u64, timeout: Duration) {
        let mut state = self.0.state.lock();
        let single = if lines == 1 { RESERVE } else { 0 };
        let full = |s: &BufferState| {
            !s.buffer.is_empty() && s.buffer.len() + bytes.len() > CAPACITY + single
        };
        if full(&state) && !timeout.is_zero() {
            let deadline = Instant::now() + timeout;
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

    /// Accepts no more lines, and waits until all are written or `deadline` has passed.
    pub(super) fn close(&self, deadline: Duration) {
        let deadline = Instant::now() + deadline;
        let mut state = self.0.state.lock();
        state.closed = true;
        self.0.filled.notify_one();
        while !state.done && !self.0.emptied.wait_until(&mut state, deadline).timed_out() {}
    }
}

fn write_out(shared: &SharedBuffer, mut sink: impl Write, lost: impl Fn(u64) -> String) {
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

        // Lines were dropped after those in the buffer, or failed before them; either way the gap is reported.
        if failed > 0 {
            // On a line of its own, even if the last one is torn.
            let text = if torn { "\n" } else { "" }.to_owned() + &lost(failed);
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

/// Writes as much as the sink accepts, and returns the number of bytes written.
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

/// Whether the output ends within a line after this write.
fn is_torn(written: &[u8], before: bool) -> bool {
    written.last().map_or(before, |last| *last != b'\n')
}

/// What the line about lost ones says.
pub(super) fn lost_message(lost: u64) -> String {
    format!("{lost} log lines were lost here: this output was too slow, or full")
}

#[cfg(test)]
mod tests;
