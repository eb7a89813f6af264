//! Which source has how many connections, and which connection ends when a new one needs its place.
//!
//! - A source never holds more than its share, so that one user or host cannot take the places of all.
//! - Trusted sources have no share, and a reserve that others cannot take.
//! - Where no place is left, the oldest connection that waits for nothing and whose client has not proven who it is
//!   gives up its own: of the new one's source where that has used up its share, else of the source that has most.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use tokio::task::{AbortHandle, Id};

/// Who opened a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    key: Key,
    is_trusted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    User(u32),
    Host(IpAddr),
}

impl Source {
    /// A user of this machine. A trusted one has no share, and the reserve.
    #[must_use]
    pub const fn user(uid: u32, is_trusted: bool) -> Self {
        let key = Key::User(uid);
        Self { key, is_trusted }
    }

    /// A host; of IPv6 its /64. The loopback is trusted: a reverse proxy may stand there for any number of hosts.
    #[must_use]
    pub fn host(ip: IpAddr) -> Self {
        let key = Key::Host(match ip.to_canonical() {
            IpAddr::V4(ip) => ip.into(),
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        });
        let is_trusted = ip.to_canonical().is_loopback();
        Self { key, is_trusted }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            Key::User(uid) => write!(f, "the user with uid {uid}"),
            Key::Host(ip) => write!(f, "{ip}"),
        }
    }
}

/// How the places of a service are shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Most connections at a time.
    pub total: usize,
    /// Most connections of one source that is not trusted.
    pub per_source: usize,
    /// Places that only trusted sources take.
    pub reserve: usize,
}

/// A connection's claim to its place.
#[derive(Clone, Debug, Default)]
pub struct Standing(Arc<AtomicBool>);

impl Standing {
    /// Whether the connection keeps its place when others need one: while a request is in progress, and once its client
    /// has proven who it is. A new connection does not.
    pub fn keep(&self, keeps: bool) {
        self.0.store(keeps, Relaxed);
    }

    fn keeps(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// A marker in the extensions of an answer: the client has proven who it is.
#[derive(Clone, Copy, Debug)]
pub struct Known;

/// The places taken.
#[derive(Debug)]
pub(crate) struct Places {
    shares: Shares,
    /// By source, in the order in which connections came.
    taken: HashMap<Source, BTreeMap<u64, Place>>,
    by_task: HashMap<Id, (Source, u64)>,
    untrusted: usize,
    next: u64,
}

#[derive(Debug)]
struct Place {
    standing: Standing,
    task: AbortHandle,
}

impl Places {
    pub(crate) fn new(shares: Shares) -> Self {
        Self {
            shares,
            taken: HashMap::new(),
            by_task: HashMap::new(),
            untrusted: 0,
            next: 0,
        }
    }

    /// Whether a connection of some source would have a place.
    pub(crate) fn has_room(&self) -> bool {
        self.by_task.len() < self.shares.total || self.taken.values().any(|of| oldest(of).is_some())
    }

    /// Whether a new connection of this source has a place, for which another may be closed.
    pub(crate) fn make_room(&mut self, source: Source) -> bool {
        if source.is_trusted {
            return self.by_task.len() < self.shares.total || self.close_one(|_| true);
        }
        let held = self.taken.get(&source).map_or(0, BTreeMap::len);
        if held >= self.shares.per_source {
            return self.close_one(|of| *of == source);
        }
        let most = self.shares.total.saturating_sub(self.shares.reserve);
        let is_room = self.untrusted < most && self.by_task.len() < self.shares.total;
        is_room || self.close_one(|of| !of.is_trusted)
    }

    pub(crate) fn take(&mut self, source: Source, standing: Standing, task: AbortHandle) {
        let number = self.next;
        self.next += 1;
        self.untrusted += usize::from(!source.is_trusted);
        self.by_task.insert(task.id(), (source, number));
        let of_source = self.taken.entry(source).or_default();
        of_source.insert(number, Place { standing, task });
    }

    /// A connection has ended. One that was closed for another has given up its place before.
    pub(crate) fn give_up(&mut self, task: Id) {
        let Some((source, number)) = self.by_task.remove(&task) else {
            return;
        };
        self.untrusted -= usize::from(!source.is_trusted);
        if let Some(of_source) = self.taken.get_mut(&source) {
            of_source.remove(&number);
            if of_source.is_empty() {
                self.taken.remove(&source);
            }
        }
    }

    /// Closes the oldest connection without a standing, of the source with most connections. False if there is none.
    fn close_one(&mut self, of: impl Fn(&Source) -> bool) -> bool {
        let sources = self.taken.iter().filter(|(source, _)| of(source));
        let closable = sources.filter_map(|(_, places)| Some((places.len(), oldest(places)?)));
        let first = closable.max_by_key(|(held, (number, _))| (*held, Reverse(*number)));
        let Some((_, (_, place))) = first else {
            return false;
        };
        place.task.abort();
        let id = place.task.id();
        self.give_up(id);
        true
    }
}

fn oldest(places: &BTreeMap<u64, Place>) -> Option<(&u64, &Place)> {
    places.iter().find(|(_, place)| !place.standing.keeps())
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::task::JoinSet;

    use super::*;

    const SHARES: Shares = Shares {
        total: 6,
        per_source: 3,
        reserve: 2,
    };

    /// Places whose connections are tasks that never end.
    struct Running {
        places: Places,
        tasks: JoinSet<()>,
    }

    impl Running {
        fn new() -> Self {
            Self {
                places: Places::new(SHARES),
                tasks: JoinSet::new(),
            }
        }

        fn connect(&mut self, source: Source, keeps: bool) -> Option<AbortHandle> {
            if !self.places.make_room(source) {
                return None;
            }
            let standing = Standing::default();
            standing.keep(keeps);
            let task = self.tasks.spawn(pending());
            self.places.take(source, standing, task.clone());
            Some(task)
        }
    }

    async fn is_closed(task: &AbortHandle) -> bool {
        tokio::task::yield_now().await;
        task.is_finished()
    }

    #[tokio::test]
    async fn one_source_cannot_take_the_places_of_others() {
        let mut run = Running::new();
        let (greedy, other) = (Source::user(1, false), Source::user(2, false));
        for _ in 0..3 {
            assert!(run.connect(greedy, true).is_some());
        }
        assert!(run.connect(greedy, true).is_none(), "its share");
        assert!(run.connect(other, true).is_some());
        assert!(run.connect(other, true).is_none(), "the reserve");
        let root = Source::user(0, true);
        assert!(run.connect(root, true).is_some());
        assert!(run.connect(root, true).is_some());
        assert!(run.connect(root, true).is_none(), "all are taken");
        assert!(!run.places.has_room());
    }

    #[tokio::test]
    async fn a_new_connection_takes_the_place_of_the_oldest_that_has_proven_nothing() {
        let mut run = Running::new();
        let (greedy, other) = (Source::user(1, false), Source::user(2, false));
        let known = run.connect(greedy, true).unwrap();
        let old = run.connect(greedy, false).unwrap();
        let young = run.connect(greedy, false).unwrap();
        let alone = run.connect(other, false).unwrap();
        run.connect(other, true).unwrap();
        assert!(is_closed(&old).await, "of the source that has most");
        run.connect(other, true).unwrap();
        assert!(is_closed(&young).await);
        assert!(!is_closed(&alone).await);
        run.connect(other, true).unwrap();
        assert!(is_closed(&alone).await, "its own, beyond its share");
        assert!(run.connect(other, true).is_none());
        assert!(!is_closed(&known).await);
    }

    #[tokio::test]
    async fn places_are_given_back() {
        let mut run = Running::new();
        let user = Source::user(1, false);
        for _ in 0..20 {
            let task = run.connect(user, true).unwrap();
            run.places.give_up(task.id());
            run.places.give_up(task.id());
        }
        assert!(run.places.taken.is_empty() && run.places.by_task.is_empty());
        assert_eq!(run.places.untrusted, 0);
    }

    #[test]
    fn hosts_are_counted_by_address_and_by_64() {
        let host = |text: &str| Source::host(text.parse().unwrap());
        assert_eq!(host("::ffff:192.0.2.1"), host("192.0.2.1"));
        assert_ne!(host("192.0.2.2"), host("192.0.2.1"));
        assert_eq!(host("2001:db8::1"), host("2001:db8::ffff:0:0:1"));
        assert_ne!(host("2001:db8:0:1::1"), host("2001:db8::1"));
        assert!(host("127.0.0.9").is_trusted && host("::1").is_trusted);
        assert!(!host("192.0.2.1").is_trusted);
    }
}
