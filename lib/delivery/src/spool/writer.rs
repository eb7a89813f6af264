//! The only thread that accesses the disk.
//!
//! While it waits for one fsync, further changes accumulate; the next fsync commits them all (group commit). On error it
//! keeps them in memory, raises the alarm and retries: only callers that ask for it wait.

use std::{io, sync::Arc, time::Instant};

use couic_durable::{Alarm, Pause};
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use super::{
    batch::{Batch, Op},
    disk::Disk,
};

/// The state on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Everything up to this change is durable.
    pub(super) durable: u64,
    /// Why the spool is memory only, if it is.
    pub(super) alarm: Option<Arc<str>>,
    pub(super) bytes: u64,
    pub(super) segments: usize,
}

/// State shared by the owner and the thread.
pub(super) struct Shared {
    inbox: Mutex<Inbox>,
    wake: Condvar,
    pub(super) state: watch::Sender<State>,
}

struct Inbox {
    ops: Vec<Op>,
    next_seq: u64,
    /// Changes submitted so far.
    count: u64,
    stop: bool,
}

impl Shared {
    pub(super) fn new(next_seq: u64, disk: &Disk) -> Self {
        Self {
            inbox: Mutex::new(Inbox {
                ops: Vec::new(),
                next_seq,
                count: 0,
                stop: false,
            }),
            wake: Condvar::new(),
            state: watch::Sender::new(State {
                bytes: disk.bytes(),
                segments: disk.segments(),
                ..State::default()
            }),
        }
    }

    /// Submits an event and returns its number.
    pub(super) fn append(&self, order: Option<u64>, payload: Arc<[u8]>) -> u64 {
        let mut inbox = self.inbox.lock();
        let seq = inbox.next_seq;
        inbox.next_seq += 1;
        inbox.count += 1;
        inbox.ops.push(Op::Append {
            seq,
            order: order.unwrap_or(seq),
            payload,
        });
        self.wake.notify_one();
        seq
    }

    pub(super) fn submit(&self, op: Op) {
        let mut inbox = self.inbox.lock();
        inbox.count += 1;
        inbox.ops.push(op);
        self.wake.notify_one();
    }

    /// How many changes were submitted.
    pub(super) fn count(&self) -> u64 {
        self.inbox.lock().count
    }

    pub(super) fn stop(&self) {
        self.inbox.lock().stop = true;
        self.wake.notify_one();
    }

    /// Waits for changes, at most until `deadline`.
    fn take(&self, deadline: Option<Instant>) -> (Vec<Op>, u64, bool) {
        let mut inbox = self.inbox.lock();
        while inbox.ops.is_empty() && !inbox.stop {
            match deadline {
                None => self.wake.wait(&mut inbox),
                Some(deadline) if self.wake.wait_until(&mut inbox, deadline).timed_out() => break,
                Some(_) => {}
            }
        }
        (std::mem::take(&mut inbox.ops), inbox.count, inbox.stop)
    }
}

/// The thread's own state.
pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) disk: Disk,
    pub(super) pause: Pause,
    pub(super) alarm: Alarm,
}

impl Writer {
    /// Runs until the owner stops it, and flushes then.
    pub(super) fn run(mut self) {
        let mut batch = Batch::default();
        loop {
            let (ops, count, stop) = self.shared.take(self.pause.until());
            for op in ops {
                self.disk.apply(&op);
                batch.absorb(op);
            }
            let due = stop || self.pause.is_over();
            let written = due.then(|| self.write(&mut batch));
            self.disk.tidy();
            self.publish(written, count);
            if stop {
                return;
            }
        }
    }

    fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        if batch.is_empty() && self.pause.until().is_some() {
            // A harmless record, to probe the disk.
            let value = self.disk.counter();
            batch.absorb(Op::Counter { slot: 0, value });
        }
        let written = self.commit(batch);
        self.pause.tried(written.is_ok());
        match &written {
            Ok(()) => {
                *batch = Batch::default();
                if self.alarm.clear() {
                    tracing::info!("the notification spool is on disk again");
                }
            }
            Err(error) => {
                batch.mark_suspect();
                if self.alarm.raise(&error.to_string()) {
                    tracing::error!(%error, "cannot write the notification spool: notifications are kept in memory \
                        only until it works again");
                }
            }
        }
        written
    }

    fn commit(&mut self, batch: &Batch) -> io::Result<()> {
        if !batch.is_empty() {
            self.disk.commit(batch)?;
        }
        if self.disk.must_compact() {
            self.disk.compact()?;
        }
        Ok(())
    }

    fn publish(&self, written: Option<io::Result<()>>, count: u64) {
        let (bytes, segments) = (self.disk.bytes(), self.disk.segments());
        self.shared.state.send_modify(|state| {
            state.bytes = bytes;
            state.segments = segments;
            match written {
                Some(Ok(())) => {
                    state.durable = count;
                    state.alarm = None;
                }
                Some(Err(error)) => state.alarm = Some(Arc::from(error.to_string())),
                None => {}
            }
        });
    }
}
