//! Reads the audit log, newest entries first.
//!
//! Work is bounded: files are read backwards in blocks, up to [`MOST_READ`] bytes for a search, and few searches run at
//! a time. Entries that cannot be read, as the one that is being written, are skipped.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use couic_common::{AuditEntry, Cidr, Policy, Tag, TagPattern, glob_matches};

use super::rolling::{AUDIT, files};

/// How much of the log a search reads at most, in bytes: some 300,000 entries.
const MOST_READ: u64 = 64 << 20;

/// How much is read at a time, in bytes.
const BLOCK: usize = 128 << 10;

/// Searches at a time.
const MOST_SEARCHES: usize = 4;

/// Entries are written within this time of what they tell, in seconds: a search goes back so much further.
const LATE: u64 = 60;

/// The audit log's files.
#[derive(Debug)]
pub struct AuditFiles {
    dir: PathBuf,
    searches: AtomicUsize,
}

/// Which entries are searched. What is not set matches all.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Not older, Unix seconds.
    pub since: Option<u64>,
    /// Not newer, Unix seconds.
    pub until: Option<u64>,
    /// Rules that cover this network, or lie in it.
    pub address: Option<Cidr>,
    /// The tag.
    pub tag: Option<TagPattern>,
    /// The actor's name, or its kind if it has none; with `*` as wildcard.
    pub actor: Option<String>,
    /// The action.
    pub action: Option<String>,
    /// The policy.
    pub policy: Option<Policy>,
}

/// The result of a search.
#[derive(Debug, Default)]
pub struct AuditFound {
    /// The newest first.
    pub entries: Vec<AuditEntry>,
    /// Set if the search ended at its bound: the time down to which the log was read, Unix seconds.
    pub read_down_to: Option<u64>,
}

/// Why a search was refused.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Too many searches run.
    #[error(
        "{MOST_SEARCHES} searches of the audit log are under way, which is the most: try again in a moment"
    )]
    Busy,
    /// A file cannot be read.
    #[error("reading the audit log failed: {0}")]
    Io(#[from] io::Error),
}

impl AuditFiles {
    /// Those in a directory of logs.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            searches: AtomicUsize::new(0),
        }
    }

    /// The newest entries that pass the filter, up to `limit`.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn search(&self, filter: &AuditFilter, limit: usize) -> Result<AuditFound, SearchError> {
        struct Place<'a>(&'a AtomicUsize);
        impl Drop for Place<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.searches.fetch_add(1, Ordering::Relaxed);
        let _place = Place(&self.searches);
        if before >= MOST_SEARCHES {
            return Err(SearchError::Busy);
        }
        self.search_within(filter, limit, MOST_READ)
    }

    fn search_within(
        &self,
        filter: &AuditFilter,
        limit: usize,
        most: u64,
    ) -> Result<AuditFound, SearchError> {
        let mut search = Search {
            filter,
            limit,
            left: most,
            oldest: None,
            found: Vec::new(),
        };
        let mut end = End::OfFile;
        for path in files(&self.dir, AUDIT)?.iter().rev() {
            end = match File::open(path) {
                Ok(file) => search.file(&file)?,
                // Deleted meanwhile, to make room.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error.into()),
            };
            if !matches!(end, End::OfFile) {
                break;
            }
        }
        Ok(AuditFound {
            entries: search.found,
            read_down_to: search.oldest.filter(|_| matches!(end, End::AtBound)),
        })
    }
}

/// Where the reading of a file ended.
enum End {
    OfFile,
    AtBound,
    Done,
}

struct Search<'a> {
    filter: &'a AuditFilter,
    limit: usize,
    /// Bytes that may still be read.
    left: u64,
    /// The time of the last entry that was read.
    oldest: Option<u64>,
    found: Vec<AuditEntry>,
}

impl Search<'_> {
    fn file(&mut self, file: &File) -> io::Result<End> {
        let mut from = file.metadata()?.len();
        // The beginning of the line that the last block ends in, and before it the block.
        let mut rest = Vec::new();
        let mut block = vec![0; BLOCK];
        while from > 0 {
            if self.left == 0 {
                return Ok(End::AtBound);
            }
            let size = BLOCK.min(usize::try_from(from.min(self.left)).unwrap_or(BLOCK));
            from -= size as u64;
            self.left -= size as u64;
            file.read_exact_at(&mut block[..size], from)?;
            let mut text = block[..size].to_vec();
            text.append(&mut rest);
            let start = match text.iter().position(|byte| *byte == b'\n') {
                _ if from == 0 => 0,
                Some(end) => end + 1,
                // No entry is that long.
                None => text.len(),
            };
            for line in text[start..].rsplit(|byte| *byte == b'\n') {
                if self.line(line) {
                    return Ok(End::Done);
                }
            }
            text.truncate(start);
            // Its end is no entry, so its beginning is none either.
            if text.len() > 2 * BLOCK {
                text.clear();
            }
            rest = text;
        }
        Ok(End::OfFile)
    }

    /// Whether the search is over with this line.
    fn line(&mut self, line: &[u8]) -> bool {
        let Ok(entry) = serde_json::from_slice::<AuditEntry>(line) else {
            return false;
        };
        self.oldest = Some(entry.at);
        let since = self.filter.since.unwrap_or(0);
        if entry.at.saturating_add(LATE) < since {
            return true;
        }
        if self.filter.takes(&entry) {
            self.found.push(entry);
        }
        self.found.len() >= self.limit
    }
}

impl AuditFilter {
    fn takes(&self, entry: &AuditEntry) -> bool {
        let is_in_time = self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at <= until);
        let touches = |wanted: Cidr| {
            let overlaps =
                |cidr: Cidr| cidr.contains(wanted.addr()) || wanted.contains(cidr.addr());
            entry.cidr.is_some_and(overlaps)
        };
        is_in_time
            && self
                .policy
                .is_none_or(|policy| entry.policy == Some(policy))
            && self
                .action
                .as_ref()
                .is_none_or(|action| entry.action == *action)
            && self.address.is_none_or(touches)
            && self.has_actor(entry)
            && self.tag.as_ref().is_none_or(|pattern| {
                entry.cidr.is_some() && pattern.matches(entry.tag.as_ref().map(Tag::as_str))
            })
    }

    fn has_actor(&self, entry: &AuditEntry) -> bool {
        let actor = &entry.actor;
        let name = actor.name.as_deref().unwrap_or(actor.kind.as_str());
        self.actor
            .as_ref()
            .is_none_or(|pattern| glob_matches(pattern, name))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use couic_common::{AuditActor, AuditActorKind};

    use super::*;
    use crate::logging::audit::line;

    /// Entry `n` is at second `n`, of client `c0` to `c2`, for 10.0.0.n.
    fn entry(n: u64) -> AuditEntry {
        let actor = AuditActor {
            kind: AuditActorKind::Client,
            name: Some(format!("c{}", n % 3)),
        };
        AuditEntry {
            cidr: format!("10.0.{}.{}/32", n / 256, n % 256).parse().ok(),
            policy: Some(Policy::Drop),
            tag: Tag::parse(if n.is_multiple_of(2) { "even" } else { "" }).unwrap(),
            ..AuditEntry::new(n, actor, if n == 7 { "removed" } else { "added" })
        }
    }

    fn log(dir: &Path) -> AuditFiles {
        for (name, range) in [
            ("audit.log.2026-11-20.2", 0..1_000),
            ("audit.log.2026-11-20.10", 1_000..4_000),
            ("audit.log.2026-11-21", 4_000..5_000),
        ] {
            let text: Vec<u8> = range.flat_map(|n| line(&entry(n))).collect();
            fs::write(dir.join(name), text).unwrap();
        }
        fs::write(dir.join("audit.log.bak"), line(&entry(9_999))).unwrap();
        AuditFiles::new(dir)
    }

    fn times(files: &AuditFiles, filter: &AuditFilter, limit: usize) -> Vec<u64> {
        let found = files.search(filter, limit).unwrap();
        assert_eq!(found.read_down_to, None);
        found.entries.iter().map(|entry| entry.at).collect()
    }

    #[test]
    fn entries_come_newest_first_across_files_and_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let files = log(dir.path());
        let expected: Vec<u64> = (0..5_000).rev().collect();
        assert_eq!(times(&files, &AuditFilter::default(), 10_000), expected);
        assert_eq!(
            times(&files, &AuditFilter::default(), 3),
            [4_999, 4_998, 4_997]
        );
    }

    #[test]
    fn filters_narrow_the_search() {
        let dir = tempfile::tempdir().unwrap();
        let files = log(dir.path());
        let all = AuditFilter::default;
        let of = |filter: AuditFilter| times(&files, &filter, 10_000);
        let between = AuditFilter {
            since: Some(3_999),
            until: Some(4_001),
            ..all()
        };
        assert_eq!(of(between), [4_001, 4_000, 3_999]);
        let address = |text: &str| AuditFilter {
            address: text.parse().ok(),
            ..all()
        };
        assert_eq!(of(address("10.0.0.9/32")), [9]);
        assert_eq!(of(address("10.0.3.0/31")), [769, 768]);
        assert_eq!(of(address("0.0.0.0/0")).len(), 5_000);
        assert_eq!(of(address("::/0")).len(), 0);
        let removed = AuditFilter {
            action: Some("removed".to_owned()),
            ..all()
        };
        assert_eq!(of(removed), [7]);
        let even_of_c1 = AuditFilter {
            tag: "ev*".parse().ok(),
            actor: Some("*1".to_owned()),
            until: Some(20),
            ..all()
        };
        assert_eq!(of(even_of_c1), [16, 10, 4]);
        let ignored = AuditFilter {
            policy: Some(Policy::Ignore),
            ..all()
        };
        assert_eq!(of(ignored).len(), 0);
    }

    #[test]
    fn a_search_ends_at_its_bound_and_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let files = log(dir.path());
        let filter = AuditFilter {
            action: Some("no such".to_owned()),
            ..AuditFilter::default()
        };
        let found = files.search_within(&filter, 1, 200_000).unwrap();
        let down_to = found.read_down_to.unwrap();
        assert!((3_000..4_000).contains(&down_to), "{down_to}");
        files.searches.store(MOST_SEARCHES, Ordering::Relaxed);
        let refused = files.search(&filter, 1).unwrap_err().to_string();
        assert!(refused.contains("4 searches"), "{refused}");
        assert_eq!(files.searches.load(Ordering::Relaxed), MOST_SEARCHES);
    }

    #[test]
    fn what_is_damaged_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let mut text = line(&entry(1));
        text.extend_from_slice(&[b'x'; 3 * BLOCK]);
        text.extend_from_slice(b"\n\xff\xfe\n{\"at\":5}\n\n");
        text.extend_from_slice(&line(&entry(2)));
        text.extend_from_slice(&line(&entry(3))[..20]);
        fs::write(dir.path().join("audit.log.2026-11-21"), text).unwrap();
        let files = AuditFiles::new(dir.path());
        assert_eq!(times(&files, &AuditFilter::default(), 9), [2, 1]);
        let gone = AuditFiles::new(&dir.path().join("gone"));
        assert!(matches!(
            gone.search(&AuditFilter::default(), 1),
            Err(SearchError::Io(_))
        ));
    }
}
