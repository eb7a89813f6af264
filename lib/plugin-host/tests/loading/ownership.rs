//! Files that another user could change are refused, and a file that changes afterwards is not what runs.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::Path,
};

use couic_plugin_host::{PluginFile, Reason};

use crate::{
    kit::{BOTH, chameleon, folder, start},
    refused::refuse,
};

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_others_could_change() {
    let Some(good) = chameleon() else { return };
    let dir = folder();
    let inner = dir.path().join("inner");
    fs::create_dir(&inner).unwrap();
    chmod(&inner, 0o755);
    let path = inner.join("a.so");
    fs::copy(&*good, &path).unwrap();
    for mode in [0o666, 0o664, 0o646] {
        chmod(&path, mode);
        let reason = refuse(&path);
        let text = reason.to_string();
        assert!(
            matches!(reason, Reason::Writable { .. }) && text.contains(&format!("{mode:04o}")),
            "{text}"
        );
    }
    chmod(&path, 0o644);
    PluginFile::check(&path, None).unwrap();
    for (folder, mode) in [
        (inner.as_path(), 0o775),
        (inner.as_path(), 0o1777),
        (dir.path(), 0o757),
    ] {
        chmod(folder, mode);
        let reason = refuse(&path);
        assert!(
            matches!(&reason, Reason::Writable { path, .. } if path == folder),
            "{reason}"
        );
        chmod(folder, 0o755);
    }
    PluginFile::check(&path, None).unwrap();
}

#[test]
fn what_belongs_to_somebody_else() {
    if !nix::unistd::geteuid().is_root() {
        return eprintln!("skipped: only root can give files away");
    }
    let Some(good) = chameleon() else { return };
    let dir = folder();
    let path = dir.path().join("a.so");
    fs::copy(&*good, &path).unwrap();
    chmod(&path, 0o644);
    chown(&path, Some(1234), None).unwrap();
    assert!(matches!(
        refuse(&path),
        Reason::Owner {
            uid: 1234,
            us: 0,
            ..
        }
    ));
    chown(&path, Some(0), None).unwrap();
    chown(dir.path(), Some(1234), None).unwrap();
    let reason = refuse(&path);
    assert!(
        matches!(&reason, Reason::Owner { path, .. } if path == dir.path()),
        "{reason}"
    );
}

#[test]
fn a_link_stays_in_its_folder() {
    let Some(good) = chameleon() else { return };
    let dir = folder();
    fs::copy(&*good, dir.path().join("a-1.0.so")).unwrap();
    chmod(&dir.path().join("a-1.0.so"), 0o644);
    symlink("a-1.0.so", dir.path().join("a.so")).unwrap();
    PluginFile::check(&dir.path().join("a.so"), None).unwrap();
    symlink(&*good, dir.path().join("out.so")).unwrap();
    let reason = refuse(&dir.path().join("out.so"));
    assert!(
        matches!(&reason, Reason::Outside { target, .. } if **target == *good),
        "{reason}"
    );
}

/// What was checked is what runs, whatever becomes of the file in between and afterwards.
#[tokio::test]
async fn the_copy_runs_not_the_file() {
    use crate::kit::{Ask as _, Mode, isolation, options};
    use couic_plugin_host::{IsolatedNotifier, LoadedNotifier};
    let Some(good) = chameleon() else { return };
    for mode in BOTH {
        let dir = folder();
        let path = dir.path().join("a.so");
        fs::copy(&*good, &path).unwrap();
        chmod(&path, 0o644);
        let file = PluginFile::check(&path, None).unwrap();
        let size = fs::metadata(&path).unwrap().len();
        // In place: this is what would be a SIGBUS, or foreign code, in a mapped file.
        fs::write(&path, vec![0xcc; usize::try_from(size).unwrap()]).unwrap();
        let options = options();
        match mode {
            Mode::Loaded => {
                let loaded = LoadedNotifier::load(file, "a", "{}", &options)
                    .await
                    .unwrap();
                loaded.ask("ok").await.unwrap();
            }
            Mode::Isolated => {
                let isolation = isolation();
                let isolated = IsolatedNotifier::start(file, "a", "{}", &options, &isolation);
                isolated.await.unwrap().ask("ok").await.unwrap();
            }
        }
        assert!(start(mode, &path, "{}").await.is_err());
    }
}
