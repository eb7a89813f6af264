//! The store on a real directory: creation, refusals, messages.

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use tempfile::TempDir;

use super::*;

const TOKEN: &str = "550e8400-e29b-41d4-a716-446655440000";

fn name(text: &str) -> ClientName {
    text.parse().unwrap()
}

/// A working directory whose clients are these files, with these modes.
fn with_files(files: &[(&str, u32, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let clients = dir.path().join("rbac/clients");
    fs::create_dir_all(&clients).unwrap();
    for path in [dir.path().join("rbac"), clients.clone()] {
        fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
    }
    for (file, mode, text) in files {
        fs::write(clients.join(file), text).unwrap();
        fs::set_permissions(clients.join(file), Permissions::from_mode(*mode)).unwrap();
    }
    dir
}

fn new(text: &str, group: Group) -> NewClient {
    NewClient {
        name: name(text),
        group,
        limits: None,
    }
}

fn client(token: &str) -> String {
    format!("token = \"{token}\"\ngroup = \"monitoring\"\n")
}

fn refusal(dir: &TempDir) -> String {
    let told = ClientStore::open(dir.path()).unwrap_err().to_string();
    assert!(
        !told.contains(TOKEN),
        "a token in the open: {}",
        told.replace(TOKEN, "TOKEN")
    );
    told
}

#[test]
fn the_first_start_creates_the_client_of_couicctl() {
    let dir = tempfile::tempdir().unwrap();
    let made = ClientStore::open(dir.path()).unwrap().list();
    assert_eq!(made.len(), 1);
    assert_eq!(
        (made[0].name.as_str(), made[0].group),
        ("couicctl", Group::Admin)
    );
    let file = dir.path().join("rbac/clients/couicctl.toml");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o7777, 0o600);
    let again = ClientStore::open(dir.path()).unwrap();
    assert_eq!(again.list(), made, "the second start keeps the token");
    let identity = again.authenticate(&made[0].token.unwrap(), 0).unwrap();
    assert_eq!(identity.name.as_str(), PROTECTED_CLIENT);
}

#[test]
fn a_client_lives_from_its_creation_to_its_deletion_and_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = ClientStore::open(dir.path()).unwrap();
    let made = store.create(new("web-1", Group::ClientRo), 0).unwrap();
    let token = made.token.unwrap();
    let known = ClientInfo {
        token: None,
        ..made
    };
    assert!(matches!(
        store.create(new("web-1", Group::Admin), 0),
        Err(RbacError::Exists { .. })
    ));
    let again = ClientStore::open(dir.path()).unwrap();
    for store in [&store, &again] {
        assert_eq!(store.get(&name("web-1")), Some(known.clone()));
        let who = store.authenticate(&token, 0).unwrap();
        assert_eq!(who.group, Group::ClientRo);
    }
    again.delete(&name("web-1")).unwrap();
    assert!(again.authenticate(&token, 0).is_err());
    assert!(matches!(
        again.delete(&name("web-1")),
        Err(RbacError::NotFound { .. })
    ));
    assert!(
        ClientStore::open(dir.path())
            .unwrap()
            .get(&name("web-1"))
            .is_none()
    );
}

#[test]
fn the_client_of_couicctl_cannot_be_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = ClientStore::open(dir.path()).unwrap();
    assert!(matches!(
        store.delete(&name("couicctl")),
        Err(RbacError::Protected { .. })
    ));
    assert_eq!(store.list().len(), 1);
}

#[test]
fn a_file_that_appeared_meanwhile_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let store = ClientStore::open(dir.path()).unwrap();
    let path = dir.path().join("rbac/clients/web.toml");
    fs::write(&path, "by hand").unwrap();
    assert!(matches!(
        store.create(new("web", Group::Admin), 0),
        Err(RbacError::Exists { .. })
    ));
    assert_eq!(fs::read_to_string(&path).unwrap(), "by hand");
}

#[test]
fn every_bad_file_is_named_with_its_fix() {
    let dir = with_files(&[
        ("a.toml", 0o644, &client(TOKEN)),
        ("b.toml", 0o600, "token = \"x\"\ngroup = \"admin\"\n"),
        ("c d.toml", 0o600, &client(TOKEN)),
        ("e.toml", 0o400, &client(TOKEN)),
        ("f.toml", 0o600, &"#".repeat(5000)),
    ]);
    let clients = dir.path().join("rbac/clients");
    std::os::unix::fs::symlink("/dev/zero", clients.join("g.toml")).unwrap();
    fs::create_dir(clients.join("h.toml")).unwrap();
    let told = refusal(&dir);
    for expected in [
        "7 client file(s)",
        "/a.toml: has mode 0644",
        "chmod 0600 ",
        "/b.toml: token is not a UUID",
        "/c d.toml: is not named after a client",
        "/e.toml: has mode 0400",
        "/f.toml: is larger than 4096 bytes",
        "/g.toml: is a symbolic link",
        "/h.toml: is not a regular file",
    ] {
        assert!(told.contains(expected), "{expected} not in {told}");
    }
    assert!(
        !clients.join("couicctl.toml").exists(),
        "nothing is touched"
    );
}

#[test]
fn a_token_used_twice_names_both_files() {
    let dir = with_files(&[
        ("a.toml", 0o600, &client(TOKEN)),
        ("b.toml", 0o600, &client(&TOKEN.to_uppercase())),
    ]);
    let told = refusal(&dir);
    assert!(
        told.contains("/b.toml: has the same token as") && told.contains("/a.toml:"),
        "{told}"
    );
}

#[test]
fn other_files_are_ignored() {
    let dir = with_files(&[
        ("README", 0o644, "x"),
        (".web.toml", 0o644, "x"),
        (".new-1.tmp", 0o600, "left by a crash"),
        ("web.toml.bak", 0o644, "x"),
    ]);
    let store = ClientStore::open(dir.path()).unwrap();
    assert_eq!(store.list().len(), 1);
    let clients = dir.path().join("rbac/clients");
    assert!(clients.join(".web.toml").exists());
    assert!(!clients.join(".new-1.tmp").exists());
}

#[test]
fn a_foreign_owner_is_refused() {
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: only root can give files away");
        return;
    }
    let dir = with_files(&[("a.toml", 0o600, &client(TOKEN))]);
    let path = dir.path().join("rbac/clients/a.toml");
    std::os::unix::fs::chown(&path, Some(4242), None).unwrap();
    let told = refusal(&dir);
    assert!(told.contains("belongs to 4242: run chown root"), "{told}");
}

#[test]
fn debug_and_errors_hide_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let store = ClientStore::open(dir.path()).unwrap();
    let token = store.list()[0].token.unwrap();
    let shown = format!("{store:?} {:?}", store.list());
    for form in [token.to_string(), token.simple().to_string()] {
        assert!(!shown.contains(&form), "a token in Debug");
    }
}

#[test]
fn open_to_others_is_refused() {
    let dir = with_files(&[]);
    let clients = dir.path().join("rbac/clients");
    fs::set_permissions(&clients, Permissions::from_mode(0o770)).unwrap();
    let told = refusal(&dir);
    assert!(told.contains("chmod go-w"), "{told}");
}
