//! Sessions: in memory, bounded, ended by time, logout or a restart.
//!
//! The cookie is random and kept as its digest only. The form token of a session is in every form of its pages.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

/// The most sessions. Beyond, the one used longest ago ends.
const MOST_SESSIONS: usize = 256;

/// A session that is not used this long ends.
const IDLE: Duration = Duration::from_secs(2 * 3600);

/// The name of the cookie over TLS; browsers then take it from this host and over TLS only.
const SECURE_NAME: &str = "__Host-couic";

/// The name of the cookie without TLS.
const PLAIN_NAME: &str = "couic";

/// A logged-in user.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// The user's index.
    pub(super) user: usize,
    /// What a form of this session must contain.
    pub(super) form_token: String,
}

/// How a change ended, for the next page that the user sees.
pub(super) type Notice = Result<String, String>;

#[derive(Debug)]
struct Kept {
    session: Session,
    notice: Option<Notice>,
    ends: Instant,
    used: Instant,
}

type Key = [u8; 32];

/// All sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    lasts: Duration,
    all: Mutex<HashMap<Key, Kept>>,
}

impl Sessions {
    pub(super) fn new(lasts: Duration) -> Self {
        Self {
            lasts,
            all: Mutex::default(),
        }
    }

    /// Starts a session, and returns the value of its `Set-Cookie` header.
    pub(super) fn start(&self, user: usize, secure: bool, now: Instant) -> String {
        let id = random();
        let kept = Kept {
            session: Session {
                user,
                form_token: random(),
            },
            notice: None,
            ends: now + self.lasts,
            used: now,
        };
        let mut all = self.all.lock();
        all.retain(|_, kept| kept.is_live(now));
        if all.len() >= MOST_SESSIONS
            && let Some(idlest) = all.iter().min_by_key(|(_, kept)| kept.used)
        {
            let idlest = *idlest.0;
            all.remove(&idlest);
            tracing::warn!("page: {MOST_SESSIONS} sessions: the one used longest ago was ended");
        }
        all.insert(key(&id), kept);
        cookie(&id, secure, self.lasts)
    }

    /// The session of a request's cookies.
    pub(super) fn find(&self, cookies: &[&str], secure: bool, now: Instant) -> Option<Session> {
        let mut all = self.all.lock();
        let kept = all.get_mut(&key(id_of(cookies, secure)?))?;
        if !kept.is_live(now) {
            return None;
        }
        kept.used = now;
        Some(kept.session.clone())
    }

    /// Leaves a notice for the next page of a session.
    pub(super) fn leave(&self, cookies: &[&str], secure: bool, notice: Notice) {
        let id = id_of(cookies, secure).unwrap_or_default();
        if let Some(kept) = self.all.lock().get_mut(&key(id)) {
            kept.notice = Some(notice);
        }
    }

    /// The notice that was left; it is shown once.
    pub(super) fn notice(&self, cookies: &[&str], secure: bool) -> Option<Notice> {
        let id = id_of(cookies, secure)?;
        self.all.lock().get_mut(&key(id))?.notice.take()
    }

    /// Ends a session, and returns the header that removes its cookie.
    pub(super) fn end(&self, cookies: &[&str], secure: bool) -> String {
        if let Some(id) = id_of(cookies, secure) {
            self.all.lock().remove(&key(id));
        }
        cookie("", secure, Duration::ZERO)
    }
}

impl Kept {
    fn is_live(&self, now: Instant) -> bool {
        now < self.ends && now.saturating_duration_since(self.used) < IDLE
    }
}

impl Session {
    /// Whether a form is of this session, in constant time.
    pub(super) fn owns(&self, form_token: &str) -> bool {
        self.form_token
            .as_bytes()
            .ct_eq(form_token.as_bytes())
            .into()
    }
}

/// 244 random bits.
fn random() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

fn key(id: &str) -> Key {
    Sha256::digest(id).into()
}

fn cookie(id: &str, secure: bool, lasts: Duration) -> String {
    let (name, more) = if secure {
        (SECURE_NAME, "; Secure")
    } else {
        (PLAIN_NAME, "")
    };
    let age = lasts.as_secs();
    format!("{name}={id}; Path=/; HttpOnly; SameSite=Strict; Max-Age={age}{more}")
}

fn id_of<'c>(cookies: &[&'c str], secure: bool) -> Option<&'c str> {
    let name = if secure { SECURE_NAME } else { PLAIN_NAME };
    let pairs = cookies.iter().flat_map(|line| line.split(';'));
    let mut pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, id)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn sent(header: &str) -> &str {
        header.split(';').next().unwrap()
    }

    #[test]
    fn a_session_is_found_by_its_cookie_until_it_ends() {
        let (sessions, now) = (Sessions::new(3 * HOUR), Instant::now());
        let header = sessions.start(7, false, now);
        assert!(header.contains("; HttpOnly; SameSite=Strict; Max-Age=10800"));
        assert!(header.starts_with("couic=") && !header.contains("Secure"));
        let cookies = ["a=b", sent(&header)];
        let found = sessions.find(&cookies, false, now).unwrap();
        assert_eq!(found.user, 7);
        assert!(found.owns(&found.form_token) && !found.owns("") && !found.owns("x"));
        assert!(
            sessions.find(&cookies, true, now).is_none(),
            "a plain cookie over TLS"
        );
        assert!(sessions.find(&["couic=0"], false, now).is_none());
        // It is used, and so not idle, but ends after its time.
        assert!(
            sessions
                .find(&cookies, false, now + 2 * HOUR - HOUR / 2)
                .is_some()
        );
        assert!(sessions.find(&cookies, false, now + 3 * HOUR).is_none());
    }

    #[test]
    fn an_idle_session_ends_and_a_logout_ends_it_at_once() {
        let (sessions, now) = (Sessions::new(12 * HOUR), Instant::now());
        let header = sessions.start(0, true, now);
        assert!(header.starts_with("__Host-couic=") && header.ends_with("; Secure"));
        let cookies = [sent(&header)];
        assert!(sessions.find(&cookies, true, now + 2 * HOUR).is_none());
        let removed = sessions.end(&cookies, true);
        assert!(removed.contains("Max-Age=0"), "{removed}");
        assert!(sessions.find(&cookies, true, now).is_none());
    }

    #[test]
    fn the_number_of_sessions_is_bounded() {
        let (sessions, now) = (Sessions::new(HOUR), Instant::now());
        let first = sessions.start(0, false, now);
        for n in 1..=300 {
            sessions.start(n, false, now + Duration::from_millis(n as u64));
        }
        assert_eq!(sessions.all.lock().len(), MOST_SESSIONS);
        assert!(sessions.find(&[sent(&first)], false, now).is_none());
    }
}
