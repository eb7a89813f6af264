//! Tokens in plain text, of a version before this one or put there by hand, become hashes at the start.

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use tempfile::TempDir;

use super::*;

const CLIENTS: usize = 5;

fn token(n: usize) -> Uuid {
    Uuid::from_u128(0xbbfa_1388_3218_463c_9722_6805_507c_1400 + n as u128)
}

fn path(dir: &TempDir, name: &str) -> PathBuf {
    dir.path().join(format!("rbac/clients/{name}.toml"))
}

fn write(dir: &TempDir, name: &str, text: &str) {
    fs::write(path(dir, name), text).unwrap();
    fs::set_permissions(path(dir, name), Permissions::from_mode(0o600)).unwrap();
}

/// The directory of an earlier version: couicctl, and some clients.
fn earlier() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let clients = dir.path().join("rbac/clients");
    fs::create_dir_all(&clients).unwrap();
    for path in [dir.path().join("rbac"), clients] {
        fs::set_permissions(path, Permissions::from_mode(0o700)).unwrap();
    }
    let text = |n, group| format!("token = \"{}\"\ngroup = \"{group}\"\n", token(n));
    write(&dir, "couicctl", &text(CLIENTS, "admin"));
    for n in 0..CLIENTS {
        write(&dir, &format!("c{n}"), &text(n, "clientrw"));
    }
    dir
}

/// Every token is valid, and how many files have theirs in plain text.
#[track_caller]
fn all_valid(dir: &TempDir, store: &ClientStore) -> usize {
    for n in 0..CLIENTS {
        let who = store.authenticate(&token(n), 0).unwrap();
        assert_eq!(who.name.as_str(), format!("c{n}"));
    }
    let who = store.authenticate(&token(CLIENTS), 0).unwrap();
    assert_eq!(who.name.as_str(), "couicctl");
    let text = fs::read_to_string(path(dir, "couicctl")).unwrap();
    assert!(
        text.contains(&token(CLIENTS).to_string()),
        "couicctl reads its own"
    );
    let is_plain = |n: &usize| {
        let text = fs::read_to_string(path(dir, &format!("c{n}"))).unwrap();
        let plain = text.contains(&token(*n).to_string());
        assert_eq!(plain, !text.contains("token_sha256 = \""), "{text}");
        plain
    };
    (0..CLIENTS).filter(is_plain).count()
}

#[test]
fn the_first_start_hashes_all_tokens_but_that_of_couicctl_and_all_stay_valid() {
    let dir = earlier();
    let store = ClientStore::open(dir.path()).unwrap();
    assert_eq!(all_valid(&dir, &store), 0);
    for client in store.list() {
        assert_eq!(
            client.token.is_some(),
            client.name.as_str() == PROTECTED_CLIENT
        );
    }
    let files = || {
        let of = |n| fs::read(path(&dir, &format!("c{n}"))).unwrap();
        (0..CLIENTS).map(of).collect::<Vec<_>>()
    };
    let first = files();
    for n in 0..CLIENTS {
        let mode = fs::metadata(path(&dir, &format!("c{n}"))).unwrap().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }
    assert_eq!(all_valid(&dir, &ClientStore::open(dir.path()).unwrap()), 0);
    assert_eq!(files(), first, "the second start changes nothing");
}

/// A kill can come between any two files, with the next one half written beside it.
#[test]
fn a_start_that_is_killed_at_any_step_loses_no_token_and_the_next_one_goes_on() {
    for done in 0..=CLIENTS {
        for torn in [None, Some(""), Some("token_sha256 = \"00")] {
            let dir = earlier();
            let store = ClientStore::open(dir.path()).unwrap();
            drop(store);
            for n in done..CLIENTS {
                let text = format!("token = \"{}\"\ngroup = \"clientrw\"\n", token(n));
                write(&dir, &format!("c{n}"), &text);
            }
            let beside = dir.path().join("rbac/clients/.new-x1.tmp");
            if let Some(text) = torn {
                fs::write(&beside, text).unwrap();
            }
            let store = ClientStore::open(dir.path()).unwrap();
            assert_eq!(all_valid(&dir, &store), 0, "after {done} files");
            assert!(!beside.exists());
        }
    }
}

#[test]
fn a_directory_that_cannot_be_written_leaves_the_tokens_valid_for_the_next_start() {
    if nix::unistd::geteuid().is_root() {
        println!("skipped: root writes anywhere");
        return;
    }
    let dir = earlier();
    let clients = dir.path().join("rbac/clients");
    fs::set_permissions(&clients, Permissions::from_mode(0o500)).unwrap();
    let store = ClientStore::open(dir.path()).unwrap();
    assert_eq!(all_valid(&dir, &store), CLIENTS);
    assert!(store.list().iter().all(|client| client.token.is_some()));
    fs::set_permissions(&clients, Permissions::from_mode(0o700)).unwrap();
    let store = ClientStore::open(dir.path()).unwrap();
    assert_eq!(all_valid(&dir, &store), 0);
}

/// A name that cannot be replaced, as on a broken disk: the other files are done, and the start goes on.
#[test]
fn a_file_that_cannot_be_replaced_keeps_its_token_and_hinders_no_other() {
    let dir = earlier();
    let store = ClientStore::open(dir.path()).unwrap();
    let stuck = Record {
        name: "c0".parse().unwrap(),
        group: Group::ClientRw,
        token: StoredToken::Plain(token(0)),
        expires: None,
        limits: None,
    };
    fs::remove_file(path(&dir, "c0")).unwrap();
    fs::create_dir(path(&dir, "c0")).unwrap();
    store.clients.write().hashed(stuck);
    store.hash_tokens();
    let store = &store;
    assert!(store.authenticate(&token(0), 0).is_ok());
    assert_eq!(
        store.get(&"c0".parse().unwrap()).unwrap().token,
        Some(token(0))
    );
}

#[test]
fn one_file_in_plain_text_and_one_hashed_with_the_same_token_are_told() {
    let dir = earlier();
    drop(ClientStore::open(dir.path()).unwrap());
    let text = format!("token = \"{}\"\ngroup = \"admin\"\n", token(0));
    write(&dir, "twin", &text);
    let told = ClientStore::open(dir.path()).unwrap_err().to_string();
    assert!(told.contains("/twin.toml: has the same token as"), "{told}");
    assert!(!told.contains(&token(0).to_string()));
}

/// A file made by hand, as a tool for many hosts does it.
#[test]
fn limits_in_a_file_by_hand_hold_and_stay() {
    let dir = earlier();
    let limits = "[limits]\npolicies = [\"drop\"]\ntags = [\"mon-*\"]\ntoken_lifetime = 60\n";
    let text = format!(
        "token = \"{}\"\ngroup = \"clientrw\"\nexpires = 1000\n{limits}",
        token(9)
    );
    write(&dir, "mon", &text);
    for _ in 0..2 {
        let store = ClientStore::open(dir.path()).unwrap();
        let who = store.authenticate(&token(9), 999).unwrap();
        assert!(who.scope.is_some());
        let told = store.authenticate(&token(9), 1000).unwrap_err();
        assert!(matches!(told, TokenError::Expired { ago: 0, .. }), "{told}");
        let shown = store.get(&"mon".parse().unwrap()).unwrap();
        assert_eq!((shown.token, shown.expires), (None, Some(1000)));
        assert_eq!(shown.limits.unwrap().tags.unwrap(), ["mon-*"]);
    }
    let store = ClientStore::open(dir.path()).unwrap();
    let rotated = store.rotate(&"mon".parse().unwrap(), Duration::ZERO, 5000);
    let rotated = rotated.unwrap();
    assert_eq!(rotated.expires, Some(5060), "as long as the one before");
    let again = ClientStore::open(dir.path()).unwrap();
    let token = rotated.token.unwrap();
    assert!(again.authenticate(&token, 5059).unwrap().scope.is_some());
    assert!(again.authenticate(&token, 5060).is_err());
}

#[test]
fn limits_that_cannot_be_are_refused_before_a_file_is_made() {
    let dir = earlier();
    let store = ClientStore::open(dir.path()).unwrap();
    for (group, limits, told) in [
        (Group::Admin, r#"{"tags": ["x"]}"#, "an admin could create"),
        (
            Group::Peering,
            r#"{"longest": 1}"#,
            "its table in the configuration",
        ),
        (Group::ClientRo, r#"{"widest_ipv4": 1}"#, "changes no rules"),
        (
            Group::Monitoring,
            r#"{"policies": ["drop"]}"#,
            "changes no rules",
        ),
        (
            Group::ClientRw,
            r#"{"tags": ["a b"]}"#,
            "limits.tags must be",
        ),
    ] {
        let client = NewClient {
            name: "new".parse().unwrap(),
            group,
            limits: serde_json::from_str(limits).unwrap(),
        };
        let refused = store.create(client, 0).unwrap_err().to_string();
        assert!(refused.contains(told), "{refused}");
        assert!(!path(&dir, "new").exists());
    }
    // Any token may end.
    let client = NewClient {
        name: "new".parse().unwrap(),
        group: Group::Monitoring,
        limits: serde_json::from_str(r#"{"token_lifetime": 60}"#).unwrap(),
    };
    assert_eq!(store.create(client, 40).unwrap().expires, Some(100));
}
