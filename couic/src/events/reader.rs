//! A reader of the ring: one stream of `GET /v1/events`.

use std::{io, mem, sync::Arc, time::Duration};

use bytes::Bytes;
use couic_common::{EventId, Policy, Tag, TagPattern};
use couic_firewall::rules::RuleEvent;
use futures_util::{Stream, stream};
use tokio::{
    select,
    sync::watch,
    task::yield_now,
    time::{Instant, sleep},
};

use super::{Events, Place, text};

/// A stream on which nothing has happened for so long says so: proxies and readers end silent ones.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// How long a stream outlives its token.
const CHECK: Duration = Duration::from_secs(1);

/// Text that is made at a time, or one event more.
const PIECE: usize = 64 * 1024;

/// Where a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// With the next change.
    Now,
    /// With the oldest one that is kept.
    Oldest,
    /// Behind this one.
    After(EventId),
}

/// What a reader is about.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) policy: Option<Policy>,
    pub(crate) tag: Option<TagPattern>,
    /// Whether the stream goes on with what happens, or ends with what has happened.
    pub(crate) follow: bool,
}

impl Wanted {
    fn has(&self, event: &RuleEvent) -> bool {
        let matches = |pattern: &TagPattern, tag: &Option<Tag>| {
            pattern.matches(tag.as_ref().map(Tag::as_str))
        };
        // A rule does not leave a stream unseen: the change of its tag is in those of both.
        let tags = || [&event.former_tag, &event.entry.tag].into_iter();
        self.policy.is_none_or(|policy| policy == event.policy)
            && (self.tag.as_ref()).is_none_or(|pattern| tags().any(|tag| matches(pattern, tag)))
    }
}

/// A position in the ring.
pub(crate) struct Reader {
    events: Arc<Events>,
    wanted: Wanted,
    /// Whether the token is still valid.
    admitted: Box<dyn Fn() -> bool + Send + Sync>,
    /// The number of the last change that it had, or was told to have missed.
    at: u64,
    /// Where it ends, if it does not follow.
    end: u64,
    newest: watch::Receiver<u64>,
    ended: watch::Receiver<bool>,
    greeting: Vec<u8>,
    last_sent: Instant,
    _place: Place,
}

impl Reader {
    pub(crate) fn new(
        place: Place,
        start: Start,
        wanted: Wanted,
        admitted: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        let events = Arc::clone(&place.events);
        let end = events.ring.newest();
        // One that is ahead is of another start as well, whatever it says.
        let known = |id: EventId| id.boot == events.boot && id.seq <= end;
        let (at, is_lost) = match start {
            Start::Now => (end, false),
            Start::Oldest => (events.ring.begin(), false),
            Start::After(id) if known(id) => (id.seq, false),
            Start::After(_) => (events.ring.begin(), true),
        };
        let mut greeting = text::position(events.id(at));
        if is_lost {
            greeting.clear();
            events.counts.gap();
            text::gap(&mut greeting, events.id(at), None);
        }
        Self {
            wanted,
            admitted: Box::new(admitted),
            at,
            end,
            newest: events.ring.watch(),
            ended: events.ended(),
            greeting,
            last_sent: Instant::now(),
            _place: place,
            events,
        }
    }

    /// The body: pieces are made when they can be sent.
    pub(crate) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + Sync {
        stream::unfold(self, |mut reader| async {
            let piece = reader.next().await?;
            Some((Ok(Bytes::from(piece)), reader))
        })
    }

    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if *self.ended.borrow() || !(self.admitted)() {
                return None;
            }
            let piece = if self.greeting.is_empty() {
                self.read()
            } else {
                mem::take(&mut self.greeting)
            };
            if !piece.is_empty() {
                self.last_sent = Instant::now();
                return Some(piece);
            }
            if !self.wanted.follow && self.at >= self.end {
                return None;
            }
            if self.last_sent.elapsed() >= HEARTBEAT {
                self.greeting = text::position(self.events.id(self.at));
            } else if self.at < self.events.ring.newest() {
                // Many that it is not about: others get their turn.
                yield_now().await;
            } else {
                self.wait().await;
            }
        }
    }

    async fn wait(&mut self) {
        select! {
            _ = self.newest.changed() => {}
            _ = self.ended.changed() => {}
            () = sleep(CHECK) => {}
        }
    }

    /// The next changes, or nothing if there are none that it is about.
    fn read(&mut self) -> Vec<u8> {
        // Before the look, so that what comes after it wakes.
        let newest = *self.newest.borrow_and_update();
        let mut out = Vec::new();
        let blocks = self.events.ring.after(self.at);
        if blocks.is_empty() && self.at < newest {
            self.skip_to(newest, &mut out);
        }
        for event in blocks.iter().flat_map(|block| block.iter()) {
            if event.seq <= self.at {
                continue;
            }
            if out.len() >= PIECE || (!self.wanted.follow && event.seq > self.end) {
                break;
            }
            self.skip_to(event.seq - 1, &mut out);
            self.at = event.seq;
            if self.wanted.has(event) {
                text::change(&mut out, self.events.id(event.seq), event);
            }
        }
        out
    }

    /// Tells what is missed until then, if anything is.
    fn skip_to(&mut self, seq: u64, out: &mut Vec<u8>) {
        if seq > self.at {
            self.events.counts.gap();
            text::gap(out, self.events.id(seq), Some(seq - self.at));
            self.at = seq;
        }
    }
}
