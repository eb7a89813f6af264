//! The clients, on disk and in memory.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use couic_common::{ClientInfo, ClientName, Group};
use parking_lot::{Mutex, RwLock};
use uuid::Uuid;

use super::{FileProblem, Identity, RbacError, file, snapshot::Snapshot};
use couic_files::{create_file, ensure_dir, refuses_data, way_out};

/// The client that couicctl works with. Made at the first start, and never deleted through the API.
pub const PROTECTED_CLIENT: &str = "couicctl";

/// All clients of the daemon. The files are read once, at the start: afterwards the daemon is their only writer.
pub struct ClientStore {
    dir: PathBuf,
    /// Held while a file changes, so that readers never wait for a disk.
    changes: Mutex<()>,
    clients: RwLock<Snapshot>,
    /// What could not be made at the start, since the disk takes no data.
    unmade: Option<String>,
}

impl fmt::Debug for ClientStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientStore")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl ClientStore {
    /// Reads `rbac/clients/*.toml`, and makes `couicctl.toml` (group admin) where it is missing.
    ///
    /// Files that do not end in `.toml`, and hidden ones, are none of its business. What ends in `.toml` must be a
    /// client: where somebody believes that there is one, there is one or the daemon does not start. What is missing and
    /// cannot be made, since the disk takes no data, is told by [`ClientStore::unmade`] and stops no start.
    ///
    /// # Errors
    /// [`RbacError::Files`] lists every file that cannot be used; [`RbacError::Io`] where the disk refuses.
    pub fn open(working_dir: &Path) -> Result<Self, RbacError> {
        let dir = working_dir.join("rbac/clients");
        let mut store = Self {
            clients: RwLock::default(),
            changes: Mutex::new(()),
            dir,
            unmade: None,
        };
        let made = store.prepare(working_dir);
        match made {
            Ok(()) | Err(RbacError::Exists { .. }) => {}
            Err(RbacError::Io { path, source, .. }) if refuses_data(&source) => {
                let shown = path.display();
                let way = way_out(working_dir, &source);
                store.unmade = Some(format!(
                    "{shown} is missing and cannot be made: {source}; {way}"
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
        self.create(protected(), Group::Admin).map(drop)
    }

    /// What is missing since the disk took no data at the start: without the client of couicctl nobody can administer the
    /// daemon.
    #[must_use]
    pub fn unmade(&self) -> Option<&str> {
        self.unmade.as_deref()
    }

    /// Whose token this is. Compares in constant time with the token of every client.
    #[must_use]
    pub fn authenticate(&self, token: &Uuid) -> Option<Arc<Identity>> {
        self.clients.read().authenticate(token).cloned()
    }

    /// Every client, in the order of names.
    #[must_use]
    pub fn list(&self) -> Vec<ClientInfo> {
        self.clients.read().list()
    }

    /// One client.
    #[must_use]
    pub fn get(&self, name: &ClientName) -> Option<ClientInfo> {
        self.clients.read().get(name)
    }

    /// Makes a client with a token of its own. Its file is on the disk when this returns: call it where waiting is
    /// allowed.
    ///
    /// # Errors
    /// [`RbacError::Exists`] where the name, or a file of that name, is taken.
    pub fn create(&self, name: ClientName, group: Group) -> Result<ClientInfo, RbacError> {
        let _changing = self.changes.lock();
        if self.clients.read().get(&name).is_some() {
            return Err(RbacError::Exists { name });
        }
        let token = Uuid::new_v4();
        let client = ClientInfo { name, group, token };
        let path = self.path(&client.name);
        match create_file(&path, 0o600, file::render(&client).as_bytes()) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(RbacError::Exists { name: client.name });
            }
            Err(e) => return Err(failed("write", &path)(e)),
        }
        self.clients.write().insert(client.clone());
        Ok(client)
    }

    /// Takes a client away: its token is refused from now on.
    ///
    /// # Errors
    /// [`RbacError::Protected`] for couicctl's client, [`RbacError::NotFound`] where there is none.
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
            // A file that is gone already is what was asked for.
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
        .map_err(failed("look at", working_dir))?
        .uid();
    let mut clients: Vec<(PathBuf, ClientInfo)> = Vec::new();
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

/// In the order of names, so that messages are the same every time.
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
                // Where it stays, it is read by nobody.
                _ => {}
            }
        } else if !hidden && path.extension().is_some_and(|e| e == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// What a crash left of a client that was being made: nobody has heard of its token.
fn is_unfinished(path: &Path) -> bool {
    path.file_name().is_some_and(|n| {
        let name = n.as_encoded_bytes();
        name.starts_with(b".new-") && name.ends_with(b".tmp")
    })
}

fn read_one(path: &Path, owner: u32) -> Result<ClientInfo, String> {
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

fn shared_tokens(clients: &[(PathBuf, ClientInfo)]) -> Vec<FileProblem> {
    let mut by_token: Vec<_> = clients.iter().map(|(p, c)| (c.token, p)).collect();
    by_token.sort();
    by_token
        .windows(2)
        .filter(|pair| pair[0].0 == pair[1].0)
        .map(|pair| FileProblem {
            path: pair[1].1.clone(),
            message: format!(
                "has the same token as {}: delete one of them and create that client anew",
                pair[0].1.display()
            ),
        })
        .collect()
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
