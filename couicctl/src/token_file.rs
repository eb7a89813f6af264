//! Files with a token: written at once or not at all, and never readable by others meanwhile.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use nix::unistd::User;
use uuid::Uuid;

use crate::failure::Failure;

/// The longest file that is taken for one with a token, in bytes.
const LONGEST: u64 = 64;

/// A file beside the one that it is to become, which proves that it can be written before a token is made.
pub(crate) struct TokenFile {
    path: PathBuf,
    beside: PathBuf,
    file: File,
}

impl TokenFile {
    /// A new file, mode 0600, of this user or of whoever runs couicctl.
    pub(crate) fn new(path: &Path, owner: Option<&str>) -> Result<Self, Failure> {
        if path.symlink_metadata().is_ok() {
            let shown = path.display();
            return Err(Failure::Usage(format!(
                "{shown} exists already: remove it or, for a client that exists, run couicctl clients rotate NAME --token-file {shown}"
            )));
        }
        let owner = owner.map(account).transpose()?;
        Self::beside(path.to_owned(), 0o600, owner).map_err(|e| unwritable(path, &e))
    }

    /// The same, in place of a file with a token if there is one, whose owner and mode it gets.
    pub(crate) fn replacing(path: &Path, owner: Option<&str>) -> Result<Self, Failure> {
        let Ok(path) = fs::canonicalize(path) else {
            return Self::new(path, owner);
        };
        let problem = |e| unwritable(&path, &e);
        if !has_token(&path).map_err(problem)? {
            let shown = path.display();
            return Err(Failure::Usage(format!(
                "{shown} holds something other than a token, and is left as it is"
            )));
        }
        let found = fs::metadata(&path).map_err(problem)?;
        let owner = owner.map(account).transpose()?;
        let owner = owner.unwrap_or((found.uid(), found.gid()));
        Self::beside(path.clone(), found.mode() & 0o777, Some(owner)).map_err(problem)
    }

    fn beside(path: PathBuf, mode: u32, owner: Option<(u32, u32)>) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let beside = path.with_file_name(name);
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        let new = Self { path, beside, file };
        if let Some((uid, gid)) = owner {
            fchown(&new.file, Some(uid), Some(gid))?;
        }
        // Past the umask.
        new.file.set_permissions(fs::Permissions::from_mode(mode))?;
        Ok(new)
    }

    /// Puts the file in place, with this text.
    pub(crate) fn write(mut self, text: &str) -> Result<(), Failure> {
        let written = self.file.write_all(text.as_bytes());
        let written = written.and_then(|()| self.file.sync_all());
        let placed = written.and_then(|()| fs::rename(&self.beside, &self.path));
        placed.map_err(|e| unwritable(&self.path, &e))
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        // It is gone if it was put in place.
        let _ = fs::remove_file(&self.beside);
    }
}

/// At once or not at all, with the owner and mode of the file.
pub(crate) fn rewrite(path: &Path, text: &str) -> Result<(), Failure> {
    let problem = |e: io::Error| unwritable(path, &e);
    let path = fs::canonicalize(path).map_err(problem)?;
    let found = fs::metadata(&path).map_err(problem)?;
    let owner = Some((found.uid(), found.gid()));
    let new = TokenFile::beside(path.clone(), found.mode() & 0o777, owner);
    new.map_err(problem)?.write(text)
}

fn has_token(path: &Path) -> io::Result<bool> {
    if fs::metadata(path)?.len() > LONGEST {
        return Ok(false);
    }
    let text = fs::read(path)?;
    Ok(text.trim_ascii().is_empty() || Uuid::try_parse_ascii(text.trim_ascii()).is_ok())
}

fn account(name: &str) -> Result<(u32, u32), Failure> {
    match User::from_name(name) {
        Ok(Some(user)) => Ok((user.uid.as_raw(), user.gid.as_raw())),
        Ok(None) => Err(Failure::Usage(format!("there is no user {name} here"))),
        Err(error) => Err(Failure::Failed(format!(
            "the user {name} cannot be looked up: {error}"
        ))),
    }
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let directory = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    if error.kind() == io::ErrorKind::NotFound
        && let Some(directory) = directory.filter(|dir| !dir.exists())
    {
        let (path, directory) = (path.display(), directory.display());
        let text = format!("{path} cannot be written: its directory does not exist");
        return Failure::Failed(text).hint(&format!("install -d {directory}"));
    }
    Failure::Failed(format!("{} cannot be written: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "bbfa1388-3218-463c-9722-6805507c14bb\n";

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn text(result: Result<TokenFile, Failure>) -> String {
        result
            .err()
            .map(|failure| failure.text())
            .unwrap_or_default()
    }

    #[test]
    fn a_new_file_is_private_and_replaces_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        drop(TokenFile::new(&path, None).ok().unwrap());
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            0,
            "nothing is left"
        );
        TokenFile::new(&path, None)
            .ok()
            .unwrap()
            .write(TOKEN)
            .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), TOKEN);
        assert_eq!(mode(&path), 0o600);
        assert!(text(TokenFile::new(&path, None)).contains("exists already"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let nowhere = dir.path().join("none/token");
        assert!(text(TokenFile::new(&nowhere, None)).contains("its directory does not exist"));
        let other = dir.path().join("other");
        let told = text(TokenFile::new(&other, Some("no-such-user-here")));
        assert_eq!(told, "there is no user no-such-user-here here");
    }

    #[test]
    fn a_replaced_token_keeps_the_mode_and_nothing_else_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        fs::write(&path, TOKEN.to_uppercase()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let new = TokenFile::replacing(&path, None).ok().unwrap();
        new.write(TOKEN).unwrap();
        assert_eq!(
            (fs::read_to_string(&path).unwrap(), mode(&path)),
            (TOKEN.to_owned(), 0o640)
        );
        let other = dir.path().join("notes");
        for content in ["root:x:0:0", &"x".repeat(100)] {
            fs::write(&other, content).unwrap();
            let told = text(TokenFile::replacing(&other, None));
            assert!(told.contains("something other than a token"), "{told}");
        }
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        TokenFile::replacing(&link, None)
            .ok()
            .unwrap()
            .write("")
            .unwrap();
        assert!(link.is_symlink() && fs::read(&path).unwrap().is_empty());
    }

    #[test]
    fn the_file_keeps_its_mode_and_its_other_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        rewrite(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(mode(&path), 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(rewrite(&dir.path().join("none"), "x").is_err());
    }
}
