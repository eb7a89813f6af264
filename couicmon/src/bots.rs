//! Whether an address is the crawler that its agent claims: by its name in the DNS, confirmed forward.
//!
//! Whoever has an address chooses its name, so a name counts only if it ends as the names of the crawler do and one of its
//! own addresses is the address. Two threads ask the system's resolver, which may take its time: an answer that is not
//! there after two seconds is [`Identity::Unknown`], and comes to the cache when it comes. A failure of the DNS is not a
//! wrong name. A name that does not end right is not asked for forward: its owner could make that slow.
//!
//! Memory is bounded: at most [`MOST_WAITING`] questions wait, more are unknown at once; [`MOST_CACHED`] answers are kept
//! for a day.

use std::{
    collections::{HashMap, VecDeque},
    io,
    net::IpAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

pub(crate) use look_up::{LookUp, NoAnswer, System};

mod look_up;
#[cfg(test)]
mod tests;

/// How many look-ups run at a time.
const WORKERS: usize = 2;

/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(2);

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 3_600);

/// How many questions may wait.
const MOST_WAITING: usize = 1_024;

/// How many answers are kept.
const MOST_CACHED: usize = 16_384;

/// The longest name of the DNS in bytes.
const LONGEST_NAME: usize = 253;

/// What the DNS says about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The address has such a name, and the name the address.
    Real,
    /// It has none.
    Fake,
    /// There was no answer in time.
    Unknown,
}

/// An address, and the ends that names of the claimed crawler have, such as `.googlebot.com`.
type Claim = (IpAddr, Arc<[String]>);

/// Looks claims up in threads of its own, which end after it is dropped.
pub(crate) struct Resolver {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    /// What no worker has begun.
    queue: VecDeque<Claim>,
    /// Who waits for which claim, and until when.
    waiting: HashMap<Claim, Waiting>,
    /// How many questions these are.
    questions: usize,
    answers: Vec<(u64, Identity)>,
    cache: HashMap<Claim, Identity>,
    /// The keys of the cache, oldest first, with the end of their time.
    kept: VecDeque<(Instant, Claim)>,
    is_over: bool,
}

struct Waiting {
    ids: Vec<u64>,
    until: Instant,
}

impl Resolver {
    /// Starts the threads.
    ///
    /// # Errors
    /// Those of the system if a thread cannot be started.
    pub(crate) fn start() -> io::Result<Self> {
        Self::start_with(System)
    }

    fn start_with(look_up: impl LookUp) -> io::Result<Self> {
        let (shared, look_up) = (Arc::new(Shared::default()), Arc::new(look_up));
        // Dropped, it ends the threads that did start.
        let resolver = Self {
            shared: Arc::clone(&shared),
        };
        for _ in 0..WORKERS {
            let (shared, look_up) = (Arc::clone(&shared), Arc::clone(&look_up));
            let name = "bot-names".to_owned();
            thread::Builder::new()
                .name(name)
                .spawn(move || shared.work(&*look_up))?;
        }
        Ok(resolver)
    }

    /// Asks whether an address has a name that ends with one of these. Does not wait; the answer comes with this id.
    pub(crate) fn ask(&self, id: u64, addr: IpAddr, ends: &Arc<[String]>) {
        self.ask_at(id, (addr, Arc::clone(ends)), Instant::now());
    }

    fn ask_at(&self, id: u64, claim: Claim, now: Instant) {
        let mut state = self.shared.state.lock();
        state.forget(now);
        if let Some(identity) = state.cache.get(&claim).copied() {
            state.answers.push((id, identity));
            return;
        }
        if state.questions >= MOST_WAITING {
            state.answers.push((id, Identity::Unknown));
            return;
        }
        state.questions += 1;
        if let Some(waiting) = state.waiting.get_mut(&claim) {
            waiting.ids.push(id);
            return;
        }
        let (ids, until) = (vec![id], now + DEADLINE);
        state.queue.push_back(claim.clone());
        state.waiting.insert(claim, Waiting { ids, until });
        drop(state);
        self.shared.work.notify_one();
    }

    /// The answers since the last call. Each question gets one, at the latest two seconds after it was asked if this is
    /// called then.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (u64, Identity)> + use<> {
        self.answers_at(Instant::now())
    }

    fn answers_at(&self, now: Instant) -> std::vec::IntoIter<(u64, Identity)> {
        let mut state = self.shared.state.lock();
        let late = state.waiting.extract_if(|_, waiting| waiting.until <= now);
        let late: Vec<u64> = late.flat_map(|(_, waiting)| waiting.ids).collect();
        state.questions -= late.len();
        // Those that no worker has begun need not be looked up any more.
        let State { queue, waiting, .. } = &mut *state;
        queue.retain(|claim| waiting.contains_key(claim));
        let late = late.into_iter().map(|id| (id, Identity::Unknown));
        state.answers.extend(late);
        std::mem::take(&mut state.answers).into_iter()
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        // The threads are not joined: a look-up may take many seconds more.
        self.shared.state.lock().is_over = true;
        self.shared.work.notify_all();
    }
}

impl Shared {
    fn work(&self, look_up: &dyn LookUp) {
        while let Some(claim) = self.next() {
            let identity = identify(look_up, claim.0, &claim.1);
            self.state.lock().answered(claim, identity, Instant::now());
        }
    }

    fn next(&self) -> Option<Claim> {
        let mut state = self.state.lock();
        loop {
            if state.is_over {
                return None;
            }
            if let Some(claim) = state.queue.pop_front() {
                return Some(claim);
            }
            self.work.wait(&mut state);
        }
    }
}

impl State {
    fn answered(&mut self, claim: Claim, identity: Identity, now: Instant) {
        if let Some(waiting) = self.waiting.remove(&claim) {
            self.questions -= waiting.ids.len();
            let ids = waiting.ids.into_iter();
            self.answers.extend(ids.map(|id| (id, identity)));
        }
        if identity == Identity::Unknown {
            return;
        }
        if self.cache.insert(claim.clone(), identity).is_none() {
            self.kept.push_back((now + KEPT, claim));
        }
        self.forget(now);
    }

    fn forget(&mut self, now: Instant) {
        while let Some((until, _)) = self.kept.front()
            && (*until <= now || self.kept.len() > MOST_CACHED)
            && let Some((_, claim)) = self.kept.pop_front()
        {
            self.cache.remove(&claim);
        }
    }
}

fn identify(look_up: &dyn LookUp, addr: IpAddr, ends: &[String]) -> Identity {
    let confirmed = || {
        let Some(name) = look_up.name(addr)? else {
            return Ok(false);
        };
        let name = name.strip_suffix('.').unwrap_or(&name);
        if !is_name(name) || !ends.iter().any(|end| ends_with(name, end)) {
            return Ok(false);
        }
        Ok(look_up.addresses(name)?.contains(&addr))
    };
    match confirmed() {
        Ok(true) => Identity::Real,
        Ok(false) => Identity::Fake,
        Err(NoAnswer) => Identity::Unknown,
    }
}

/// Whether the last labels of a name are those of `end`, with or without a dot before them.
fn ends_with(name: &str, end: &str) -> bool {
    let end = end.strip_prefix('.').unwrap_or(end);
    let Some((before, last)) = name
        .len()
        .checked_sub(end.len())
        .and_then(|at| name.split_at_checked(at))
    else {
        return false;
    };
    !end.is_empty()
        && last.eq_ignore_ascii_case(end)
        && (before.is_empty() || before.ends_with('.'))
}

/// Whether a text from the DNS is a host name, which may be passed on to the resolver.
fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !text.is_empty() && text.len() <= LONGEST_NAME && text.bytes().all(is_part)
}
