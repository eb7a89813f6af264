//! From chunks of a stream to the sink, counted.

use std::sync::Arc;

use crate::{
    Sink, StreamId, When,
    figures::{Counters, count},
    lines::{Lines, Piece},
};

/// The sink of a source and its figures.
pub(crate) struct Output<'a> {
    sink: Box<dyn Sink + 'a>,
    pub(crate) counters: Arc<Counters>,
    next: u64,
}

impl<'a> Output<'a> {
    pub(crate) fn new(sink: Box<dyn Sink + 'a>, counters: Arc<Counters>) -> Self {
        Self {
            sink,
            counters,
            next: 0,
        }
    }

    pub(crate) fn open(&mut self, name: &str) -> StreamId {
        let stream = StreamId(self.next);
        self.next += 1;
        self.sink.open(stream, name);
        stream
    }

    pub(crate) fn looks_back(&self) -> bool {
        self.sink.looks_back()
    }

    pub(crate) fn begins(&mut self, stream: StreamId, before: &[u8]) {
        self.sink.begins(stream, before);
    }

    pub(crate) fn gap(&mut self, stream: StreamId) {
        self.sink.gap(stream);
    }

    pub(crate) fn close(&mut self, stream: StreamId) {
        self.sink.close(stream);
    }

    pub(crate) fn flush(&mut self) {
        self.sink.flush();
    }

    pub(crate) fn settle(&mut self) {
        self.sink.settle();
    }

    /// Splits a chunk, hands its lines over, and flushes.
    pub(crate) fn chunk(&mut self, stream: StreamId, lines: &mut Lines, chunk: &[u8], when: When) {
        let mut tally = Tally::default();
        let sink = &mut *self.sink;
        let lost = lines.push(chunk, |piece| tally.hand(sink, stream, piece, when));
        count(&self.counters.bytes, chunk.len() as u64);
        self.count(&tally, lost);
        self.sink.flush();
    }

    /// Hands over the unfinished line of a stream that has ended; see [`Lines::finish`].
    pub(crate) fn finish(&mut self, stream: StreamId, lines: &mut Lines, whole: bool, when: When) {
        let mut tally = Tally::default();
        let sink = &mut *self.sink;
        let lost = lines.finish(whole, |piece| tally.hand(sink, stream, piece, when));
        self.count(&tally, lost);
        self.sink.flush();
    }

    /// Hands over one message that is a line by itself. The caller flushes.
    pub(crate) fn message(&mut self, stream: StreamId, piece: Piece<'_>, dropped: u64, when: When) {
        let mut tally = Tally::default();
        tally.hand(&mut *self.sink, stream, piece, when);
        self.count(&tally, dropped);
    }

    fn count(&self, tally: &Tally, lost: u64) {
        count(&self.counters.lines, tally.lines);
        count(&self.counters.cut_lines, tally.cut);
        count(&self.counters.cut_bytes, lost);
    }
}

#[derive(Default)]
struct Tally {
    lines: u64,
    cut: u64,
}

impl Tally {
    fn hand(&mut self, sink: &mut dyn Sink, stream: StreamId, piece: Piece<'_>, when: When) {
        self.lines += 1;
        match piece {
            Piece::Line(line) => sink.line(stream, line, when),
            Piece::Cut(head) => {
                self.cut += 1;
                sink.cut(stream, head, when);
            }
        }
    }
}
