//! Countries and networks of addresses, from MaxMind databases that the configuration names.
//!
//! A database is read into memory, and again when the file changes. A file that is missing or broken is told in the log
//! once, and on the page; the last good one stays in use.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use maxminddb::{MaxMindDbError, Reader, geoip2};
use parking_lot::Mutex;
use tracing::{info, warn};

use super::access::read_file;

/// The largest database that is read.
const LARGEST: u64 = 256 << 20;

/// How often a file is looked at.
const LOOKED_AT: Duration = Duration::from_secs(30);

/// The longest name of a network that is shown.
const LONGEST_NAME: usize = 100;

/// What is known of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// ISO code and name: `FR France`.
    pub(super) country: Option<String>,
    /// Number and organisation: `AS64500 Example`.
    pub(super) network: Option<String>,
}

#[derive(Debug, Default)]
struct Database {
    path: PathBuf,
    stamp: Option<(SystemTime, u64)>,
    reader: Option<Arc<Reader<Vec<u8>>>>,
    problem: Option<String>,
}

/// All databases.
#[derive(Debug)]
pub(super) struct Geo(Mutex<Databases>);

#[derive(Debug)]
struct Databases {
    all: Vec<Database>,
    looked: Instant,
}

impl Geo {
    pub(super) fn open(paths: &[PathBuf]) -> Self {
        let database = |path: &PathBuf| {
            let path = path.clone();
            let mut database = Database {
                path,
                ..Database::default()
            };
            database.refresh();
            database
        };
        let all = paths.iter().map(database).collect();
        Self(Mutex::new(Databases {
            all,
            looked: Instant::now(),
        }))
    }

    /// Whether there are databases: without, there is nothing to show.
    pub(super) fn is_configured(&self) -> bool {
        !self.0.lock().all.is_empty()
    }

    /// What the databases say about an address. Reads files: for a blocking thread.
    pub(super) fn place(&self, ip: IpAddr) -> Place {
        let readers: Vec<_> = {
            let mut databases = self.0.lock();
            databases.refresh();
            databases
                .all
                .iter()
                .filter_map(|d| d.reader.clone())
                .collect()
        };
        let mut place = Place::default();
        for reader in readers {
            place.country = place
                .country
                .or_else(|| country(&reader, ip).ok().flatten());
            place.network = place
                .network
                .or_else(|| network(&reader, ip).ok().flatten());
        }
        place
    }

    /// The problem of each database that has one.
    pub(super) fn problems(&self) -> Vec<String> {
        let databases = self.0.lock();
        let told = |d: &Database| Some(format!("{}: {}", d.path.display(), d.problem.as_ref()?));
        databases.all.iter().filter_map(told).collect()
    }
}

impl Databases {
    fn refresh(&mut self) {
        if self.looked.elapsed() >= LOOKED_AT {
            self.looked = Instant::now();
            self.all.iter_mut().for_each(Database::refresh);
        }
    }
}

impl Database {
    /// Reads the file if it is another one than before.
    fn refresh(&mut self) {
        let stamp = stamp(&self.path);
        if stamp.is_some() && stamp == self.stamp {
            return;
        }
        self.stamp = stamp;
        match read(&self.path) {
            Ok(reader) => {
                info!("page: {} is in use", self.path.display());
                self.reader = Some(Arc::new(reader));
                self.problem = None;
            }
            Err(problem) => {
                let problem = match self.reader {
                    Some(_) => format!("{problem}; the previous one stays in use"),
                    None => problem,
                };
                if self.problem.as_ref() != Some(&problem) {
                    warn!("page: {}: {problem}", self.path.display());
                }
                self.problem = Some(problem);
            }
        }
    }
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let about = fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len()))
}

fn read(path: &Path) -> Result<Reader<Vec<u8>>, String> {
    let bytes = read_file(path, LARGEST)?;
    let broken = |error: MaxMindDbError| format!("is not a MaxMind database: {error}");
    let reader = Reader::from_source(bytes).map_err(broken)?;
    // One lookup finds a file that was cut.
    let probe = IpAddr::from([1, 1, 1, 1]);
    country(&reader, probe)
        .and_then(|_| network(&reader, probe))
        .map_err(broken)?;
    Ok(reader)
}

fn country(reader: &Reader<Vec<u8>>, ip: IpAddr) -> Result<Option<String>, MaxMindDbError> {
    let Some(found) = reader.lookup(ip)?.decode::<geoip2::Country<'_>>()? else {
        return Ok(None);
    };
    let name = found.country.names.english.unwrap_or_default();
    let code = found.country.iso_code;
    Ok(code.map(|code| cut(format!("{code} {name}").trim_end())))
}

fn network(reader: &Reader<Vec<u8>>, ip: IpAddr) -> Result<Option<String>, MaxMindDbError> {
    let Some(found) = reader.lookup(ip)?.decode::<geoip2::Asn<'_>>()? else {
        return Ok(None);
    };
    let name = found.autonomous_system_organization.unwrap_or_default();
    let number = found.autonomous_system_number;
    Ok(number.map(|number| cut(format!("AS{number} {name}").trim_end())))
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by fixtures/make_mmdb.py.
    const SAMPLE: &[u8] = include_bytes!("fixtures/sample.mmdb");

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_database_says_country_and_network() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sample.mmdb");
        fs::write(&path, SAMPLE).unwrap();
        let geo = Geo::open(std::slice::from_ref(&path));
        let place = geo.place(ip("203.0.113.9"));
        assert_eq!(place.country.as_deref(), Some("FR France"));
        assert_eq!(place.network.as_deref(), Some("AS64500 Example Hosting"));
        let place = geo.place(ip("2001:db8::7"));
        assert_eq!(place.country.as_deref(), Some("NL Netherlands"));
        assert_eq!(geo.place(ip("192.0.2.1")), Place::default());
        assert!(geo.problems().is_empty() && geo.is_configured());
    }

    #[test]
    fn a_broken_file_is_told_and_the_previous_one_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sample.mmdb");
        let geo = Geo::open(std::slice::from_ref(&path));
        assert!(
            geo.problems()[0].contains("cannot be read"),
            "{:?}",
            geo.problems()
        );
        let refresh = || geo.0.lock().all.iter_mut().for_each(Database::refresh);
        fs::write(&path, SAMPLE).unwrap();
        refresh();
        assert!(geo.problems().is_empty());
        for broken in [&b"no database"[..], &SAMPLE[..SAMPLE.len() / 2], &[0; 100]] {
            fs::write(&path, broken).unwrap();
            refresh();
            let problem = &geo.problems()[0];
            assert!(
                problem.contains("not a MaxMind database") && problem.ends_with("stays in use"),
                "{problem}"
            );
            assert!(geo.place(ip("203.0.113.9")).country.is_some());
        }
        fs::write(&path, SAMPLE).unwrap();
        refresh();
        assert!(geo.problems().is_empty());
    }

    #[test]
    fn any_damage_of_a_database_gives_no_panic() {
        for at in 0..SAMPLE.len() {
            let mut bytes = SAMPLE.to_vec();
            bytes[at] ^= 0x55;
            let Ok(reader) = Reader::from_source(bytes) else {
                continue;
            };
            for address in ["203.0.113.9", "2001:db8::7", "::"] {
                drop(country(&reader, ip(address)));
                drop(network(&reader, ip(address)));
            }
        }
    }
}
