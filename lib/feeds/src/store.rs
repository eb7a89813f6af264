//! What is kept of feeds on the disk, in a directory of mode 0700: `NAME.list`, the last good list; `NAME.held`, the one that
//! is held back; `NAME.state`, what is in force and when the list was last confirmed.
//!
//! Guarantees: a list is whole, with the checksum that its first line tells, or it is not there; it is replaced at once, and
//! a list that is accepted is exactly the one that was held back. All files together are bounded. If the
//! state is lost, the set that the daemon has is the measure for the next list.

use std::{
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use couic_common::{Networks, Policy, list_entries, list_networks};
use couic_files::{ensure_dir, read_regular, remove_file, replace_file};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{fetch::Validators, sieve::Dropped};

/// The beginning of a list's first line; the rest is [`Head`].
const HEAD: &str = "# couic feed ";

/// The largest list: 8 M networks of IPv6.
const LARGEST_LIST: u64 = 512 << 20;

const LARGEST_STATE: u64 = 64 << 10;

/// The most files that are looked at.
const MOST_FILES: usize = 4096;

/// What is known of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The checksum of what follows the first line.
    pub(crate) sha256: String,
    pub(crate) fetched_at: u64,
    pub(crate) policy: Policy,
    /// Of the feed's origin: [`crate::Feed::fingerprint`].
    pub(crate) fingerprint: String,
    pub(crate) validators: Validators,
    pub(crate) entries: u64,
    /// Merged.
    pub(crate) networks: u64,
    pub(crate) is_terminated: bool,
    pub(crate) dropped: Dropped,
    /// Of one that is held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) held: Option<HeldBack>,
}

/// Why a list is held back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct HeldBack {
    pub(crate) why: String,
    pub(crate) change: Option<crate::judge::Change>,
}

/// What outlives a restart besides lists.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// When the feed was configured.
    pub(crate) since: u64,
    /// When the last good list was last confirmed to be the current one.
    pub(crate) confirmed_at: u64,
    pub(crate) in_force: Option<InForce>,
    /// Networks of the last good list, should it be lost.
    pub(crate) networks: u64,
    /// The operator lets the feed replace a set that it has not written.
    pub(crate) takes_over: bool,
}

/// What the daemon was given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct InForce {
    pub(crate) policy: Policy,
    pub(crate) sha256: String,
    pub(crate) networks: u64,
    /// Those that the daemon's guard rails left out.
    pub(crate) refused: u64,
}

/// A list with its networks, as the feed lists them.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) head: Head,
    pub(crate) networks: Networks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    Good,
    Held,
}

/// The directory.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    dir: PathBuf,
    most: u64,
}

pub(crate) fn hex(digest: &[u8]) -> String {
    digest.iter().fold(String::new(), |mut text, byte| {
        // It does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A list as set files are written.
pub(crate) fn rendered(networks: &Networks) -> String {
    let mut text = String::with_capacity(networks.len() * 18);
    for cidr in networks.iter() {
        // It does not fail.
        let _ = writeln!(text, "{cidr}");
    }
    text
}

pub(crate) fn checksum(text: &str) -> String {
    hex(&Sha256::digest(text))
}

impl Store {
    /// Opens it, and removes what interrupted writes have left.
    pub(crate) fn open(state_dir: &Path, most: u64) -> io::Result<Self> {
        let dir = state_dir.join("feeds");
        ensure_dir(&dir, 0o700)?;
        let store = Self { dir, most };
        for name in store.files()? {
            if name.starts_with(".new-") {
                remove_file(&store.dir.join(name))?;
            }
        }
        Ok(store)
    }

    /// For reading alone, beside the service that writes.
    pub(crate) fn beside(state_dir: &Path) -> Self {
        Self {
            dir: state_dir.join("feeds"),
            most: 0,
        }
    }

    fn files(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.dir)?.take(MOST_FILES);
        let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.collect())
    }

    /// The feeds that have a state, configured or not.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let files = self.files()?;
        let names = files.iter().filter_map(|file| file.strip_suffix(".state"));
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.sort();
        Ok(names)
    }

    fn path(&self, name: &str, kind: &str) -> PathBuf {
        self.dir.join(format!("{name}.{kind}"))
    }

    fn list(&self, name: &str, which: Which) -> PathBuf {
        self.path(name, if which == Which::Good { "list" } else { "held" })
    }

    /// A list whose checksum is right; `None` if there is none.
    pub(crate) fn load(&self, name: &str, which: Which) -> io::Result<Option<Kept>> {
        let Some((head, bytes)) = self.read(name, which)? else {
            return Ok(None);
        };
        let mut networks = Networks::default();
        for (_, entry) in list_entries(&bytes) {
            list_networks(entry, |cidr| networks.push(cidr)).map_err(io::Error::other)?;
        }
        Ok(Some(Kept { head, networks }))
    }

    /// The same without its networks.
    pub(crate) fn head(&self, name: &str, which: Which) -> io::Result<Option<Head>> {
        Ok(self.read(name, which)?.map(|(head, _)| head))
    }

    fn read(&self, name: &str, which: Which) -> io::Result<Option<(Head, Vec<u8>)>> {
        let path = self.list(name, which);
        let mut bytes = match read_regular(&path, LARGEST_LIST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let damaged = || {
            let text = format!("{} is damaged, and not used", path.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        let end = bytes.iter().position(|b| *b == b'\n').ok_or_else(damaged)?;
        let head = bytes[..end]
            .strip_prefix(HEAD.as_bytes())
            .ok_or_else(damaged)?;
        let head: Head = serde_json::from_slice(head).map_err(|_| damaged())?;
        bytes.drain(..=end);
        if hex(&Sha256::digest(&bytes)) != head.sha256 {
            return Err(damaged());
        }
        Ok(Some((head, bytes)))
    }

    /// Writes a list, with the checksum in its head. A good one takes the place of the one that is held back, too.
    pub(crate) fn save(
        &self,
        name: &str,
        which: Which,
        mut head: Head,
        networks: &Networks,
    ) -> io::Result<Head> {
        let body = rendered(networks);
        head.sha256 = checksum(&body);
        let json = serde_json::to_string(&head).map_err(io::Error::other)?;
        let text = format!("{HEAD}{json}\n{body}");
        drop(body);
        let path = self.list(name, which);
        let replaced = fs::metadata(&path).map_or(0, |found| found.len());
        let all = self.size()?.saturating_sub(replaced) + text.len() as u64;
        if all > self.most {
            let most = self.most >> 20;
            let text =
                format!("the lists of all feeds would take more than {most} MiB on the disk");
            return Err(io::Error::new(io::ErrorKind::StorageFull, text));
        }
        replace_file(&path, 0o600, text.as_bytes())?;
        if which == Which::Good {
            self.discard(name)?;
        }
        Ok(head)
    }

    /// Bytes of all files.
    fn size(&self) -> io::Result<u64> {
        let lengths = self.files()?.into_iter().map(|file| {
            let found = fs::metadata(self.dir.join(file));
            found.map_or(0, |found| found.len())
        });
        Ok(lengths.sum())
    }

    /// Removes the list that is held back.
    pub(crate) fn discard(&self, name: &str) -> io::Result<()> {
        let path = self.list(name, Which::Held);
        if path.exists() {
            remove_file(&path)
        } else {
            Ok(())
        }
    }

    /// Makes the list that is held back the good one.
    pub(crate) fn accept(&self, name: &str) -> io::Result<()> {
        let good = self.list(name, Which::Good);
        fs::rename(self.list(name, Which::Held), good)?;
        fs::File::open(&self.dir)?.sync_all()
    }

    /// The state; one that is missing or cannot be read is empty.
    pub(crate) fn state(&self, name: &str) -> State {
        self.json(&self.path(name, "state")).unwrap_or_default()
    }

    fn json<T: DeserializeOwned>(&self, path: &Path) -> Option<T> {
        let bytes = read_regular(path, LARGEST_STATE).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    pub(crate) fn save_state(&self, name: &str, state: &State) -> io::Result<()> {
        let text = serde_json::to_string(state).map_err(io::Error::other)?;
        replace_file(&self.path(name, "state"), 0o600, text.as_bytes())
    }

    /// Removes everything of a feed.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        for kind in ["list", "held", "state"] {
            remove_file(&self.path(name, kind))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use couic_common::Cidr;

    use super::*;

    fn head() -> Head {
        Head {
            sha256: String::new(),
            fetched_at: 7,
            policy: Policy::Drop,
            fingerprint: "f".to_owned(),
            validators: Validators::default(),
            entries: 2,
            networks: 2,
            is_terminated: true,
            dropped: Dropped::default(),
            held: None,
        }
    }

    fn nets(texts: &[&str]) -> Networks {
        texts.iter().map(|t| t.parse::<Cidr>().unwrap()).collect()
    }

    #[test]
    fn a_list_is_whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("feeds")).unwrap();
        fs::write(dir.path().join("feeds/.new-x.tmp"), "half").unwrap();
        let store = Store::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(store.files().unwrap(), [""; 0]);
        assert!(store.load("x", Which::Good).unwrap().is_none());
        let list = nets(&["1.2.3.0/24", "2600::/32"]);
        store.save("x", Which::Good, head(), &list).unwrap();
        assert_eq!(
            store.load("x", Which::Good).unwrap().unwrap().networks,
            list
        );
        let path = store.list("x", Which::Good);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut cut = whole.clone();
            cut.truncate(at);
            fs::write(&path, &cut).unwrap();
            assert!(store.load("x", Which::Good).is_err(), "cut at {at}");
            let mut torn = whole.clone();
            torn[at] ^= 1;
            fs::write(&path, &torn).unwrap();
            let read = store.load("x", Which::Good);
            assert!(
                read.is_err() || read.unwrap().unwrap().networks == list,
                "{at}"
            );
        }
    }

    #[test]
    fn exactly_what_is_held_back_is_accepted() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 1 << 20).unwrap();
        let (one, two) = (nets(&["1.2.3.0/24"]), nets(&["1.2.4.0/24"]));
        store.save("x", Which::Good, head(), &one).unwrap();
        let held = store.save("x", Which::Held, head(), &two).unwrap();
        store.accept("x").unwrap();
        let good = store.load("x", Which::Good).unwrap().unwrap();
        assert_eq!((good.networks, good.head), (two.clone(), held));
        assert!(store.accept("x").is_err(), "nothing is held back");
        store.save("x", Which::Held, head(), &one).unwrap();
        store.save("x", Which::Good, head(), &two).unwrap();
        assert!(store.head("x", Which::Held).unwrap().is_none());
        store.save_state("x", &State::default()).unwrap();
        assert_eq!(store.names().unwrap(), ["x"]);
        store.remove("x").unwrap();
        assert_eq!(store.files().unwrap(), [""; 0]);
    }

    #[test]
    fn the_disk_of_all_feeds_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), 900).unwrap();
        let list = nets(&["1.2.3.0/24"; 20]);
        store.save("x", Which::Good, head(), &list).unwrap();
        store.save("x", Which::Good, head(), &list).unwrap();
        let error = store.save("y", Which::Good, head(), &list).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(store.load("y", Which::Good).unwrap().is_none());
    }
}
