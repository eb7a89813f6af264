//! The web page: what firewalls report, why an address is blocked, and the undo of a ban.
//!
//! What holds:
//! - It is off unless configured, and shows nothing without a login. Every answer has the headers of [`reply`].
//! - Reports are not affected: the page has a listener, connections, and request places of its own ([`serve`]), and reads
//!   the history only.
//! - A change needs a session of role `act`, the session's form token, and the page's own origin ([`origin`]). The daemon
//!   undoes it after [`act::WITHIN`] unless it is confirmed, and guards the viewer's address.
//! - Requests, sessions, login attempts and answers of daemons are bounded in number and size.
//! - It works without script; scripts only refresh and enlarge.

mod access;
mod act;
mod assets;
mod chart;
mod daemon;
mod form;
mod geo;
mod login;
mod origin;
mod panels;
mod reply;
mod route;
mod serve;
mod session;
mod text;
mod view;

use std::{path::PathBuf, sync::Arc};

use couic_client::SetupError;
use couic_delivery::NotificationDispatcher;
use couic_httpd::ConnectionCounts;

pub(crate) use self::serve::serve;
use self::{access::Users, daemon::Fleet, geo::Geo, session::Sessions};
use crate::{
    config::{self, Config},
    history::History,
    state::Journal,
};

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// A file of the configuration cannot be used.
    #[error("[page]: {path}: {problem}")]
    File {
        /// The file.
        path: PathBuf,
        /// The problem. Never quotes the file.
        problem: String,
    },
    /// Two users have one token.
    #[error("[page]: the users {0} and {1} have the same token: give each one of its own")]
    SameToken(String, String),
    /// The client of a daemon cannot be built.
    #[error("[page]: firewall {name}: {source}")]
    Client {
        /// The firewall.
        name: String,
        /// The cause.
        source: SetupError,
    },
}

/// What the page shows, and whom.
pub(crate) struct Page {
    settings: config::Page,
    /// Facts of the configuration for the page of settings, without secrets.
    facts: Vec<(&'static str, String)>,
    users: Users,
    sessions: Sessions,
    fleet: Fleet,
    geo: Geo,
    history: History,
    journal: Journal,
    dispatcher: Arc<NotificationDispatcher>,
    connections: Arc<ConnectionCounts>,
}

impl Page {
    /// What becomes of connections to the page, for the metrics.
    pub(crate) fn connections(&self) -> Arc<ConnectionCounts> {
        Arc::clone(&self.connections)
    }

    /// Reads the secrets and databases that the configuration names. `Ok(None)` if there is no page.
    ///
    /// # Errors
    /// If a token or certificate file cannot be used. A broken database is shown on the page instead.
    pub(crate) fn open(
        config: &Config,
        journal: Journal,
        dispatcher: Arc<NotificationDispatcher>,
    ) -> Result<Option<Self>, PageError> {
        let Some(settings) = config.page.clone() else {
            return Ok(None);
        };
        let (users, fleet) = secrets(&settings)?;
        Ok(Some(Self {
            facts: panels::facts(config, &settings),
            users,
            sessions: Sessions::new(settings.session),
            fleet,
            geo: Geo::open(&settings.mmdb),
            settings,
            history: journal.history().clone(),
            journal,
            dispatcher,
            connections: Arc::default(),
        }))
    }
}

/// Whether the files that `[page]` names can be used, for `check-config`.
///
/// # Errors
/// The first that cannot.
pub fn check(settings: &config::Page) -> Result<(), PageError> {
    secrets(settings).map(drop)
}

fn secrets(settings: &config::Page) -> Result<(Users, Fleet), PageError> {
    Ok((
        Users::read(&settings.users)?,
        Fleet::build(&settings.firewalls)?,
    ))
}

#[cfg(test)]
mod tests;
