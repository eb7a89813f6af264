//! Acts upon what the detector decides: bans go to the injector, and each decision to the log, within a bound.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use couic_common::{time_left, unix_seconds};
use couic_detect::{Answer, Ask, Ban, Decision, Why};
use couic_inject::{Injector, Pending, Rule};
use parking_lot::Mutex;
use serde_json::{Map, json};
use tracing::warn;

use super::{
    answers::{Answers, Asker},
    log::Decisions,
    state::State,
};

/// The daemon keeps at most 65,535 different reasons, of all its clients. So only the first bans of a burst have their
/// sample in the text that it keeps; the reports have it always.
const TEXTS: f64 = 2_000.0;

/// And so many a second after that: 50,000 in the longest ban.
const TEXTS_PER_SECOND: f64 = 5.0 / 60.0;

/// How often the log says that bans are held back.
const REMIND: Duration = Duration::from_secs(60);

/// Where decisions go.
pub(crate) struct Decider {
    /// None once it has ended.
    injector: Mutex<Option<Injector>>,
    log: Decisions,
    answers: Answers,
    texts: Mutex<(f64, Instant)>,
    held: Mutex<Option<Instant>>,
    state: Arc<State>,
    /// So many bans had been decided when those that wait were last written.
    kept: Mutex<u64>,
    pub(crate) counts: Counts,
}

/// What was decided since the start.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) bans: AtomicU64,
    pub(crate) shadow: AtomicU64,
    pub(crate) held: AtomicU64,
    /// Bans of late lines that were over when they were found.
    pub(crate) over: AtomicU64,
}

impl Decider {
    /// Bans go to this injector, and questions to `answers`.
    pub(crate) fn new(injector: Injector, answers: Answers, state: &Arc<State>) -> Self {
        Self {
            injector: Mutex::new(Some(injector)),
            state: Arc::clone(state),
            kept: Mutex::new(0),
            log: Decisions::default(),
            answers,
            texts: Mutex::new((TEXTS, Instant::now())),
            held: Mutex::new(None),
            counts: Counts::default(),
        }
    }

    /// Acts upon the decision of a detector on a line of this time, in Unix ms.
    pub(crate) fn act(&self, decision: Decision, asker: Asker, time_ms: i64) {
        match decision {
            Decision::Ban(ban) => self.ban(&ban, time_ms),
            Decision::Shadow(ban) => {
                self.counts.shadow.fetch_add(1, Relaxed);
                self.log
                    .line(|| format!("shadow: would ban {}", told(&ban)));
            }
            Decision::Held(ban, why) => self.held(&ban, &why),
            Decision::Ask(ask) => self.answers.ask(ask, asker),
        }
    }

    fn ban(&self, ban: &Ban, time_ms: i64) {
        let from = u64::try_from(time_ms.div_euclid(1_000)).unwrap_or(0);
        let until = from.saturating_add(ban.length.as_secs().max(1));
        if until <= unix_seconds() {
            self.counts.over.fetch_add(1, Relaxed);
            return;
        }
        let rule = rule(ban, until, self.has_text());
        if let Some(injector) = &*self.injector.lock() {
            injector.ban(rule);
        }
        // Afterwards: what is counted is among those that `keep` writes.
        self.counts.bans.fetch_add(1, Relaxed);
        self.log.line(|| format!("ban {}", told(ban)));
    }

    /// Writes the bans that wait, if there were any since the last time: checkpoints must not be ahead of them. An error is
    /// told by the next regular writing of the state.
    pub(crate) fn keep(&self) {
        let mut kept = self.kept.lock();
        let bans = self.counts.bans.load(Relaxed);
        if *kept != bans
            && self
                .with(|injector| self.state.save_pending(injector))
                .is_some_and(|saved| saved.is_ok())
        {
            *kept = bans;
        }
    }

    /// Whether the daemon may be burdened with one more text.
    fn has_text(&self) -> bool {
        let mut texts = self.texts.lock();
        let now = Instant::now();
        let passed = now.saturating_duration_since(texts.1).as_secs_f64();
        *texts = ((texts.0 + passed * TEXTS_PER_SECOND).min(TEXTS), now);
        let is_fine = texts.0 >= 1.0;
        if is_fine {
            texts.0 -= 1.0;
        }
        is_fine
    }

    fn held(&self, ban: &Ban, why: &Why) {
        self.counts.held.fetch_add(1, Relaxed);
        let mut last = self.held.lock();
        let now = Instant::now();
        if last.is_none_or(|last| now.saturating_duration_since(last) >= REMIND) {
            *last = Some(now);
            let count = self.counts.held.load(Relaxed);
            warn!(
                "ALARM: bans are held back ({why}), {count} since the start: look whether a rule or a proxy is wrong; \
                 [guard] siege = true bans nevertheless; the last: {}",
                told(ban)
            );
        }
    }

    /// How long ago the last ban was held back.
    pub(crate) fn last_held(&self) -> Option<Duration> {
        self.held.lock().map(|last| last.elapsed())
    }

    /// Uses the injector, unless it has ended.
    pub(crate) fn with<T>(&self, then: impl FnOnce(&Injector) -> T) -> Option<T> {
        self.injector.lock().as_ref().map(then)
    }

    /// What is known about crawlers by now.
    pub(crate) fn answered(&self) -> Vec<(Ask, Answer, Asker)> {
        self.answers.answered()
    }

    /// Lines that are due although nothing happens.
    pub(crate) fn tidy(&self) {
        self.log.flush();
    }

    /// Ends the injector: sends what it holds, and returns the rest.
    pub(crate) fn stop(&self, deadline: Duration) -> Option<Pending> {
        let injector = self.injector.lock().take();
        injector.map(|injector| injector.stop(deadline))
    }
}

/// For the log and alarms.
fn told(ban: &Ban) -> String {
    let length = time_left(ban.length.as_secs());
    let Ban {
        cidr, jail, level, ..
    } = ban;
    format!(
        "{cidr} for {length} (level {level}) by jail {jail}: {}",
        why(ban)
    )
}

fn why(ban: &Ban) -> String {
    let Ban {
        count,
        rate,
        neighbours,
        ..
    } = ban;
    match neighbours {
        0 => format!("{count} hits, rate {rate}"),
        _ => format!("{neighbours} neighbours are banned"),
    }
}

fn rule(ban: &Ban, until: u64, has_text: bool) -> Rule {
    let detail = match has_text {
        true => format!("{}: {}: {}", ban.jail, why(ban), ban.sample),
        false => format!("{}: rate {}", ban.jail, ban.rate),
    };
    let fields = [
        ("jail", json!(&*ban.jail)),
        ("count", json!(ban.count)),
        ("rate", json!(&*ban.rate)),
        ("level", json!(ban.level)),
        ("neighbours", json!(ban.neighbours)),
        ("sample", json!(&*ban.sample)),
    ];
    let extra: Map<_, _> = fields
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect();
    Rule {
        cidr: ban.cidr,
        tag: ban.tag.to_string(),
        until,
        kind: "couicmon".to_owned(),
        detail,
        extra,
    }
}
