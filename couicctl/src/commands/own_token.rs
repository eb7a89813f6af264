//! couicctl's own token, in the file that it was read from: rewritten when it is rotated.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, chown},
    path::{Path, PathBuf},
};

use uuid::Uuid;

use super::Context;
use crate::failure::Failure;

/// Whether couicctl itself uses this token.
pub(super) fn is(token: &Uuid, cx: &Context) -> bool {
    fs::read_to_string(&cx.token_file).is_ok_and(|text| text.contains(&token.to_string()))
}

/// Writes the new token in place of the old one, and returns the file. The daemon may have done so already: of its own
/// file on the same host.
pub(super) fn replace(old: &Uuid, new: &Uuid, cx: &Context) -> Result<String, Failure> {
    let path = &cx.token_file;
    let shown = path.display().to_string();
    let written = fs::read_to_string(path).and_then(|text| {
        if text.contains(&new.to_string()) {
            return Ok(());
        }
        rewrite(path, &text.replace(&old.to_string(), &new.to_string()))
    });
    match written {
        Ok(()) => Ok(shown),
        Err(error) => Err(Failure::Failed(format!(
            "the token is replaced, but {shown} cannot be written: {error}"
        ))),
    }
}

/// At once or not at all, with the owner and mode of the file.
fn rewrite(path: &Path, text: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let found = fs::metadata(&path)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary: PathBuf = path.with_file_name(name);
    let mode = found.mode() & 0o777;
    let done = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            chown(&temporary, Some(found.uid()), Some(found.gid()))?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        });
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    done
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_file_keeps_its_mode_and_its_other_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        rewrite(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(rewrite(&dir.path().join("none"), "x").is_err());
    }
}
