//! The clients, on disk and in memory.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use couic_common::{ClientInfo, ClientName, Group, unix_seconds};
use parking_lot::{Mutex, RwLock};
use uuid::Uuid;

use super::{
    FileProblem, Identity, NewClient, RbacError, TokenError,
    file::{self, render},
    record::{Record, StoredToken, check_limits},
    snapshot::Snapshot,
};
use couic_files::{advice, create_file, ensure_dir, refuses_data, replace_file};

/// The client of couicctl. Created at the first start, and never deleted through the API.
pub const PROTECTED_CLIENT: &str = "couicctl";

/// All clients of the daemon. The files are read once, at the start: afterwards the daemon is their only writer.
pub struct ClientStore {
    dir: PathBuf,
    /// Serialises changes of files, so that readers of `clients` never wait for the disk.
    changes: Mutex<()>,
    clients: RwLock<Snapshot>,
    /// The file that could not be created at the start because the disk cannot be written.
    problem: Option<String>,
}

impl fmt::Debug for ClientStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientStore")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl ClientStore {
    /// Reads `rbac/clients/*.toml`, and creates `couicctl.toml` (group admin) if it is missing.
    ///
    /// Hidden files and those that do not end in `.toml` are ignored. Every other file must be a valid client, so that
    /// no client is missing silently. If the disk cannot be written, a missing file is reported by
    /// [`ClientStore::problem`] and does not fail the start.
    ///
    /// A file with a token in plain text, but for that of couicctl, is replaced by one with its hash: each at once or not
    /// at all, so that a start that is killed leaves files of both kinds, and the next one goes on.
    ///
    /// # Errors
    /// [`RbacError::Files`] lists every file that cannot be used; [`RbacError::Io`] for other errors of the disk.
    pub fn open(working_dir: &Path) -> Result<Self, RbacError> {
        let dir = working_dir.join("rbac/clients");
        let mut store = Self {
            clients: RwLock::default(),
            changes: Mutex::new(()),
            dir,
            problem: None,
        };
        match store.prepare(working_dir) {
            Ok(()) | Err(RbacError::Exists { .. }) => {}
            Err(RbacError::Io { path, source, .. }) if refuses_data(&source) => {
                let shown = path.display();
                let advice = advice(working_dir, &source);
                store.problem = Some(format!(
                    "{shown} is missing and cannot be created: {source}; {advice}"
                ));
            }
            Err(e) => return Err(e),
        }
        Ok(store)
    }

    fn prepare(&mut self, working_dir: &Path) -> Result<(), RbacError> {
        for path in [working_dir.join("rbac"), self.dir.clone()] {
            ensure_dir(&path, 0o700).map_err(failed("use the directory", &path))?;
        }
        self.clients = RwLock::new(load(&self.dir, working_dir)?);
        self.hash_tokens();
        let couicctl = NewClient {
            name: protected(),
            group: Group::Admin,
            limits: None,
        };
        self.create(couicctl, unix_seconds()).map(drop)
    }

    /// Replaces tokens in plain text by their hashes. A disk that cannot be written fails no start.
    fn hash_tokens(&self) {
        let plain: Vec<Record> = self.clients.read().plain().cloned().collect();
        let mut done = Vec::new();
        for record in plain.into_iter().filter(|r| r.name != protected()) {
            let record = record.kept();
            let path = self.path(&record.name);
            match self.replace(&record) {
                Ok(()) => {
                    done.push(record.name.to_string());
                    self.clients.write().hashed(record);
                }
                Err(error) => tracing::warn!(
                    "the token of a client stays in plain text in its file, the next start tries again: cannot replace {}: {error}",
                    path.display()
                ),
            }
        }
        if !done.is_empty() {
            let names = done.join(", ");
            tracing::info!(target: "couic::audit", action = "tokens_hashed", "client files have the hashes of their tokens instead of the tokens now, which stay valid: {names}");
        }
    }

    fn replace(&self, record: &Record) -> io::Result<()> {
        replace_file(&self.path(&record.name), 0o600, render(record)?.as_bytes())
    }

    /// The file that is missing because the disk could not be written at the start: without the client of couicctl the
    /// daemon cannot be administered.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The client with this token at `now`, Unix seconds. Compares in constant time with the token of every client.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn authenticate(&self, token: &Uuid, now: u64) -> Result<Arc<Identity>, TokenError> {
        let clients = self.clients.read();
        clients
            .authenticate(token, Instant::now(), now)
            .map(Arc::clone)
    }

    /// Whether the token with which this client was authenticated is still accepted at `now`: the client was neither
    /// deleted nor given another token, and the token has not ended.
    #[must_use]
    pub fn admits(&self, who: &Arc<Identity>, now: u64) -> bool {
        self.clients.read().admits(who, Instant::now(), now)
    }

    /// Every client, in the order of names.
    #[must_use]
    pub fn list(&self) -> Vec<ClientInfo> {
        self.clients.read().list()
    }

    /// One client.
    #[must_use]
    pub fn get(&self, name: &ClientName) -> Option<ClientInfo> {
        self.clients.read().get(name).map(Record::info)
    }

    /// Creates a client with a new token, which only this answer has, at `now`, Unix seconds. Blocks until its file is on
    /// the disk.
    ///
    /// # Errors
    /// [`RbacError::Exists`] if a client or a file of that name exists; [`RbacError::Limits`]; [`RbacError::Io`].
    pub fn create(&self, client: NewClient, now: u64) -> Result<ClientInfo, RbacError> {
        let NewClient {
            name,
            group,
            limits,
        } = client;
        let _changing = self.changes.lock();
        if self.clients.read().get(&name).is_some() {
            return Err(RbacError::Exists { name });
        }
        check_limits(&name, group, limits.as_ref())?;
        let token = Uuid::new_v4();
        let record = Record {
            name,
            group,
            token: StoredToken::Plain(token),
            expires: None,
            limits,
        };
        let record = record.with_token(token, now);
        let path = self.path(&record.name);
        let written = render(&record).and_then(|text| create_file(&path, 0o600, text.as_bytes()));
        match written {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(RbacError::Exists { name: record.name });
            }
            Err(e) => return Err(failed("write", &path)(e)),
        }
        let token = Some(token);
        let info = ClientInfo {
            token,
            ..record.info()
        };
        self.clients.write().insert(record);
        Ok(info)
    }

    /// Gives a client a new token at `now`, which only this answer has, with the lifetime of a new client's. Blocks until its
    /// file is on the disk. The old token is accepted for `grace`, or until the daemon ends.
    ///
    /// # Errors
    /// [`RbacError::NotFound`] if there is none, [`RbacError::Io`].
    pub fn rotate(
        &self,
        name: &ClientName,
        grace: Duration,
        now: u64,
    ) -> Result<ClientInfo, RbacError> {
        let _changing = self.changes.lock();
        let known = self.clients.read().get(name).cloned();
        let known = known.ok_or_else(|| RbacError::NotFound { name: name.clone() })?;
        let token = Uuid::new_v4();
        let record = known.with_token(token, now);
        self.replace(&record)
            .map_err(|e| failed("write", &self.path(name))(e))?;
        let token = Some(token);
        let info = ClientInfo {
            token,
            ..record.info()
        };
        let at = Instant::now();
        let mut clients = self.clients.write();
        clients.expire(at);
        clients.rotate(record, at + grace);
        Ok(info)
    }

    /// Deletes a client: its token is refused from now on.
    ///
    /// # Errors
    /// [`RbacError::Protected`] for couicctl's client, [`RbacError::NotFound`] if there is none, [`RbacError::Io`].
    pub fn delete(&self, name: &ClientName) -> Result<(), RbacError> {
        if *name == protected() {
            return Err(RbacError::Protected { name: name.clone() });
        }
        let _changing = self.changes.lock();
        if self.clients.read().get(name).is_none() {
            return Err(RbacError::NotFound { name: name.clone() });
        }
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("delete", &path)(e)),
            // A missing file is as requested.
            _ => {
                self.clients.write().remove(name);
                Ok(())
            }
        }
    }

    fn path(&self, name: &ClientName) -> PathBuf {
        self.dir.join(format!("{name}.toml"))
    }
}

fn protected() -> ClientName {
    #[expect(clippy::expect_used, reason = "a constant that a test checks")]
    PROTECTED_CLIENT.parse().expect("the name is valid")
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> RbacError + 'a {
    move |source| RbacError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

fn load(dir: &Path, working_dir: &Path) -> Result<Snapshot, RbacError> {
    let owner = fs::metadata(working_dir)
        .map_err(failed("check", working_dir))?
        .uid();
    let mut clients: Vec<(PathBuf, Record)> = Vec::new();
    let mut problems = Vec::new();
    for path in client_files(dir)? {
        match read_one(&path, owner) {
            Ok(client) => clients.push((path, client)),
            Err(message) => problems.push(FileProblem { path, message }),
        }
    }
    problems.extend(shared_tokens(&clients));
    if !problems.is_empty() {
        return Err(RbacError::Files(problems));
    }
    let mut snapshot = Snapshot::default();
    for (_, client) in clients {
        snapshot.insert(client);
    }
    Ok(snapshot)
}

/// Sorted, so that messages are deterministic.
fn client_files(dir: &Path) -> Result<Vec<PathBuf>, RbacError> {
    let mut paths = Vec::new();
    for item in fs::read_dir(dir).map_err(failed("list", dir))? {
        let path = item.map_err(failed("list", dir))?.path();
        let hidden = path
            .file_name()
            .is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if is_unfinished(&path) {
            match fs::remove_file(&path) {
                Err(e) if !refuses_data(&e) => return Err(failed("remove", &path)(e)),
                // If it stays, it is ignored.
                _ => {}
            }
        } else if !hidden && path.extension().is_some_and(|e| e == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// A temporary file left by a crash while a client was created; its token was never handed out.
fn is_unfinished(path: &Path) -> bool {
    path.file_name().is_some_and(|n| {
        let name = n.as_encoded_bytes();
        name.starts_with(b".new-") && name.ends_with(b".tmp")
    })
}

fn read_one(path: &Path, owner: u32) -> Result<Record, String> {
    let stem = path
        .file_stem()
        .map(|s| s.to_string_lossy())
        .unwrap_or_default();
    let name = stem.parse().map_err(|_| {
        "is not named after a client (1 to 48 letters, digits, _ and -): rename it, or move it away"
            .to_owned()
    })?;
    file::read(path, name, owner)
}

fn shared_tokens(clients: &[(PathBuf, Record)]) -> Vec<FileProblem> {
    let mut by_token: Vec<_> = clients.iter().map(|(p, c)| (c.token.hash(), p)).collect();
    by_token.sort();
    by_token
        .windows(2)
        .filter(|pair| pair[0].0 == pair[1].0)
        .map(|pair| FileProblem {
            path: pair[1].1.clone(),
            message: format!(
                "has the same token as {}: delete one of them and create that client again",
                pair[0].1.display()
            ),
        })
        .collect()
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "takeover_tests.rs"]
mod takeover_tests;
