//! What the reader of the API tells the model: answers, and why there is none.

use std::time::{Duration, Instant};

use couic_client::ClientError;
use couic_common::{
    Cidr, Confirmations, DaemonStatus, Entry, Health, Metrics, NotifierInfo, PanicStatus, PeerInfo,
    Policy,
};

use super::changes::Change;
use crate::{failure::Failure, fill::TableFill};

/// A part of the API that the screen reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    Health,
    Traffic,
    Confirm,
    Rules,
    Changes,
    Peers,
    Notifiers,
    Panic,
    Status,
    Limits,
}

impl Source {
    /// In the order in which they are read.
    pub(super) const ALL: [Self; 10] = [
        Self::Health,
        Self::Traffic,
        Self::Confirm,
        Self::Rules,
        Self::Changes,
        Self::Peers,
        Self::Notifiers,
        Self::Panic,
        Self::Status,
        Self::Limits,
    ];

    /// It is read each so many rounds.
    pub(super) const fn every(self) -> u64 {
        match self {
            Self::Health | Self::Traffic | Self::Confirm | Self::Rules => 1,
            Self::Changes => 2,
            Self::Peers | Self::Notifiers | Self::Panic => 5,
            Self::Status | Self::Limits => 30,
        }
    }

    /// The groups whose tokens may read it.
    pub(super) const fn groups(self) -> &'static str {
        match self {
            Self::Rules | Self::Changes => "clientro, clientrw or admin",
            Self::Health | Self::Confirm | Self::Panic => "any that exists",
            Self::Traffic | Self::Peers | Self::Notifiers | Self::Status | Self::Limits => {
                "monitoring or admin"
            }
        }
    }
}

/// An answer of the daemon, bounded in number where it is a list.
#[derive(Debug)]
pub(super) enum Answer {
    Health(Box<Health>),
    Traffic(Box<Metrics>),
    Confirm(Confirmations),
    Rules(Vec<Page>),
    Changes(Vec<Change>),
    Peers(Vec<PeerInfo>),
    Notifiers(Vec<NotifierInfo>),
    Panic(PanicStatus),
    Status(Box<DaemonStatus>),
    Limits(Vec<TableFill>),
}

/// A page of the rules of a policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Page {
    pub(super) policy: Policy,
    /// The page begins after this rule; `None` = with the first.
    pub(super) after: Option<Cidr>,
    /// Its last rule; `None` = it reaches the end of the list.
    pub(super) last: Option<Cidr>,
    /// With hits per second, if the daemon counts them and the page was read twice.
    pub(super) rules: Vec<(Entry, Option<f64>)>,
}

/// Why a source has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The token's group may not read it.
    Denied,
    /// This daemon does not have it.
    Missing,
    /// The daemon refused for another reason.
    Refused(String),
}

/// What the reader reports.
#[derive(Debug)]
pub(super) enum Report {
    Answer {
        at: Instant,
        answer: Answer,
    },
    Trouble(Source, Trouble),
    /// The daemon does not answer; the next attempt is after this time.
    Away {
        why: String,
        retry: Duration,
    },
    /// A round is complete. Seconds by which the daemon's clock is ahead.
    Round {
        clock_ahead: i64,
    },
}

impl Trouble {
    /// The trouble, or the error if it is that the daemon is away.
    pub(super) fn of(error: ClientError) -> Result<Self, ClientError> {
        match error.http_status() {
            Some(401 | 403) => Ok(Self::Denied),
            Some(404 | 405 | 501) => Ok(Self::Missing),
            // A proxy, for a daemon behind it; the daemon itself may be busy.
            Some(502..=504) if error.status().is_none() => Err(error),
            None => Err(error),
            Some(_) => Ok(Self::Refused(Failure::from(error).text())),
        }
    }

    /// A sentence in place of the figures.
    pub(super) fn text(&self, source: Source) -> String {
        match self {
            Self::Denied => format!(
                "This token may not read this: it takes one of group {}.",
                source.groups()
            ),
            Self::Missing => {
                "This daemon does not serve this: it is older than couicctl, or it is off."
                    .to_owned()
            }
            Self::Refused(why) => format!("The daemon refused this: {why}"),
        }
    }
}
