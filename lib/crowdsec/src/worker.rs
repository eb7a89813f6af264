//! The loop of a consumer: pulls, hands over what changes as fast as the daemon takes it, and waits.

mod daemon;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use couic_common::{Backoff, counted, unix_seconds};
use couic_inject::{Ignored, Injector, Told};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    Config, Status,
    answer::Pulled,
    claims::Found,
    decision::Skip,
    lapi::Lapi,
    model::{Judgement, Model, Rules},
    names::Names,
};

/// The first and the longest pause after failures in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How soon the rest is handed over when the injector is full.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long bans are held back for an ignore list that is neither told nor refused, while the daemon can be reached.
const LISTENING: Duration = Duration::from_secs(30);

/// A full pull beyond the regular ones waits for so many times what the last one took: it costs the LAPI most.
const SPARING: u32 = 20;

pub(crate) struct Worker<'a> {
    config: &'a Config,
    injector: &'a Injector,
    lapi: Option<Lapi>,
    model: Model,
    names: Names,
    backoff: Backoff,
    /// The last full pull, and how long it took. None if everything has to be asked for.
    full: Option<(Instant, Duration)>,
    /// The daemon's list was read.
    is_listed: bool,
    /// Since when the daemon can be reached, but has not told what it ignores.
    held_since: Option<Instant>,
    ignored: Option<Arc<Ignored>>,
    skipped: BTreeMap<Skip, u64>,
    /// What was logged.
    logged: HashSet<&'static str>,
    asking: Told,
    listing: Told,
    doubting: Told,
    bounding: Told,
    status: Status,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(config: &'a Config, injector: &'a Injector) -> Self {
        let interval = config.interval.as_secs();
        let rules = Rules {
            grace: config.grace(),
            slack: interval.min(config.grace() / 2).max(2),
            doubt_lasts: config.full_every.as_secs(),
            most: config.most,
        };
        // From now on they are kept.
        drop(injector.take_refusals());
        Self {
            config,
            injector,
            lapi: None,
            model: Model::new(rules),
            names: Names::default(),
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE.max(config.interval)),
            full: None,
            is_listed: false,
            held_since: None,
            ignored: None,
            skipped: BTreeMap::new(),
            logged: HashSet::new(),
            asking: Told::new(
                "CrowdSec's decisions cannot be pulled, bans stay until they end",
                "CrowdSec's decisions are pulled again",
            ),
            listing: Told::new(
                "the daemon's rules cannot be read, bans that ended while this did not run may stay",
                "the daemon's rules can be read again",
            ),
            doubting: Told::new(
                "CrowdSec's list is not believed",
                "CrowdSec's list is believed again",
            ),
            bounding: Told::new(
                "CrowdSec has more decisions than are held",
                "CrowdSec has no more decisions than are held",
            ),
            status: Status::default(),
        }
    }

    /// One pull. Returns the pause before the next.
    pub(crate) async fn turn(&mut self) -> Duration {
        self.hear_daemon();
        let full = self.is_full_due();
        let found = if full { self.list().await } else { None };
        let start = Instant::now();
        match self.pull(full).await {
            Ok(pulled) => {
                self.take(&pulled, full, found.as_deref());
                if full {
                    self.full = Some((Instant::now(), start.elapsed()));
                }
                self.backoff.succeeded();
                self.settle().await;
                self.config.interval
            }
            Err(why) => {
                // The answer may have been all that was told of something.
                self.full = None;
                self.lapi = None;
                self.asking.fails(&why);
                self.status.failures += 1;
                let pause = self.backoff.failed();
                pause.mul_f64(0.5 + fastrand::f64() / 2.0)
            }
        }
    }

    /// Waits, and hands over what the injector had no room for.
    pub(crate) async fn rest(&mut self, pause: Duration, publish: &impl Fn(Status)) {
        let end = Instant::now() + pause;
        while self.model.waiting() > 0 && Instant::now() < end {
            sleep(PATIENCE).await;
            self.hear_daemon();
            self.settle().await;
            publish(self.status());
        }
        sleep_until(end).await;
    }

    pub(crate) fn status(&self) -> Status {
        let problem = self.asking.problem().map(str::to_owned);
        let count = |(skip, count): (&Skip, &u64)| (skip.as_str(), *count);
        // Counting takes milliseconds for a million claims, and mostly none is refused.
        let any = self.status.refusal.is_some();
        let refused = any.then(|| self.model.claims().refused());
        Status {
            connected: problem.is_none() && self.status.pulls > 0,
            problem,
            decisions: self.model.decisions(),
            claims: self.model.claims().len(),
            waiting: self.model.waiting(),
            skipped: self.skipped.iter().map(count).collect(),
            refused: refused.unwrap_or_default(),
            kept: self.doubting.problem().map(str::to_owned),
            cut: self.model.is_cut(),
            daemon_problem: self.listing.problem().map(str::to_owned),
            ..self.status.clone()
        }
    }

    fn is_full_due(&self) -> bool {
        let Some((at, took)) = self.full else {
            return true;
        };
        let wished = self.model.is_unclear() || !self.is_listed;
        at.elapsed() >= self.config.full_every || wished && at.elapsed() >= took * SPARING
    }

    async fn pull(&mut self, full: bool) -> Result<Pulled, String> {
        let lapi = match self.lapi.take() {
            Some(lapi) => lapi,
            // The key or certificates may be new ones.
            None => Lapi::new(self.config).map_err(|error| error.to_string())?,
        };
        let pulled = lapi.pull(full, self.config, &mut self.names).await;
        self.lapi = Some(lapi);
        pulled.map_err(|error| error.to_string())
    }

    fn take(&mut self, pulled: &Pulled, full: bool, found: Option<&[Found]>) {
        self.asking.works();
        self.status.pulls += 1;
        self.status.last_success = Some(unix_seconds());
        if full {
            self.skipped.clear();
        }
        for (skip, count) in &pulled.skipped {
            *self.skipped.entry(*skip).or_default() += count;
        }
        for (skip, example) in &pulled.examples {
            if skip.is_problem() && self.logged.insert(skip.as_str()) {
                tracing::warn!(
                    "decisions of CrowdSec are not taken ({}), such as {example}; further ones are counted only",
                    skip.as_str()
                );
            }
        }
        if full {
            self.status.full_compares += 1;
            let judgement = self.model.full(&pulled.told, found, unix_seconds());
            self.judged(judgement);
        } else {
            self.model.delta(&pulled.told);
        }
        if full || !pulled.told.new.is_empty() || !pulled.told.deleted.is_empty() {
            self.status.ignored = self.model.ignored();
        }
        if self.model.is_cut() {
            let most = self.config.most;
            self.bounding.fails(&format!(
                "those behind the first {most} are not banned, and none is released by a full compare: raise `most`, or choose `origins`"
            ));
        } else {
            self.bounding.works();
        }
    }

    fn judged(&mut self, judgement: Judgement) {
        match judgement {
            Judgement::Believed { released } => {
                self.doubting.works();
                if released > 0 {
                    tracing::warn!(
                        "CrowdSec's full list lacks {}, and did not tell that they were deleted: released. If this repeats, another bouncer uses this token of Couic with another LAPI: give each bouncer a token of its own",
                        counted(
                            released as u64,
                            "network that was banned",
                            "networks that were banned"
                        )
                    );
                }
            }
            Judgement::Doubted { lacking, claimed } => {
                let again = self.config.full_every.as_secs();
                self.doubting.fails(&format!(
                    "it lacks {lacking} of {claimed} networks that are banned, and does not tell that they were deleted: has its database been replaced? They stay banned until they end, or until a list that is not empty says the same in {again} s; to release them now: couicctl drop delete --tag 'cs-*' --all-owners"
                ));
            }
        }
    }
}
