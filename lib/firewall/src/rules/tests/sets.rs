//! Set files on a real disk.

use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
};

use couic_common::{SetName, SetSummary};

use super::*;

fn store() -> (tempfile::TempDir, SetStore) {
    let dir = tempfile::tempdir().unwrap();
    let store = SetStore::open(dir.path()).unwrap();
    (dir, store)
}

fn cidrs(texts: &[&str]) -> Vec<Cidr> {
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

#[test]
fn create_replace_delete() {
    let (_dir, store) = store();
    let name: SetName = "bad-guys".parse().unwrap();
    let first = cidrs(&["10.0.0.0/8", "1.2.3.4/32", "10.0.0.0/8"]);
    let summary = store.create(Policy::Drop, &name, &first).unwrap();
    assert_eq!((summary.entry_count, summary.file_size), (2, 22));
    assert_eq!(
        store.read(Policy::Drop, &name).unwrap(),
        cidrs(&["1.2.3.4/32", "10.0.0.0/8"])
    );
    assert!(matches!(
        store.create(Policy::Drop, &name, &[]),
        Err(SetError::Exists { .. })
    ));
    assert!(matches!(
        store.replace(Policy::Ignore, &name, &[]),
        Err(SetError::NotFound { .. })
    ));
    store
        .replace(Policy::Drop, &name, &cidrs(&["::/0"]))
        .unwrap();
    let listed = store.list(Policy::Drop).unwrap();
    assert_eq!(
        listed,
        [SetSummary {
            name: name.clone(),
            entry_count: 1,
            file_size: 5
        }]
    );
    assert!(store.list(Policy::Ignore).unwrap().is_empty());
    store.delete(Policy::Drop, &name).unwrap();
    assert!(matches!(
        store.delete(Policy::Drop, &name),
        Err(SetError::NotFound { .. })
    ));
    assert!(matches!(
        store.read(Policy::Drop, &name),
        Err(SetError::NotFound { .. })
    ));
}

#[test]
fn nothing_is_left_behind_and_nobody_else_can_write() {
    let (dir, store) = store();
    let name: SetName = "a".parse().unwrap();
    store
        .create(Policy::Drop, &name, &cidrs(&["10.0.0.0/8"]))
        .unwrap();
    store
        .create(Policy::Drop, &name, &cidrs(&["10.0.0.0/8"]))
        .unwrap_err();
    let folder = dir.path().join("sets/drop");
    let files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|f| f.unwrap().file_name())
        .collect();
    assert_eq!(files, ["a.couic"]);
    let mode = fs::metadata(folder.join("a.couic")).unwrap().mode();
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn strict_names_the_line_and_lenient_loads_the_rest() {
    let (dir, store) = store();
    fs::write(
        dir.path().join("sets/drop/bad.couic"),
        "10.0.0.0/8\nnonsense\n",
    )
    .unwrap();
    fs::write(dir.path().join("sets/drop/good.couic"), "10.0.0.0/8\n").unwrap();
    fs::write(dir.path().join("sets/drop/readme.txt"), "nonsense").unwrap();
    fs::write(dir.path().join("sets/drop/.hidden.couic"), "nonsense").unwrap();
    let error = store.load_strict().unwrap_err();
    assert!(
        matches!(&error, SetError::BadLine { file, line: 2, .. } if file == "bad.couic"),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("sets/drop/bad.couic line 2: not an IPv4 or IPv6 address"),
        "{error}"
    );
    let (catalog, problems) = store.load_lenient();
    assert_eq!(
        catalog
            .0
            .iter()
            .map(|s| s.name.as_str())
            .collect::<Vec<_>>(),
        ["good"]
    );
    let told: Vec<_> = problems.iter().map(|p| (p.file.as_str(), p.line)).collect();
    assert_eq!(told, [("bad.couic", Some(2)), (".hidden.couic", None)]);
    assert_eq!(
        store
            .list(Policy::Drop)
            .unwrap()
            .iter()
            .map(|s| s.entry_count)
            .collect::<Vec<_>>(),
        [0, 1]
    );
}

#[test]
fn a_file_that_is_too_large_is_not_read() {
    let (dir, store) = store();
    let name: SetName = "big".parse().unwrap();
    let file = File::create(dir.path().join("sets/drop/big.couic")).unwrap();
    file.set_len(MAX_SET_FILE + 1).unwrap();
    assert!(matches!(
        store.read(Policy::Drop, &name),
        Err(SetError::TooLarge { .. })
    ));
}

#[test]
fn sets_are_not_loaded_beyond_what_rules_can_be() {
    let (_dir, store) = store();
    let store = store.for_limits(Limits {
        drop_entries: 1,
        ignore_entries: 1,
    });
    for name in ["a", "b", "c"] {
        let entries = cidrs(&["10.0.0.0/8", "11.0.0.0/8"]);
        let name = name.parse().unwrap();
        store.create(Policy::Drop, &name, &entries).unwrap();
    }
    let error = store.load_strict().unwrap_err();
    assert!(
        matches!(&error, SetError::TooMany { file, most: 4, .. } if file == "c.couic"),
        "{error}"
    );
    let (catalog, problems) = store.load_lenient();
    assert_eq!((catalog.len(), problems.len()), (4, 1));
    assert_eq!(problems[0].file, "c.couic");
}

#[test]
fn what_a_crash_left_half_written_is_removed_at_the_start() {
    let (dir, _) = store();
    let folder = dir.path().join("sets/drop");
    for name in [".new-Xy12", "kept.couic", "notes.txt"] {
        fs::write(folder.join(name), "10.0.0.0/8\n").unwrap();
    }
    let store = SetStore::open(dir.path()).unwrap();
    assert!(!folder.join(".new-Xy12").exists());
    assert!(folder.join("notes.txt").exists());
    assert_eq!(store.list(Policy::Drop).unwrap().len(), 1);
}

#[test]
fn folders_and_fifos_are_refused() {
    let (dir, store) = store();
    fs::create_dir(dir.path().join("sets/drop/folder.couic")).unwrap();
    nix::unistd::mkfifo(
        &dir.path().join("sets/drop/pipe.couic"),
        nix::sys::stat::Mode::S_IRWXU,
    )
    .unwrap();
    for name in ["folder", "pipe"] {
        let error = store
            .read(Policy::Drop, &name.parse().unwrap())
            .unwrap_err();
        assert!(matches!(error, SetError::Unreadable { .. }), "{error}");
    }
}

#[test]
fn a_set_keeps_its_group_where_it_may_not_be_given() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

    const USER: u32 = 65_534;
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: changes the owner of folders, which needs root");
        return;
    }
    let (dir, store) = store();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for folder in ["", "sets", "sets/drop", "sets/ignore"] {
        chown(dir.path().join(folder), Some(USER), Some(12_345)).unwrap();
    }
    // Of this thread only; with it go the capabilities over files, as those of the daemon do.
    nix::unistd::setfsuid(nix::unistd::Uid::from_raw(USER));
    let name = "a".parse().unwrap();
    let entries = cidrs(&["10.0.0.0/8"]);
    let written = store.put(Policy::Drop, &name, &entries);
    nix::unistd::setfsuid(nix::unistd::Uid::from_raw(0));
    assert_eq!(written.unwrap().entry_count, 1);
    let file = fs::metadata(dir.path().join("sets/drop/a.couic")).unwrap();
    assert_eq!((file.uid(), file.mode() & 0o777), (USER, 0o640));
    assert_ne!(file.gid(), 12_345);
}
