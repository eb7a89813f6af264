//! Who may log in: tokens as digests, and pauses after failed attempts.
//!
//! A login is compared with every user's digest in constant time. An address that fails repeatedly waits, longer each
//! time; the number of remembered addresses is bounded, and IPv6 addresses count by /64.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    path::Path,
    time::{Duration, Instant},
};

use couic_files::read_regular;
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};

use super::PageError;
use crate::config::{self, Role, Source, password};

/// The most addresses whose failures are remembered. Beyond that the one that failed longest ago is forgotten.
const MOST_ADDRESSES: usize = 4096;

/// Failures without a pause: people mistype.
const FREE_FAILURES: u32 = 5;

/// The longest pause, and how long a failure is remembered.
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// The largest token file.
const LARGEST_FILE: u64 = 4096;

/// A user, without its token.
#[derive(Debug)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) role: Role,
    digest: [u8; 32],
}

/// Failures of one address.
#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

/// All users, and the failures of strangers.
#[derive(Debug)]
pub(super) struct Users {
    all: Vec<User>,
    failures: Mutex<HashMap<IpAddr, Failures>>,
}

impl Users {
    pub(super) fn read(users: &[config::User]) -> Result<Self, PageError> {
        let mut all: Vec<User> = Vec::new();
        for user in users {
            let digest = digest(&secret(&user.token, password)?);
            if let Some(other) = all.iter().find(|other| other.digest == digest) {
                let names = (other.name.clone(), user.name.clone());
                return Err(PageError::SameToken(names.0, names.1));
            }
            all.push(User {
                name: user.name.clone(),
                role: user.role,
                digest,
            });
        }
        Ok(Self {
            all,
            failures: Mutex::default(),
        })
    }

    pub(super) fn get(&self, index: usize) -> Option<&User> {
        self.all.get(index)
    }

    /// How long an address still has to wait before its next attempt.
    pub(super) fn pause(&self, from: IpAddr, now: Instant) -> Option<Duration> {
        let failures = self.failures.lock();
        let of = failures.get(&network(from))?;
        let over = of.count.checked_sub(FREE_FAILURES)?;
        let pause = Duration::from_secs(4 << over.min(8)).min(LONGEST_PAUSE);
        let until = of.last + pause;
        (until > now).then(|| until - now)
    }

    /// The index of the user with this token, else the attempt is counted.
    pub(super) fn login(&self, token: &str, from: IpAddr, now: Instant) -> Option<usize> {
        let given = digest(token);
        let mut found = u32::MAX;
        for (index, user) in (0_u32..).zip(&self.all) {
            found.conditional_assign(&index, user.digest.ct_eq(&given));
        }
        let mut failures = self.failures.lock();
        let from = network(from);
        if let Ok(index) = usize::try_from(found)
            && index < self.all.len()
        {
            failures.remove(&from);
            return Some(index);
        }
        // As long again: else an attempt after the longest pause would start over.
        failures.retain(|_, of| now.duration_since(of.last) < 2 * LONGEST_PAUSE);
        if failures.len() >= MOST_ADDRESSES
            && !failures.contains_key(&from)
            && let Some(oldest) = failures.iter().min_by_key(|(_, of)| of.last)
        {
            let oldest = *oldest.0;
            failures.remove(&oldest);
        }
        let of = failures.entry(from).or_insert(Failures {
            count: 0,
            last: now,
        });
        of.count = of.count.saturating_add(1);
        of.last = now;
        None
    }
}

/// The address whose attempts count: of IPv6 the /64, which one machine has for itself.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// A secret from the configuration or its file. A file may have the form of the daemon's client files:
/// `token = "…"`.
pub(super) fn secret<T: Clone>(
    source: &Source<T>,
    check: fn(&str) -> Result<T, String>,
) -> Result<T, PageError> {
    let path = match source {
        Source::Here(secret) => return Ok(secret.expose().clone()),
        Source::File(path) => path,
    };
    let failed = |problem: String| PageError::File {
        path: path.clone(),
        problem,
    };
    let text = read_file(path, LARGEST_FILE).map_err(&failed)?;
    let text = String::from_utf8(text).map_err(|_| failed("is not UTF-8".to_owned()))?;
    let table: Option<toml::Table> = toml::from_str(&text).ok();
    let keyed = table.as_ref().and_then(|t| t.get("token")?.as_str());
    check(keyed.unwrap_or(text.trim())).map_err(failed)
}

/// A file of the configuration, with the usual mistake explained.
pub(super) fn read_file(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    read_regular(path, most).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => format!(
            "cannot be read: {error}; under systemd pass it with LoadCredential, and name it by its \
             path below /run/credentials"
        ),
        _ => format!("cannot be read: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use couic_settings::Secret;

    use super::*;

    fn users() -> Users {
        let user = |name: &str, role, token: &str| config::User {
            name: name.to_owned(),
            role,
            token: Source::Here(Secret::new(token.to_owned())),
        };
        Users::read(&[
            user("ana", Role::View, "0123456789abcdef"),
            user("bob", Role::Act, "fedcba9876543210"),
        ])
        .unwrap()
    }

    #[test]
    fn a_token_finds_its_user_only() {
        let (users, now) = (users(), Instant::now());
        let from = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(users.login("0123456789abcdef", from, now), Some(0));
        assert_eq!(users.login("fedcba9876543210", from, now), Some(1));
        for wrong in ["", "0123456789abcde", "0123456789abcdef ", "x"] {
            assert_eq!(users.login(wrong, from, now), None, "{wrong}");
        }
    }

    #[test]
    fn repeated_failures_of_a_network_pause_it_longer_and_longer() {
        let (users, mut now) = (users(), Instant::now());
        let from: IpAddr = "2001:db8:1:2::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8:1:2:ffff::9".parse().unwrap();
        for _ in 0..5 {
            assert_eq!(users.pause(from, now), None);
            assert_eq!(users.login("wrong", from, now), None);
        }
        let mut last = Duration::ZERO;
        for _ in 0..20 {
            let pause = users.pause(neighbour, now).unwrap();
            assert!(pause >= last && pause <= LONGEST_PAUSE, "{pause:?}");
            last = pause;
            now += pause;
            assert_eq!(users.pause(from, now), None);
            users.login("wrong", from, now);
        }
        assert_eq!(last, LONGEST_PAUSE);
        assert_eq!(users.pause([192, 0, 2, 1].into(), now), None);
        now += LONGEST_PAUSE;
        users.login("0123456789abcdef", from, now);
        users.login("wrong", from, now);
        assert_eq!(users.pause(from, now), None, "a success starts over");
    }

    #[test]
    fn the_number_of_remembered_addresses_is_bounded() {
        let (users, now) = (users(), Instant::now());
        for n in 0..5000_u32 {
            let later = now + Duration::from_millis(n.into());
            users.login("wrong", IpAddr::V4(n.into()), later);
        }
        assert_eq!(users.failures.lock().len(), MOST_ADDRESSES);
    }

    #[test]
    fn a_file_holds_the_bare_token_or_that_of_a_client_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let token = "b09d58a9-aaf1-4911-a592-040ff5dc45eb";
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            secret(&Source::File(path.clone()), config::daemon_token)
        };
        let expected: couic_client::Token = token.parse().unwrap();
        assert_eq!(read(&format!("{token}\n")).unwrap(), expected);
        let client = format!("name = \"x\"\ntoken = \"{token}\"\n");
        assert_eq!(read(&client).unwrap(), expected);
        let error = read("b09d58a9-secret").unwrap_err().to_string();
        assert!(
            error.contains("is not a UUID") && !error.contains("b09d"),
            "{error}"
        );
        let missing = Source::File(dir.path().join("none"));
        let error = secret(&missing, password).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
}
