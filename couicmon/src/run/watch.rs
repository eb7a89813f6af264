//! What takes the lines of one source, on its thread: parses them, finds the client, and hands both to the detector.
//!
//! The detector is locked from the first line of a chunk to its end, not for each line: sources take turns by chunks. What
//! it decides is acted upon after the lock is released.
//!
//! Time is that of arrival: what a line says of itself only measures how far the clocks are apart. Late lines, which were
//! written while nobody read or were jumped over, arrive all at once: they go by their own time, to a detector of their
//! own ([`super::late`]).

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    },
};

use couic_detect::{Decision, Event, Format, Needs, SourceId, Unparsed};
use couic_tail::{Sink, StreamId, When};
use parking_lot::{ArcMutexGuard, Mutex, RawMutex};

use super::{
    answers::Asker,
    core::{Core, clock_ms},
    decide::Decider,
    proxies::Judge,
};
use crate::local_time::offset_s;

/// The longest sample of a line, in bytes.
const SAMPLE: usize = 200;

/// How often formats are told the time, in ms: for times without a year or an offset.
const DATED: i64 = 60_000;

/// What lines of a source are read with; another one after a reload, or when a set of proxies has changed.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// As the detector knows it.
    pub(crate) id: SourceId,
    /// What its jails look at; those for late lines are some of them.
    pub(crate) needs: Needs,
    /// To be cloned for each stream.
    pub(crate) format: Format,
    /// Which of the formats this is, to tell whether streams need another one.
    pub(crate) format_text: String,
    /// None while a set of proxies is not known: then nobody is judged.
    pub(crate) judge: Option<Judge>,
}

/// What happened to the lines of a source.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Lines that the format cannot read, by reason: malformed, without an address, ambiguous.
    pub(crate) unparsed: [AtomicU64; 3],
    /// Lines of other programs, and parts of lines.
    pub(crate) irrelevant: AtomicU64,
    /// Lines that were not judged since a set of proxies is not known.
    pub(crate) unjudged: AtomicU64,
    /// Late lines without a time of their own, which were not judged.
    pub(crate) undated: AtomicU64,
    /// Lines that are too long, of which only the head was judged.
    pub(crate) cut: AtomicU64,
    /// How far the time in the last live line was behind its arrival, in ms; negative if it was ahead.
    pub(crate) offset_ms: AtomicI64,
    /// A line that could not be read.
    pub(crate) sample: Mutex<Option<String>>,
}

/// The labels of [`Counts::unparsed`].
pub(crate) const REASONS: [&str; 3] = ["malformed", "no_address", "ambiguous"];

/// What is known of some bytes.
#[derive(Clone, Copy)]
struct Given {
    /// A line, not the head of one.
    is_whole: bool,
    when: When,
}

/// The format of one stream.
struct Reader {
    format: Format,
    /// None before the first line.
    when: Option<When>,
    /// When it was told the time.
    dated_ms: i64,
}

impl Reader {
    fn new(format: Format) -> Self {
        let mut reader = Self {
            format,
            when: None,
            dated_ms: i64::MIN,
        };
        // A file may begin inside a line.
        reader.format.lost();
        reader
    }

    /// Ready for a line. Between live and late ones there is a gap, which may begin and end inside a line.
    fn at(&mut self, now_ms: i64, when: When) -> &mut Format {
        if self.when.replace(when).is_some_and(|before| before != when) {
            self.format.lost();
        }
        if now_ms.saturating_sub(self.dated_ms) > DATED {
            self.dated_ms = now_ms;
            self.format.set_clock(now_ms, offset_s(now_ms / 1_000));
        }
        &mut self.format
    }
}

/// A [`Sink`].
pub(crate) struct Watch {
    name: String,
    core: Arc<Mutex<Core>>,
    decider: Arc<Decider>,
    counts: Arc<Counts>,
    settings: Option<Arc<Settings>>,
    generation: u64,
    streams: HashMap<StreamId, Reader>,
    /// Within a chunk.
    locked: Option<ArcMutexGuard<RawMutex, Core>>,
    now_ms: i64,
    decisions: Vec<Decision>,
    late_decisions: Vec<(i64, Decision)>,
    sampled: bool,
}

impl Watch {
    /// For the source of this name.
    pub(crate) fn new(
        name: &str,
        core: &Arc<Mutex<Core>>,
        decider: &Arc<Decider>,
        counts: &Arc<Counts>,
    ) -> Self {
        Self {
            name: name.to_owned(),
            core: Arc::clone(core),
            decider: Arc::clone(decider),
            counts: Arc::clone(counts),
            settings: None,
            generation: 0,
            streams: HashMap::new(),
            locked: None,
            now_ms: 0,
            decisions: Vec::new(),
            late_decisions: Vec::new(),
            sampled: false,
        }
    }

    /// Begins a chunk, unless it has begun.
    fn lock(&mut self) {
        if self.locked.is_some() {
            return;
        }
        let core = Mutex::lock_arc(&self.core);
        self.now_ms = clock_ms();
        self.sampled = false;
        if core.generation != self.generation || self.settings.is_none() {
            self.generation = core.generation;
            let now = core.settings.get(&self.name).cloned();
            let text =
                |settings: &Option<Arc<Settings>>| settings.as_ref().map(|s| s.format_text.clone());
            if text(&now) != text(&self.settings) {
                self.streams.clear();
            }
            self.settings = now;
        }
        self.locked = Some(core);
    }

    fn judge(&mut self, stream: StreamId, line: &[u8], given: Given) {
        let (Some(core), Some(settings)) = (self.locked.as_mut(), self.settings.as_ref()) else {
            return;
        };
        let reader = self.streams.entry(stream);
        let reader = reader.or_insert_with(|| Reader::new(settings.format.clone()));
        let format = reader.at(self.now_ms, given.when);
        let mut event = Event::default();
        let parsed = if given.is_whole {
            format.parse_for(line, &settings.needs, &mut event)
        } else {
            format.parse_head(line).map(|head| event = head)
        };
        if let Err(why) = parsed {
            return self.unparsed(why, line);
        }
        let Some(judge) = &settings.judge else {
            self.counts.unjudged.fetch_add(1, Relaxed);
            return;
        };
        let client = judge.client(&event);
        match (given.when, event.time_ms) {
            (When::Live, time) => {
                if let Some(time) = time {
                    let offset = self.now_ms.saturating_sub(time);
                    self.counts.offset_ms.store(offset, Relaxed);
                }
                let decisions =
                    core.detector
                        .observe(settings.id, &event, client, line, self.now_ms);
                self.decisions.extend(decisions);
            }
            (When::Late, Some(time)) => {
                let time = time.min(self.now_ms);
                let decisions =
                    core.late
                        .observe(&self.name, &event, client, line, (time, self.now_ms));
                self.late_decisions
                    .extend(decisions.into_iter().map(|decision| (time, decision)));
            }
            (When::Late, None) => {
                self.counts.undated.fetch_add(1, Relaxed);
            }
        }
    }

    fn unparsed(&mut self, why: Unparsed, line: &[u8]) {
        let reason = match why {
            Unparsed::Partial | Unparsed::Irrelevant => {
                self.counts.irrelevant.fetch_add(1, Relaxed);
                return;
            }
            Unparsed::Malformed => 0,
            Unparsed::NoAddress => 1,
            Unparsed::Ambiguous => 2,
        };
        self.counts.unparsed[reason].fetch_add(1, Relaxed);
        if !self.sampled {
            self.sampled = true;
            let head = line.get(..SAMPLE).unwrap_or(line);
            *self.counts.sample.lock() =
                Some(format!("{}: {}", REASONS[reason], head.escape_ascii()));
        }
    }
}

impl Sink for Watch {
    fn open(&mut self, stream: StreamId, name: &str) {
        tracing::debug!("source {}: reading {name}", self.name);
        self.streams.remove(&stream);
    }

    fn looks_back(&self) -> bool {
        let joins = |core: &Core| {
            let settings = core.settings.get(&self.name);
            settings.is_some_and(|settings| settings.format.joins())
        };
        match &self.locked {
            Some(core) => joins(core),
            None => joins(&self.core.lock()),
        }
    }

    fn begins(&mut self, stream: StreamId, before: &[u8]) {
        let in_chunk = self.locked.is_some();
        self.lock();
        if !in_chunk {
            self.locked = None;
        }
        if let Some(settings) = &self.settings {
            let mut reader = Reader::new(settings.format.clone());
            reader.format.follow(before);
            self.streams.insert(stream, reader);
        }
    }

    fn gap(&mut self, stream: StreamId) {
        if let Some(reader) = self.streams.get_mut(&stream) {
            reader.format.lost();
        }
    }

    fn line(&mut self, stream: StreamId, line: &[u8], when: When) {
        self.lock();
        let is_whole = true;
        self.judge(stream, line, Given { is_whole, when });
    }

    /// Its address and path are judged: otherwise a client would hide its requests behind a header of 128 KiB.
    fn cut(&mut self, stream: StreamId, head: &[u8], when: When) {
        self.counts.cut.fetch_add(1, Relaxed);
        self.lock();
        let is_whole = false;
        self.judge(stream, head, Given { is_whole, when });
    }

    fn flush(&mut self) {
        self.locked = None;
        for decision in self.decisions.drain(..) {
            self.decider.act(decision, Asker::Live, self.now_ms);
        }
        for (time, decision) in self.late_decisions.drain(..) {
            self.decider.act(decision, Asker::Late, time);
        }
    }

    fn settle(&mut self) {
        self.flush();
        self.decider.keep();
    }

    fn close(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.flush();
    }
}
