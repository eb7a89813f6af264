//! The loop of a consumer: pulls, hands over what changes as fast as the daemon takes it, and waits.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use couic_client::common::ErrorCode;
use couic_common::{Backoff, unix_seconds};
use couic_inject::{Ignored, Injector, Refusal, Rule, Told};
use serde_json::Map;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    Config, Status,
    claims::{Before, Change, Found, Key, Refused},
    cover::Cover,
    decision::Skip,
    lapi::{Lapi, Pulled},
    model::{Judgement, Model, Rules},
    names::{Names, PREFIX},
};

/// The first and the longest pause after failures in a row.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How many rules may wait in the injector: it holds more, and drops what is beyond.
const MOST_PENDING: usize = 100_000;

/// How many networks are handled at a time.
const CHUNK: usize = 1_024;

/// How soon the rest is handed over when the injector is full.
const PATIENCE: Duration = Duration::from_millis(50);

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
        Status {
            connected: problem.is_none() && self.status.pulls > 0,
            problem,
            decisions: self.model.decisions(),
            claims: self.model.claims().len(),
            waiting: self.model.waiting(),
            skipped: self.skipped.iter().map(count).collect(),
            refused: self.model.claims().refused(),
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
            self.status.ignored = self.model.ignored();
        } else {
            self.model.delta(&pulled.told);
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
            Judgement::Believed => self.doubting.works(),
            Judgement::Doubted { lacking, claimed } => {
                let again = self.config.full_every.as_secs();
                self.doubting.fails(&format!(
                    "it lacks {lacking} of {claimed} networks that are banned, and does not tell that they were deleted: has its database been replaced? They stay banned until they end, or until a list that is not empty says the same in {again} s; to release them now: couicctl drop delete --tag 'cs-*'"
                ));
            }
        }
    }

    /// The claims of the daemon. None unless it has been told everything.
    async fn list(&mut self) -> Option<Vec<Found>> {
        if self.model.waiting() > 0 || self.injector.figures().pending > 0 {
            return None;
        }
        let mut found = Vec::new();
        let names = &mut self.names;
        let pattern = format!("{PREFIX}*");
        let read = self.injector.claims(&pattern, self.config.most, |claim| {
            let key = Key {
                cidr: claim.cidr.into(),
                tag: names.tag(&claim.tag),
            };
            let until = if claim.until == 0 {
                u64::MAX
            } else {
                claim.until
            };
            found.push(Found { key, until });
        });
        match read.await {
            Ok(is_cut) => {
                self.listing.works();
                self.is_listed = true;
                (!is_cut).then_some(found)
            }
            Err(error) => {
                self.listing.fails(&error.to_string());
                None
            }
        }
    }

    /// What the daemon refused, and its ignore list.
    fn hear_daemon(&mut self) {
        for refusal in self.injector.take_refusals() {
            self.refused(&refusal);
        }
        let ignored = self.injector.ignored();
        let is_same = match (&ignored, &self.ignored) {
            (Some(new), Some(old)) => Arc::ptr_eq(new, old),
            (None, _) => true,
            (Some(_), None) => false,
        };
        if !is_same {
            let nets = ignored.as_ref().map_or(&[][..], |ignored| &ignored.nets);
            self.model.ignore(Cover::of(nets));
            self.ignored = ignored;
        }
    }

    fn refused(&mut self, refusal: &Refusal) {
        let why = match (refusal.rail, refusal.code) {
            (Some(rail), _) => Refused::Ever(rail.as_str()),
            (None, ErrorCode::Forbidden) => Refused::Ever("forbidden"),
            (None, ErrorCode::Invalid | ErrorCode::BadRequest) => Refused::Ever("invalid"),
            (None, _) => Refused::ForNow("other"),
        };
        let key = Key {
            cidr: refusal.cidr.into(),
            tag: self.names.tag(&refusal.tag),
        };
        self.model.refuse(key, why);
        let text = format!("{}: {}", refusal.cidr, refusal.message);
        if self.logged.insert(why.reason()) {
            tracing::warn!(
                "the daemon refuses bans of CrowdSec ({}), such as {text}; further ones are counted only",
                why.reason()
            );
        }
        self.status.refusal = Some(text);
    }

    /// Hands over what changes, as far as the injector has room.
    async fn settle(&mut self) {
        while self.model.waiting() > 0 && self.injector.figures().pending < MOST_PENDING {
            let now = unix_seconds();
            for _ in 0..CHUNK {
                let (injector, names, status) = (self.injector, &self.names, &mut self.status);
                let tell = |change| tell(change, injector, names, status);
                if !self.model.settle_next(now, tell) {
                    break;
                }
            }
            tokio::task::yield_now().await;
        }
    }
}

fn tell(change: Change, injector: &Injector, names: &Names, status: &mut Status) {
    let (key, until, reason, before) = match change {
        Change::Release(key) => {
            status.removed += 1;
            injector.remove(key.cidr.into(), &names.tag_name(key.tag));
            return;
        }
        Change::Ban {
            key,
            until,
            reason,
            before,
        } => (key, until, reason, before),
    };
    let tag = names.tag_name(key.tag).to_string();
    match before {
        Before::Nothing => status.added += 1,
        Before::Shorter => status.renewed += 1,
        Before::Longer => {
            status.renewed += 1;
            // Of two bans that wait, the longer would count; behind a removal, the new one does.
            injector.remove(key.cidr.into(), &tag);
        }
    }
    injector.ban(Rule {
        cidr: key.cidr.into(),
        tag,
        until,
        kind: "crowdsec".to_owned(),
        detail: names.reason_name(reason).to_string(),
        extra: Map::new(),
    });
}
