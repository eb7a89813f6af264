//! The pin directory of a configuration: its name, and the directories above it.
//!
//! The top of a bpf filesystem may be world-writable. What another user has put there is neither used nor touched: it only
//! makes the directory have another name.

use std::{
    fs, io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, lchown},
    },
    path::{Path, PathBuf},
};

use nix::unistd::geteuid;

use super::BPF_FS;

/// Our directory there. Where that name was taken by another user, one that begins with it: the top of a bpf filesystem
/// may be world-writable.
const COUIC: &str = "couic";
/// The pin directory for this working directory and its owner: the existing one, or where to create it. What another user
/// has put there is neither used nor touched.
pub(crate) fn pin_dir(working_dir: &Path, owner: u32) -> PathBuf {
    pin_dir_in(Path::new(BPF_FS), working_dir, owner)
}

fn pin_dir_in(top: &Path, working_dir: &Path, owner: u32) -> PathBuf {
    let name = pin_dir_name(working_dir);
    let usual = top.join(COUIC);
    let mut ours: Vec<PathBuf> = fs::read_dir(top)
        .into_iter()
        .flatten()
        .filter_map(|found| found.ok()?.file_name().into_string().ok())
        .filter(|found| found.strip_prefix(COUIC).is_some_and(is_suffix))
        .map(|found| top.join(found))
        .filter(|dir| is_trusted(dir, owner))
        .collect();
    ours.sort_unstable();
    let used = ours.iter().find(|dir| dir.join(&name).exists());
    let dir = match (used, ours.first()) {
        (Some(used), _) => used.clone(),
        // Its name is free or ours.
        _ if fs::symlink_metadata(&usual).is_err() || ours.contains(&usual) => usual,
        (None, Some(first)) => first.clone(),
        (None, None) => {
            let random = uuid::Uuid::new_v4().as_fields().0;
            top.join(format!("{COUIC}-{random:08x}"))
        }
    };
    dir.join(name)
}

/// What follows our name: nothing, or a hyphen and more.
fn is_suffix(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('-')
}

/// A name for each working directory.
fn pin_dir_name(working_dir: &Path) -> String {
    let real = fs::canonicalize(working_dir);
    let path = real.as_deref().unwrap_or(working_dir).as_os_str();
    let readable: String = path.to_string_lossy().chars().map(file_name_char).collect();
    let readable: String = readable.trim_matches('-').chars().take(60).collect();
    // FNV-1a, since the readable part is lossy.
    let hash = path.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3)
    });
    format!("{readable}-{hash:016x}")
}

/// Replaces characters that the name of a pin must not have.
fn file_name_char(c: char) -> char {
    if c.is_ascii_alphanumeric() || c == '_' {
        c
    } else {
        '-'
    }
}

/// Creates the pin directory and its parent for this owner if they are missing.
pub(crate) fn make_dirs(dir: &Path, (uid, gid): (u32, u32)) -> io::Result<()> {
    make_dir(dir.parent().unwrap_or(Path::new(BPF_FS)), 0o755, uid)?;
    make_dir(dir, 0o700, uid)?;
    if geteuid().is_root() && uid != 0 {
        lchown(dir, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// Whether the directory exists and is empty.
pub(crate) fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut files| files.next().is_none())
}

/// Removes the directory and its parent, each if it is empty.
pub(crate) fn remove_dirs(dir: &Path) {
    let _ = fs::remove_dir(dir);
    let above = dir.parent();
    let _ = above.map(fs::remove_dir);
}

/// Creates a directory, or checks the existing one: the top of a bpf filesystem may be world-writable.
fn make_dir(path: &Path, mode: u32, owner: u32) -> io::Result<()> {
    match fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if is_trusted(path, owner) {
        return Ok(());
    }
    let path = path.display();
    let text = format!("{path} belongs to another user, or others may write to it: remove it");
    Err(io::Error::new(io::ErrorKind::PermissionDenied, text))
}

/// Whether it is a directory that only root, this process's user and the owner may write to.
fn is_trusted(path: &Path, owner: u32) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| {
        let ours = [0, owner, geteuid().as_raw()].contains(&found.uid());
        found.is_dir() && ours && found.mode() & 0o022 == 0
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn each_working_directory_has_a_valid_pin_directory_of_its_own() {
        let a = pin_dir_name(Path::new("/no/such.dir/couic"));
        let b = pin_dir_name(Path::new("/no/such-dir/couic"));
        assert_ne!(a, b);
        for name in [&a, &b] {
            assert!(name.starts_with("no-such-dir-couic-"), "{name}");
            assert!(!name.contains('.'), "{name}");
        }
        let long = pin_dir_name(Path::new(&format!("/{}", "x".repeat(4000))));
        assert!(long.len() < 100);
    }

    #[test]
    fn a_name_that_another_user_took_is_avoided_and_the_own_one_found_again() {
        let top = tempfile::tempdir().unwrap();
        let (work, me) = (Path::new("/no/such/dir"), geteuid().as_raw());
        let dir = || pin_dir_in(top.path(), work, me);
        let usual = top.path().join(COUIC);
        assert_eq!(dir().parent(), Some(&*usual));
        // One that others may write to counts as theirs.
        let theirs = |name: &str| {
            let path = top.path().join(name);
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        };
        theirs("couic");
        theirs("couic-00000000");
        let own = dir();
        make_dirs(&own, (me, nix::unistd::getegid().as_raw())).unwrap();
        let name = own.parent().unwrap().file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("couic-") && name != "couic-00000000");
        assert_eq!(dir(), own, "the next start finds it");
        let other = pin_dir_in(top.path(), Path::new("/other"), me);
        assert_eq!(other.parent(), own.parent(), "as does another daemon");
        fs::remove_dir(&usual).unwrap();
        assert_eq!(dir(), own, "also once the usual name is free again");
        remove_dirs(&own);
        assert_eq!(dir().parent(), Some(&*usual));
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let me = geteuid().as_raw();
        let path = dir.path().join("couic");
        make_dir(&path, 0o700, me).unwrap();
        make_dir(&path, 0o700, me).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o770)).unwrap();
        let told = make_dir(&path, 0o700, me).unwrap_err().to_string();
        assert!(
            told.ends_with("others may write to it: remove it"),
            "{told}"
        );
        fs::remove_dir(&path).unwrap();
        std::os::unix::fs::symlink("/", &path).unwrap();
        assert!(
            make_dir(&path, 0o700, me).is_err(),
            "a symbolic link is not followed"
        );
    }
}
