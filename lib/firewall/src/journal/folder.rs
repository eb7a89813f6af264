//! The directory of the state and what its files are called.
//!
//! `journal-0000000007-1a2b3c4d.log` has changes, `….snap` all that held when the log of that number was begun. The
//! last part is the salt of the file's checksums. What could not be read whole is kept as `….damaged-TIME`.

use std::{
    fmt::Display,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use couic_files::{create_new, ensure_dir};

/// How many damaged files are kept. A disk that fails at every start must not be filled by that.
const MOST_KEPT: usize = 16;

/// What a file is for. In the order in which files of a number are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Snapshot,
    Log,
}

/// A file by what its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) number: u64,
    pub(super) kind: Kind,
    pub(super) salt: u32,
}

impl Name {
    pub(super) fn new(number: u64, kind: Kind) -> Self {
        let salt = uuid::Uuid::new_v4().as_fields().0;
        Self { number, kind, salt }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (stem, kind) = match text.rsplit_once('.')? {
            (stem, "log") => (stem, Kind::Log),
            (stem, "snap") => (stem, Kind::Snapshot),
            _ => return None,
        };
        let (number, salt) = stem.strip_prefix("journal-")?.split_once('-')?;
        let name = Self {
            number: number.parse().ok()?,
            salt: u32::from_str_radix(salt, 16).ok()?,
            kind,
        };
        (name.to_string() == text).then_some(name)
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = match self.kind {
            Kind::Log => "log",
            Kind::Snapshot => "snap",
        };
        write!(f, "journal-{:010}-{:08x}.{end}", self.number, self.salt)
    }
}

/// Why the state cannot be used, in a way that only the operator can mend.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Others could have put rules there, or the daemon may not read them.
    #[error("the state in {}: {problem}", path.display())]
    Untrusted {
        /// The directory or file.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// The directory.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

/// What is in it.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// In the order in which they are to be read.
    pub(super) files: Vec<Name>,
    /// Kept aside at earlier times, the oldest first.
    pub(super) kept: Vec<String>,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn path(&self, name: &dyn Display) -> PathBuf {
        self.0.join(name.to_string())
    }

    /// Makes the directory where it is missing.
    pub(super) fn ensure(&self) -> io::Result<()> {
        ensure_dir(&self.0, 0o700)
    }

    /// What is there. Removes what a crash left half-written.
    pub(super) fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for entry in fs::read_dir(&self.0)? {
            let Ok(text) = entry?.file_name().into_string() else {
                continue;
            };
            if let Some(name) = Name::parse(&text) {
                listing.files.push(name);
            } else if text.starts_with("journal-") && text.contains(".damaged-") {
                listing.kept.push(text);
            } else if text.starts_with("journal-") && text.ends_with(".tmp") {
                // Where it stays, it is overwritten by nobody and read by nobody.
                let _ = fs::remove_file(self.path(&text));
            }
        }
        listing.files.sort_unstable();
        listing.kept.sort_unstable();
        Ok(listing)
    }

    /// Whoever can write here decides on rules.
    pub(super) fn check(&self, files: &[Name]) -> Result<(), StateError> {
        if files.is_empty() {
            // The directory may be missing on a disk that takes no data.
            return Ok(());
        }
        let refuse = |path: &Path, problem: String| StateError::Untrusted {
            path: path.to_owned(),
            problem,
        };
        let look = |path: &Path| {
            fs::symlink_metadata(path).map_err(|e| refuse(path, format!("cannot look at it: {e}")))
        };
        let owner = look(&self.0)?.uid();
        for name in files {
            let path = self.path(name);
            let found = look(&path)?;
            let shown = path.display();
            if !found.is_file() {
                return Err(refuse(&path, "it is not a file: move it away".to_owned()));
            }
            if found.uid() != owner {
                let problem = format!(
                    "it does not belong to the owner of its directory: run chown --reference={} {shown}",
                    self.0.display()
                );
                return Err(refuse(&path, problem));
            }
            if found.mode() & 0o077 != 0 {
                let problem = format!("others may use it: run chmod 0600 {shown}");
                return Err(refuse(&path, problem));
            }
        }
        Ok(())
    }

    pub(super) fn open(&self, name: Name) -> io::Result<File> {
        File::open(self.path(&name))
    }

    /// A new file that the owner alone may use.
    pub(super) fn create(&self, name: &dyn Display) -> io::Result<File> {
        create_new(&self.path(name), 0o600)
    }

    /// Makes sure that names survive a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(&from), self.path(&to))
    }

    pub(super) fn remove(&self, name: &dyn Display) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    pub(super) fn exists(&self, name: &str) -> bool {
        // Where it cannot be told, it is taken to be there.
        fs::exists(self.path(&name)).unwrap_or(true)
    }

    /// Removes the oldest kept files beyond what is bearable. Returns their names.
    pub(super) fn forget_oldest(&self, kept: &mut Vec<String>) -> Vec<String> {
        let beyond = kept.len().saturating_sub(MOST_KEPT);
        let gone: Vec<String> = kept.drain(..beyond).collect();
        gone.into_iter()
            .filter(|name| self.remove(name).is_ok())
            .collect()
    }
}

/// What a damaged file is called from now on.
pub(super) fn damaged_name(name: Name) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    format!("{name}.damaged-{}", now.unwrap_or_default().as_secs())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let home = tempfile::tempdir().unwrap();
        let folder = Folder::new(&home.path().join("state"));
        folder.ensure().unwrap();
        (home, folder)
    }

    #[test]
    fn names_are_read_as_they_are_written_and_no_others() {
        let name = Name {
            number: 7,
            kind: Kind::Snapshot,
            salt: 0x1a_2b3c,
        };
        assert_eq!(name.to_string(), "journal-0000000007-001a2b3c.snap");
        assert_eq!(Name::parse(&name.to_string()), Some(name));
        let damaged = damaged_name(name);
        for other in [
            "journal-7-001a2b3c.snap",
            "journal-0000000007-001A2B3C.log",
            "journal-0000000007-001a2b3c.txt",
            "journal-0000000007.log",
            &damaged,
            "",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }

    #[test]
    fn a_listing_is_in_order_and_without_what_was_half_written() {
        let (_home, folder) = folder();
        let names = [
            Name::new(2, Kind::Log),
            Name::new(2, Kind::Snapshot),
            Name::new(1, Kind::Log),
        ];
        for name in names {
            folder.create(&name).unwrap();
        }
        folder.create(&"journal-x.tmp").unwrap();
        folder.create(&"notes").unwrap();
        let kept = damaged_name(names[2]);
        folder.create(&kept).unwrap();
        let listing = folder.list().unwrap();
        assert_eq!(listing.files, [names[2], names[1], names[0]]);
        assert_eq!(listing.kept, [kept]);
        assert!(!folder.exists("journal-x.tmp") && folder.exists("notes"));
        folder.check(&listing.files).unwrap();
    }

    #[test]
    fn what_others_could_have_written_is_refused_with_the_fix() {
        let (_home, folder) = folder();
        let name = Name::new(1, Kind::Log);
        folder.create(&name).unwrap();
        let path = folder.path(&name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let told = folder.check(&[name]).unwrap_err().to_string();
        let fix = format!("run chmod 0600 {}", path.display());
        assert!(told.ends_with(&fix), "{told}");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        let told = folder.check(&[name]).unwrap_err().to_string();
        assert!(told.contains("not a file"), "{told}");
        if nix::unistd::geteuid().is_root() {
            fs::remove_file(&path).unwrap();
            folder.create(&name).unwrap();
            std::os::unix::fs::chown(&path, Some(4242), None).unwrap();
            let told = folder.check(&[name]).unwrap_err().to_string();
            assert!(told.contains("run chown --reference="), "{told}");
        }
    }

    #[test]
    fn damaged_files_do_not_fill_the_disk() {
        let (_home, folder) = folder();
        let mut kept: Vec<String> = (0..MOST_KEPT + 3).map(|i| format!("d{i:02}")).collect();
        for name in &kept {
            folder.create(name).unwrap();
        }
        assert_eq!(folder.forget_oldest(&mut kept), ["d00", "d01", "d02"]);
        assert_eq!(kept.len(), MOST_KEPT);
        assert!(!folder.exists("d02") && folder.exists("d03"));
    }
}
