//! The daemon's side: what it holds, refuses and ignores, and what it is told.

use std::sync::Arc;

use couic_client::common::ErrorCode;
use couic_common::unix_seconds;
use couic_inject::{Injector, Refusal, Rule};
use serde_json::Map;
use tokio::time::Instant;

use super::{LISTENING, Worker};
use crate::{
    Status,
    claims::{Before, Change, Found, Key, Refused},
    cover::Cover,
    names::{Names, PREFIX},
};

/// How many rules may wait in the injector: it holds more, and drops what is beyond.
const MOST_PENDING: usize = 100_000;

/// How many networks are handled at a time.
const CHUNK: usize = 1_024;

impl Worker<'_> {
    /// The claims of the daemon. None unless it has been told everything.
    pub(super) async fn list(&mut self) -> Option<Vec<Found>> {
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
    pub(super) fn hear_daemon(&mut self) {
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
            self.status.ignored = self.model.ignored();
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

    /// What the daemon ignores is not known yet: a ban might be in vain, and stay if this ends before it is taken back.
    fn is_held(&mut self) -> bool {
        if !self.injector.awaits_ignored() {
            return false;
        }
        // A daemon that is away takes no bans either.
        if self.injector.figures().ignored_problem.is_some() {
            self.held_since = None;
            return true;
        }
        let since = *self.held_since.get_or_insert_with(Instant::now);
        since.elapsed() < LISTENING
    }

    /// Hands over what changes, as far as the injector has room.
    pub(super) async fn settle(&mut self) {
        if self.is_held() {
            return;
        }
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
