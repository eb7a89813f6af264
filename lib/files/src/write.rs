//! Creating files and directories that belong to the owner of their parent directory.

use std::{
    fs::{self, DirBuilder, File, Metadata, Permissions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown},
    path::Path,
};

use nix::unistd::{Uid, User, geteuid};
use tempfile::NamedTempFile;

/// Writes a new file: it is created with `mode`, is on the disk when this returns, and belongs to the owner of its
/// directory. Readers see all of it or nothing.
///
/// # Errors
/// `AlreadyExists` if the name is taken; otherwise those of the system calls. Nothing is left behind.
pub fn create_file(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let aside = write_aside(path, mode, content)?;
    aside.persist_noclobber(path).map_err(|e| e.error)?;
    sync_dir_of(path)
}

/// The same, replacing a file of that name.
///
/// # Errors
/// Those of the system calls; the old file is unchanged then.
pub fn replace_file(path: &Path, mode: u32, content: &[u8]) -> io::Result<()> {
    let aside = write_aside(path, mode, content)?;
    aside.persist(path).map_err(|e| e.error)?;
    sync_dir_of(path)
}

/// Removes a file; the removal is on the disk when this returns. A missing file is not an error.
///
/// # Errors
/// Those of the system calls.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync_dir_of(path),
    }
}

fn dir_of(path: &Path) -> io::Result<&Path> {
    let dir = path.parent();
    dir.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

fn sync_dir_of(path: &Path) -> io::Result<()> {
    File::open(dir_of(path)?)?.sync_all()
}

fn write_aside(path: &Path, mode: u32, content: &[u8]) -> io::Result<NamedTempFile> {
    let dir = dir_of(path)?;
    let mut temp = tempfile::Builder::new()
        .prefix(".new-")
        .suffix(".tmp")
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(dir)?;
    let owner = fs::metadata(dir)?;
    let file = temp.as_file_mut();
    // The umask may have cleared bits.
    file.set_permissions(Permissions::from_mode(mode))?;
    if foreign_to_us(&owner) {
        fchown(&*file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(content)?;
    file.sync_all()?;
    Ok(temp)
}

/// Creates an empty file with `mode`, owned by the owner of its directory, for writing in steps. The caller syncs it.
///
/// # Errors
/// `AlreadyExists` if the name is taken; otherwise those of the system calls. Nothing is left behind.
pub fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    let dir = path
        .parent()
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let owner = fs::metadata(dir)?;
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    let ours = || {
        // The umask may have cleared bits.
        file.set_permissions(Permissions::from_mode(mode))?;
        if foreign_to_us(&owner) {
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        Ok(())
    };
    if let Err(e) = ours() {
        // On error, an empty file stays, which does no harm.
        let _ = fs::remove_file(path);
        return Err(e);
    }
    Ok(file)
}

/// Creates a directory with `mode` if it is missing, owned by the owner of its parent. An existing one must be a real
/// directory, and writable by its owner only.
///
/// # Errors
/// Those of the system calls, or why the directory is not trusted, with the command that repairs it.
pub fn ensure_dir(path: &Path, mode: u32) -> io::Result<()> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => {
            let parent = path.parent().unwrap_or_else(|| Path::new("/"));
            let owner = fs::metadata(parent)?;
            if foreign_to_us(&owner) {
                lchown(path, Some(owner.uid()), Some(owner.gid()))?;
            }
            Ok(())
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => trusted(path),
        Err(e) => Err(e),
    }
}

fn trusted(path: &Path) -> io::Result<()> {
    let found = fs::symlink_metadata(path)?;
    let refuse = |why: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    if !found.is_dir() {
        return refuse("it is not a directory: move it away".to_owned());
    }
    if found.mode() & 0o022 != 0 {
        return refuse(format!(
            "others may write to it: run chmod go-w {}",
            path.display()
        ));
    }
    Ok(())
}

/// Whether the owner must be changed: only root creates files for others.
fn foreign_to_us(owner: &Metadata) -> bool {
    geteuid().is_root() && owner.uid() != 0
}

/// The name of a user for messages; its ID if it has none.
#[must_use]
pub fn owner_name(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_private_complete_and_never_replaces_another() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        create_file(&path, 0o600, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let again = create_file(&path, 0o600, b"two").unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "nothing left behind"
        );
        let again = create_new(&path, 0o600).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        let open = dir.path().join("b");
        create_new(&open, 0o666).unwrap();
        assert_eq!(fs::metadata(&open).unwrap().mode() & 0o7777, 0o666);
    }

    #[test]
    fn a_file_is_replaced_atomically_and_removed_repeatedly() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        replace_file(&path, 0o600, b"one").unwrap();
        replace_file(&path, 0o600, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        remove_file(&path).unwrap();
        remove_file(&path).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(replace_file(&path.join("x"), 0o600, b"").is_err());
    }

    #[test]
    fn files_of_root_belong_to_the_owner_of_the_directory() {
        if !geteuid().is_root() {
            println!("skipped: only root can give files away");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(dir.path(), Some(4242), Some(4343)).unwrap();
        let sub = dir.path().join("sub");
        ensure_dir(&sub, 0o700).unwrap();
        create_file(&sub.join("a"), 0o600, b"").unwrap();
        create_new(&sub.join("b"), 0o600).unwrap();
        for path in [&sub, &sub.join("a"), &sub.join("b")] {
            let found = fs::metadata(path).unwrap();
            assert_eq!((found.uid(), found.gid()), (4242, 4343));
        }
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_refused_with_the_fix() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("sub");
        ensure_dir(&sub, 0o700).unwrap();
        ensure_dir(&sub, 0o700).unwrap();
        fs::set_permissions(&sub, Permissions::from_mode(0o777)).unwrap();
        let told = ensure_dir(&sub, 0o700).unwrap_err().to_string();
        assert!(told.contains("chmod go-w"), "{told}");
        fs::write(dir.path().join("file"), b"").unwrap();
        assert!(ensure_dir(&dir.path().join("file"), 0o700).is_err());
    }
}
