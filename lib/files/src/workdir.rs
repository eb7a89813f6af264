//! Checks of the working directory: write access to it is as good as an administrator's token.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use nix::unistd::{Gid, Uid, geteuid, setfsgid, setfsuid};

use crate::{Account, DirError, owner_name};

/// Checks that the process runs as root or as the configured user.
///
/// # Errors
/// [`DirError::WrongUser`].
pub fn check_process_user(owner: &Account) -> Result<(), DirError> {
    let running = geteuid();
    if running.is_root() || running.as_raw() == owner.uid {
        return Ok(());
    }
    Err(DirError::WrongUser {
        running: owner_name(running.as_raw()),
        user: owner.user.clone(),
    })
}

/// Checks that the directory exists, belongs to the configured user, and is writable by that user only, and that none
/// of `lock_files` in it is a symbolic link.
///
/// # Errors
/// [`DirError`], with the command that repairs it.
pub fn check_working_dir(
    path: &Path,
    owner: &Account,
    lock_files: &[&str],
) -> Result<(), DirError> {
    let path = path.to_owned();
    let (user, group) = (owner.user.clone(), owner.group.clone());
    let found = match fs::metadata(&path) {
        Ok(found) => found,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(DirError::Missing { path, user, group });
        }
        Err(source) => {
            let closed = closed_way(&path, owner);
            return Err(closed.unwrap_or(DirError::Io { path, source }));
        }
    };
    if !found.is_dir() {
        return Err(DirError::NotADirectory { path });
    }
    if found.uid() != owner.uid {
        let found = owner_name(found.uid());
        return Err(DirError::ForeignOwner {
            path,
            found,
            user,
            group,
        });
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(DirError::Open { path, mode });
    }
    if let Some(closed) = closed_way(&path, owner) {
        return Err(closed);
    }
    for name in lock_files {
        let path = path.join(name);
        if path.is_symlink() {
            return Err(DirError::LockIsLink { path });
        }
    }
    Ok(())
}

/// The first directory above that the configured user cannot search, by its mode; `None` if the kernel lets that user
/// through, for example by an ACL.
fn closed_way(path: &Path, owner: &Account) -> Option<DirError> {
    if reached_by(path, owner) {
        return None;
    }
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut above: Vec<&Path> = real.ancestors().skip(1).collect();
    above.reverse();
    above.into_iter().find_map(|way| {
        let found = fs::metadata(way).ok()?;
        let bit = if found.uid() == owner.uid {
            0o100
        } else if found.gid() == owner.gid {
            0o010
        } else {
            0o001
        };
        (found.mode() & bit == 0).then(|| DirError::Closed {
            path: path.to_owned(),
            way: way.to_owned(),
            found: owner_name(found.uid()),
            mode: found.mode() & 0o7777,
            user: owner.user.clone(),
        })
    })
}

/// Whether the configured user can reach the path; root asks the kernel on behalf of that user.
fn reached_by(path: &Path, owner: &Account) -> bool {
    if !geteuid().is_root() {
        return fs::metadata(path).is_ok();
    }
    // The file system IDs of this thread only.
    let group = setfsgid(Gid::from_raw(owner.gid));
    let user = setfsuid(Uid::from_raw(owner.uid));
    let reached = fs::metadata(path).is_ok();
    setfsuid(user);
    setfsgid(group);
    reached
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn owner(uid: u32) -> Account {
        Account {
            user: "couic".to_owned(),
            group: "wheel".to_owned(),
            uid,
            gid: 0,
        }
    }

    #[test]
    fn each_refusal_names_its_fix() {
        let me = geteuid().as_raw();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let shown = path.display();
        check_working_dir(path, &owner(me), &[]).unwrap();
        let told = |path: &Path, uid| {
            check_working_dir(path, &owner(uid), &[])
                .unwrap_err()
                .to_string()
        };
        let missing = told(&path.join("x"), me);
        assert!(
            missing.ends_with(&format!(
                "run install -d -m 0750 -o couic -g wheel {shown}/x"
            )),
            "{missing}"
        );
        let foreign = told(path, me + 1);
        assert!(
            foreign.ends_with(&format!("not to couic: run chown -R couic:wheel {shown}")),
            "{foreign}"
        );
        for mode in [0o770, 0o707, 0o1777] {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            let open = told(path, me);
            assert!(
                open.ends_with(&format!("(mode {mode:04o}): run chmod go-w {shown}")),
                "{open}"
            );
        }
        fs::write(path.join("file"), "").unwrap();
        assert!(told(&path.join("file"), me).contains("is not a directory"));
    }

    #[test]
    fn a_directory_above_that_is_closed_to_the_user_is_named() {
        if !geteuid().is_root() {
            println!("skipped: only root can give directories away");
            return;
        }
        let top = tempfile::tempdir().unwrap();
        let (way, path) = (top.path().join("way"), top.path().join("way/in/work"));
        fs::create_dir_all(&path).unwrap();
        std::os::unix::fs::chown(&path, Some(4242), None).unwrap();
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        set(top.path(), 0o755);
        check_working_dir(&path, &owner(4242), &[]).unwrap();
        set(&way, 0o700);
        let told = check_working_dir(&path, &owner(4242), &[])
            .unwrap_err()
            .to_string();
        let fix = format!("run chmod o+x {}, or name", way.display());
        assert!(
            told.starts_with("couic cannot reach") && told.contains(&fix),
            "{told}"
        );
        assert!(fs::metadata(&path).is_ok(), "this thread is root again");
    }

    #[test]
    fn a_lock_file_that_is_a_symbolic_link_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/dev/null", dir.path().join("couic.lock")).unwrap();
        let me = owner(geteuid().as_raw());
        let told = check_working_dir(dir.path(), &me, &["couic.lock"])
            .unwrap_err()
            .to_string();
        assert!(told.contains("couic.lock, and start couic again"), "{told}");
    }

    #[test]
    fn the_process_runs_as_root_or_the_configured_user() {
        let me = geteuid();
        check_process_user(&owner(me.as_raw())).unwrap();
        assert_eq!(
            check_process_user(&owner(me.as_raw() + 1)).is_ok(),
            me.is_root()
        );
    }
}
