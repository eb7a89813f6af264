//! For tests: a sink that keeps what it gets, and can be waited on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::{Sink, StreamId, When, figures::Counters, output::Output};

/// What a sink has got.
#[derive(Clone, Debug, Default)]
pub(crate) struct Got {
    pub(crate) live: Vec<String>,
    pub(crate) late: Vec<String>,
    pub(crate) cut: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) open: usize,
    /// What stands before streams, by their names; `-` for gaps.
    pub(crate) before: Vec<(String, String)>,
}

#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<(Mutex<Got>, Condvar)>);

impl Seen {
    pub(crate) fn output() -> (Self, Output<'static>) {
        let seen = Self::default();
        let output = Output::new(Box::new(seen.clone()), Arc::new(Counters::default()));
        (seen, output)
    }

    pub(crate) fn get(&self) -> Got {
        self.0.0.lock().clone()
    }

    /// Waits until what came is as told.
    pub(crate) fn wait_for(&self, is: impl Fn(&Got) -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        let mut got = self.0.0.lock();
        while !is(&got) {
            let late = self.0.1.wait_until(&mut got, until).timed_out();
            assert!(!late, "not in time: {got:?}");
        }
    }
}

impl Sink for Seen {
    fn open(&mut self, _: StreamId, name: &str) {
        let mut got = self.0.0.lock();
        got.names.push(name.to_owned());
        got.open += 1;
    }

    fn looks_back(&self) -> bool {
        true
    }

    fn begins(&mut self, _: StreamId, before: &[u8]) {
        let mut got = self.0.0.lock();
        let name = got.names.last().cloned().unwrap_or_default();
        let before = String::from_utf8_lossy(before).into_owned();
        got.before.push((name, before));
    }

    fn gap(&mut self, _: StreamId) {
        let gap = ("-".to_owned(), String::new());
        self.0.0.lock().before.push(gap);
    }

    fn line(&mut self, _: StreamId, line: &[u8], when: When) {
        let line = String::from_utf8_lossy(line).into_owned();
        let mut got = self.0.0.lock();
        match when {
            When::Live => got.live.push(line),
            When::Late => got.late.push(line),
        }
    }

    fn cut(&mut self, _: StreamId, head: &[u8], _: When) {
        self.0
            .0
            .lock()
            .cut
            .push(String::from_utf8_lossy(head).into_owned());
    }

    fn flush(&mut self) {
        self.0.1.notify_all();
    }

    fn close(&mut self, _: StreamId) {
        self.0.0.lock().open -= 1;
        self.0.1.notify_all();
    }
}
