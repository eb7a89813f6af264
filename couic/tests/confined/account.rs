//! The change of a daemon started as root to the configured account.

use std::{fs, io, path::Path};

use couic_files::Account;
use couic_privsep::{become_configured_user, drop_privileges, files::Files, threads};
use nix::unistd::{Uid, geteuid, setuid};
use tempfile::TempDir;

use crate::{apart, refused};

#[test]
fn root_becomes_the_configured_user_and_cannot_regain_root() {
    apart(
        "account::root_becomes_the_configured_user_and_cannot_regain_root",
        || {
            if !geteuid().is_root() {
                println!("skipped: only root can become another user");
                return;
            }
            let owner = Account {
                user: "someuser".to_owned(),
                group: "someuser".to_owned(),
                uid: 4242,
                gid: 4343,
            };
            become_configured_user(&owner).unwrap();
            refused("shadow", fs::read("/etc/shadow"));
            let (_dir, config) = place_without_account();
            drop_privileges(&config).unwrap();
            for thread in threads().unwrap() {
                assert_eq!((thread.uids, thread.gids), (vec![4242; 4], vec![4343; 4]));
                assert_eq!(thread.groups, [4343]);
                assert!(thread.effective.is_empty() && thread.permitted.is_empty());
                assert!(thread.inheritable.is_empty() && thread.ambient.is_empty());
                assert!(thread.bounding.is_empty() && thread.no_new_privs);
            }
            let back = setuid(Uid::from_raw(0));
            refused("root", back.map_err(io::Error::from));
        },
    );
}

fn place_without_account() -> (TempDir, Files) {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::default().write(dir.path()).read("/proc");
    assert!(Path::new(dir.path()).is_dir());
    (dir, files)
}
