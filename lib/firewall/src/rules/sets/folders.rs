//! The folders of set files: owner, mode, leftovers of a crash.

use std::{
    fs::{self, File, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use super::HALF_WRITTEN;

pub(super) fn make_dir(path: &Path) -> io::Result<()> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(named(error)),
        Ok(()) => {
            fs::set_permissions(path, Permissions::from_mode(0o750)).map_err(named)?;
            path.parent()
                .map_or(Ok(()), |parent| give_to_owner_of(parent, path))
                .map_err(named)
        }
    }
}

pub(super) fn remove_half_written(folder: &Path) -> io::Result<()> {
    for file in fs::read_dir(folder)? {
        let file = file?;
        let name = file.file_name();
        if name.as_encoded_bytes().starts_with(HALF_WRITTEN.as_bytes()) {
            // If that fails, it only takes space.
            let _ = fs::remove_file(file.path());
        }
    }
    Ok(())
}

/// Files made by a daemon that runs as root belong to whom the working directory belongs. A daemon that may not give its
/// file to the directory's group, such as one with `user = "root"` and another `group`, leaves it in its own: the owner is
/// right, and only the daemon's group may read it besides.
pub(super) fn give_to_owner_of(folder: &Path, path: &Path) -> io::Result<()> {
    let (owner, now) = (fs::metadata(folder)?, fs::metadata(path)?);
    let is_owned = owner.uid() == now.uid();
    if is_owned && owner.gid() == now.gid() {
        return Ok(());
    }
    let given = std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid()));
    given.or_else(|error| keep_group(is_owned, error))
}

/// What a refused change of owner and group comes to.
fn keep_group(is_owned: bool, error: io::Error) -> io::Result<()> {
    match is_owned && error.kind() == ErrorKind::PermissionDenied {
        true => Ok(()),
        false => Err(error),
    }
}

pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
