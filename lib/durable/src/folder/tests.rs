//! Listing, trust and the bound of damaged files.

use std::os::unix::fs::PermissionsExt;

use super::*;

const FORMAT: Format = Format {
    prefix: "journal",
    version: 1,
    max_payload: 1 << 20,
};

fn folder() -> (tempfile::TempDir, Folder) {
    let home = tempfile::tempdir().unwrap();
    let folder = Folder::new(&home.path().join("state"), FORMAT);
    folder.ensure().unwrap();
    (home, folder)
}

fn create(folder: &Folder, name: &dyn Display) {
    folder.medium().create(&folder.path(name)).unwrap();
}

#[test]
fn a_listing_is_in_order_and_without_temporary_files() {
    let (_home, folder) = folder();
    let names = [
        folder.name(2, Kind::Log),
        folder.name(2, Kind::Snapshot),
        folder.name(1, Kind::Log),
    ];
    for name in names {
        create(&folder, &name);
    }
    create(&folder, &"journal-x.tmp");
    create(&folder, &"notes");
    let kept = damaged_name(&names[2].to_string());
    create(&folder, &kept);
    let listing = folder.list().unwrap();
    assert_eq!(listing.files, [names[2], names[1], names[0]]);
    assert_eq!(listing.kept, [kept]);
    assert!(!folder.exists("journal-x.tmp") && folder.exists("notes"));
    folder.check(&listing.files).unwrap();
}

#[test]
fn files_that_other_users_could_have_written_are_refused_with_the_fix() {
    let (_home, folder) = folder();
    let name = folder.name(1, Kind::Log);
    create(&folder, &name);
    let path = folder.path(&name);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = folder.check(&[name]).unwrap_err().to_string();
    let fix = format!("run chmod 0600 {}", path.display());
    assert!(refused.ends_with(&fix), "{refused}");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
    let refused = folder.check(&[name]).unwrap_err().to_string();
    assert!(refused.contains("not a file"), "{refused}");
    if nix::unistd::geteuid().is_root() {
        fs::remove_file(&path).unwrap();
        create(&folder, &name);
        std::os::unix::fs::chown(&path, Some(4242), None).unwrap();
        let refused = folder.check(&[name]).unwrap_err().to_string();
        assert!(refused.contains("run chown --reference="), "{refused}");
    }
}

#[test]
fn damaged_files_do_not_fill_the_disk() {
    let (_home, folder) = folder();
    let mut kept: Vec<String> = (0..MOST_KEPT + 3).map(|i| format!("d{i:02}")).collect();
    for name in &kept {
        create(&folder, name);
    }
    assert_eq!(folder.forget_oldest(&mut kept), ["d00", "d01", "d02"]);
    assert_eq!(kept.len(), MOST_KEPT);
    assert!(!folder.exists("d02") && folder.exists("d03"));
}
