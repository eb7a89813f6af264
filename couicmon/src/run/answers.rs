//! Questions about crawlers, on their way to the resolver and back to the detector that asked.

use std::{collections::HashMap, io};

use couic_detect::{Answer, Ask};
use parking_lot::Mutex;

use crate::bots::{Identity, Resolver};

/// Which detector asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    /// That of live lines.
    Live,
    /// That of late ones.
    Late,
}

/// Questions that wait. There are no more than the resolver takes: beyond, it answers at once.
pub(crate) struct Answers {
    resolver: Resolver,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    next: u64,
    waiting: HashMap<u64, (Ask, Asker)>,
}

impl Answers {
    /// Starts the resolver.
    ///
    /// # Errors
    /// Those of the system if a thread cannot be started.
    pub(crate) fn start() -> io::Result<Self> {
        Ok(Self {
            resolver: Resolver::start()?,
            asked: Mutex::default(),
        })
    }

    /// Does not wait.
    pub(crate) fn ask(&self, ask: Ask, asker: Asker) {
        let mut asked = self.asked.lock();
        asked.next += 1;
        let id = asked.next;
        self.resolver.ask(id, ask.addr, &ask.names);
        asked.waiting.insert(id, (ask, asker));
    }

    /// What was answered since the last call.
    pub(crate) fn answered(&self) -> Vec<(Ask, Answer, Asker)> {
        let mut asked = self.asked.lock();
        if asked.waiting.is_empty() {
            return Vec::new();
        }
        let answers = self.resolver.answers().filter_map(|(id, identity)| {
            let (ask, asker) = asked.waiting.remove(&id)?;
            let answer = match identity {
                Identity::Real => Answer::Real,
                Identity::Fake => Answer::Fake,
                Identity::Unknown => Answer::Unknown,
            };
            Some((ask, answer, asker))
        });
        answers.collect()
    }
}
