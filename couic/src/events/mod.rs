//! The last changes of rules, and the streams of `GET /v1/events` that read them.
//!
//! - One ring has the last changes, for any number of readers. It is bounded in number and bytes, whatever is loaded.
//! - A reader has a position, never a queue: a slow one costs no memory, is overtaken, and is told how many changes it
//!   missed.
//! - Whoever changes rules does not wait for a reader, and pays nothing for one: the blocks of the firewall's own stream
//!   are kept as they are. They become text when they are read, on behalf of their reader.
//! - Streams are few, in all and of each client, and end when their token does, and at once at shutdown.

mod counts;
mod reader;
mod ring;
mod text;

use std::{collections::HashMap, io, sync::Arc, thread, time::Duration};

use couic_common::{ClientName, EventId, Group};
use couic_firewall::rules::{Firewall, Subscription};
use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

pub use counts::StreamCounts;
pub(crate) use reader::{Reader, Start, Wanted};
use ring::{MAX_EVENTS, Ring};

/// Streams in all: each takes some 200 KiB at most while its reader is slow.
const MAX_STREAMS: usize = 128;

/// Those of them that only admins get.
const RESERVE: usize = 16;

/// Streams of one client.
const PER_CLIENT: usize = 16;

/// Changes within this time are taken over together, so that the firewall does not wake the thread for each.
const ROUND: Duration = Duration::from_millis(5);

/// How long the thread sleeps while nothing happens.
const IDLE: Duration = Duration::from_secs(1);

/// The last changes of rules, and who reads them.
#[derive(Debug)]
pub struct Events {
    ring: Arc<Ring>,
    /// Tells this start of the daemon from others.
    boot: u64,
    readers: Mutex<HashMap<ClientName, usize>>,
    counts: Arc<StreamCounts>,
    /// True at shutdown.
    ended: watch::Sender<bool>,
}

/// No place is left for a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPlace {
    #[error("the client {0} has {PER_CLIENT} event streams, the most that one may have: end some")]
    OfClient(ClientName),
    #[error("there are {0} event streams, the most that are for this client's group: end some")]
    OfAll(usize),
}

/// The place of one stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    events: Arc<Events>,
    of: ClientName,
}

impl Events {
    /// Keeps the changes of rules from now on. The thread that does ends with the last handle.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(firewall: &Firewall, counts: Arc<StreamCounts>) -> io::Result<Arc<Self>> {
        let changes = firewall.subscribe(MAX_EVENTS);
        let events = Arc::new(Self {
            ring: Arc::new(Ring::new(changes.last())),
            boot: Uuid::new_v4().as_u64_pair().0,
            readers: Mutex::default(),
            counts,
            ended: watch::Sender::new(false),
        });
        let ring = Arc::downgrade(&events.ring);
        thread::Builder::new()
            .name("couic-events".to_owned())
            .spawn(move || {
                while let Some(busy) = ring.upgrade().map(|ring| feed(&ring, &changes)) {
                    thread::sleep(if busy { ROUND } else { Duration::ZERO });
                }
            })?;
        Ok(events)
    }

    /// Ends every stream, now and from now on.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Becomes true when the streams end.
    pub(crate) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.subscribe()
    }

    const fn id(&self, seq: u64) -> EventId {
        let boot = self.boot;
        EventId { boot, seq }
    }

    /// A place for a stream of this client.
    ///
    /// # Errors
    /// All are taken, or those of the client.
    pub(crate) fn place(
        self: &Arc<Self>,
        name: &ClientName,
        group: Group,
    ) -> Result<Place, NoPlace> {
        let all = match group {
            Group::Admin => MAX_STREAMS,
            _ => MAX_STREAMS - RESERVE,
        };
        let mut readers = self.readers.lock();
        let open: usize = readers.values().sum();
        let own = readers.get(name).copied().unwrap_or(0);
        if own >= PER_CLIENT || open >= all {
            self.counts.refused();
            return Err(if own >= PER_CLIENT {
                NoPlace::OfClient(name.clone())
            } else {
                NoPlace::OfAll(all)
            });
        }
        readers.insert(name.clone(), own + 1);
        self.counts.opened(open + 1);
        Ok(Place {
            events: Arc::clone(self),
            of: name.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut readers = self.events.readers.lock();
        if let Some(own) = readers.get_mut(&self.of) {
            *own -= 1;
            if *own == 0 {
                readers.remove(&self.of);
            }
        }
        self.events.counts.set_open(readers.values().sum());
    }
}

/// Takes over what has happened. False if nothing has, for a while.
fn feed(ring: &Ring, changes: &Subscription) -> bool {
    let received = changes.recv_timeout(IDLE);
    let blocks = received.events.into_blocks();
    let busy = !blocks.is_empty();
    ring.push(blocks);
    busy
}

#[cfg(test)]
mod cost;
#[cfg(test)]
mod tests;
