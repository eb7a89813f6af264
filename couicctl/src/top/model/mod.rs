//! What the screen knows: made from the answers of the API alone, without clocks, terminals or sockets.
//!
//! Memory is bounded: the history has ten minutes at one reading a second, at most 1,000 rules are kept, and lists from
//! the daemon are cut.

mod rules;
mod traffic;

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use couic_common::{
    ConfirmId, Confirmations, DaemonStatus, Health, NotifierInfo, PanicStatus, PeerInfo,
    PendingChange,
};

use super::{
    answer::{Answer, Report, Source, Trouble},
    changes::Change,
};
use crate::fill::TableFill;

pub(super) use rules::{Rule, RuleSort, Rules};
pub(super) use traffic::{Flow, Point, Tag, TagSort, Traffic};

/// The daemon does not answer.
#[derive(Clone, Debug)]
pub(super) struct Away {
    pub(super) since: Instant,
    pub(super) why: String,
    pub(super) retry: Duration,
    /// When the last attempt failed.
    pub(super) at: Instant,
}

/// All that the screen knows.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) traffic: Traffic,
    pub(super) rules: Rules,
    pub(super) changes: Vec<Change>,
    pub(super) health: Option<Box<Health>>,
    pub(super) panic: Option<PanicStatus>,
    pub(super) peers: Vec<PeerInfo>,
    pub(super) notifiers: Vec<NotifierInfo>,
    pub(super) status: Option<Box<DaemonStatus>>,
    pub(super) limits: Vec<TableFill>,
    pub(super) away: Option<Away>,
    /// Seconds by which the daemon's clock is ahead.
    pub(super) clock_ahead: i64,
    /// Seconds between readings.
    pub(super) period: u64,
    confirm: Confirmations,
    confirm_at: Option<Instant>,
    /// Changes of this screen that await confirmation.
    own: BTreeMap<ConfirmId, String>,
    troubles: HashMap<Source, Trouble>,
    news: Vec<String>,
}

impl Model {
    pub(super) fn new(period: Duration) -> Self {
        Self {
            period: period.as_secs(),
            ..Self::default()
        }
    }

    /// Takes a report. True if the round is complete, and the screen is worth drawing.
    pub(super) fn take(&mut self, report: Report, now: Instant) -> bool {
        match report {
            Report::Answer { at, answer } => {
                self.away = None;
                self.answer(at, answer);
                false
            }
            Report::Trouble(source, trouble) => {
                self.away = None;
                self.troubles.insert(source, trouble);
                false
            }
            Report::Away { why, retry } => {
                let since = self.away.as_ref().map_or(now, |away| away.since);
                self.away = Some(Away {
                    since,
                    why,
                    retry,
                    at: now,
                });
                self.traffic.gap();
                true
            }
            Report::Round { clock_ahead } => {
                self.clock_ahead = clock_ahead;
                true
            }
        }
    }

    fn answer(&mut self, at: Instant, answer: Answer) {
        let source = match answer {
            Answer::Health(health) => {
                if health.panic_since.is_none() {
                    self.panic = None;
                }
                self.health = Some(health);
                Source::Health
            }
            Answer::Traffic(metrics) => {
                self.traffic.take(*metrics, at);
                Source::Traffic
            }
            Answer::Confirm(all) => {
                self.confirmations(all, at);
                Source::Confirm
            }
            Answer::Rules(pages) => {
                pages.into_iter().for_each(|page| self.rules.take(page));
                Source::Rules
            }
            Answer::Changes(changes) => {
                self.changes = changes;
                Source::Changes
            }
            Answer::Peers(peers) => {
                self.peers = peers;
                Source::Peers
            }
            Answer::Notifiers(notifiers) => {
                self.notifiers = notifiers;
                Source::Notifiers
            }
            Answer::Panic(panic) => {
                self.panic = Some(panic).filter(|panic| panic.on);
                Source::Panic
            }
            Answer::Status(status) => {
                self.status = Some(status);
                Source::Status
            }
            Answer::Limits(limits) => {
                self.limits = limits;
                Source::Limits
            }
        };
        self.troubles.remove(&source);
    }

    fn confirmations(&mut self, all: Confirmations, at: Instant) {
        for undone in &all.reverted {
            if self.own.remove(&undone.id).is_some() {
                let text = format!("Undone, as it was not confirmed: {}", undone.summary);
                self.news.push(text);
            }
        }
        self.confirm = all;
        self.confirm_at = Some(at);
    }

    /// Records that a change of this screen awaits confirmation.
    pub(super) fn awaits(&mut self, id: ConfirmId, what: String) {
        self.own.insert(id, what);
    }

    /// Records that a change does not await confirmation any more.
    pub(super) fn settled(&mut self, ids: &[ConfirmId]) {
        self.own.retain(|id, _| !ids.contains(id));
        self.confirm
            .pending
            .retain(|change| !ids.contains(&change.id));
    }

    /// Changes that await confirmation, those of this screen first, with the seconds left.
    pub(super) fn pending(&self, now: Instant) -> Vec<(&PendingChange, u64)> {
        let elapsed = self
            .confirm_at
            .map_or(0, |at| now.duration_since(at).as_secs());
        let mut all: Vec<_> = self.confirm.pending.iter().collect();
        all.sort_by_key(|change| (!self.is_own(change.id), change.until));
        let left = |change: &PendingChange| change.left.saturating_sub(elapsed);
        all.into_iter()
            .map(|change| (change, left(change)))
            .collect()
    }

    /// Changes of this screen that await confirmation.
    pub(super) fn own(&self) -> Vec<&str> {
        self.own.values().map(String::as_str).collect()
    }

    /// The same, with the id.
    pub(super) fn own_ids(&self) -> Vec<ConfirmId> {
        self.own.keys().copied().collect()
    }

    /// Whether this screen made the change.
    pub(super) fn is_own(&self, id: ConfirmId) -> bool {
        self.own.contains_key(&id)
    }

    /// Why a source has no figures.
    pub(super) fn trouble(&self, source: Source) -> Option<String> {
        self.troubles
            .get(&source)
            .map(|trouble| trouble.text(source))
    }

    /// What happened since this was asked last.
    pub(super) fn news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }
}

#[cfg(test)]
mod tests {
    use couic_common::RevertedChange;

    use super::*;

    fn pending(id: u32, left: u64) -> PendingChange {
        PendingChange {
            id: ConfirmId::new(id),
            client: "couicctl".parse().unwrap(),
            summary: format!("change {id}"),
            made: 0,
            until: left,
            left,
            rules: 1,
            added: 1,
            removed: 0,
            sets: Vec::new(),
            problem: None,
        }
    }

    #[test]
    fn a_countdown_runs_between_answers_and_an_undo_is_told() {
        let start = Instant::now();
        let mut model = Model::default();
        model.awaits(ConfirmId::new(2), "ban".into());
        let all = Confirmations {
            pending: vec![pending(1, 30), pending(2, 60)],
            ..Confirmations::default()
        };
        let answer = |all| Report::Answer {
            at: start,
            answer: Answer::Confirm(all),
        };
        model.take(answer(all), start);
        let left = |model: &Model, secs| -> Vec<_> {
            let pending = model.pending(start + Duration::from_secs(secs));
            pending
                .iter()
                .map(|(change, left)| (change.id, *left))
                .collect()
        };
        // Own changes first.
        assert_eq!(
            left(&model, 0),
            [(ConfirmId::new(2), 60), (ConfirmId::new(1), 30)]
        );
        assert_eq!(
            left(&model, 40),
            [(ConfirmId::new(2), 20), (ConfirmId::new(1), 0)]
        );
        assert!(model.news().is_empty());
        let undone = |id| RevertedChange {
            id: ConfirmId::new(id),
            client: "couicctl".parse().unwrap(),
            summary: format!("change {id}"),
            at: 0,
            restored: 1,
            left_alone: Vec::new(),
        };
        let all = Confirmations {
            reverted: vec![undone(1), undone(2)],
            ..Confirmations::default()
        };
        model.take(answer(all), start);
        assert_eq!(model.news(), ["Undone, as it was not confirmed: change 2"]);
        assert!(left(&model, 0).is_empty());
    }

    #[test]
    fn a_daemon_that_is_away_keeps_its_first_moment() {
        let start = Instant::now();
        let mut model = Model::default();
        let away = || Report::Away {
            why: "gone".into(),
            retry: Duration::from_secs(2),
        };
        assert!(model.take(away(), start));
        model.take(away(), start + Duration::from_secs(5));
        assert_eq!(model.away.as_ref().unwrap().since, start);
        model.take(Report::Trouble(Source::Peers, Trouble::Denied), start);
        assert!(model.away.is_none());
        let text = model.trouble(Source::Peers).unwrap();
        assert!(text.contains("group monitoring or admin"), "{text}");
        let peers = Report::Answer {
            at: start,
            answer: Answer::Peers(Vec::new()),
        };
        model.take(peers, start);
        assert!(model.trouble(Source::Peers).is_none());
    }
}
