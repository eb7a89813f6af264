//! Refused starts, which leave the machine untouched.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    process::Command,
};

use couic::attach::WorkLock;
use couic_files::Account;
use nix::unistd::{getegid, geteuid};

use crate::harness::Place;

fn set_mode(path: impl AsRef<std::path::Path>, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn an_invalid_configuration_exits_64_with_all_mistakes_and_touches_nothing() {
    let mut place = Place::new();
    place.ifaces = "[]".to_owned();
    place.more = "colour = 1\n[guard]\nenforce = 2\n".to_owned();
    let output = place.run();
    assert_eq!(output.status.code(), Some(64));
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = stderr.lines().collect();
    let file = place.path("couic.toml");
    let shown = file.display();
    assert_eq!(lines.len(), 3, "{stderr}");
    assert!(
        lines[0].starts_with(&format!("{shown}:1: ifaces: is empty")),
        "{stderr}"
    );
    assert!(
        lines[1].starts_with(&format!("{shown}:16: server.colour: unknown key")),
        "{stderr}"
    );
    assert!(
        lines[2].starts_with(&format!("{shown}:18: guard.enforce: must be true or false")),
        "{stderr}"
    );
    assert!(!place.path("log").exists(), "no log was opened");
    assert_eq!(fs::read_dir(place.working_dir()).unwrap().count(), 0);
}

#[test]
fn a_missing_configuration_file_exits_64_and_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_couic"))
        .args(["-c", "/no/such/couic.toml"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.starts_with("/no/such/couic.toml: cannot be read: No such file"),
        "{stderr}"
    );
}

#[test]
fn version_and_check_config_have_no_side_effects() {
    let couic = || Command::new(env!("CARGO_BIN_EXE_couic"));
    let output = couic().arg("--version").output().unwrap();
    let version = String::from_utf8(output.stdout).unwrap();
    let start = concat!("couic ", env!("CARGO_PKG_VERSION"), " (");
    assert!(version.starts_with(start), "{version}");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("couic.toml");
    let check = |text: &str| {
        fs::write(&file, text).unwrap();
        couic()
            .arg("--check-config")
            .arg("-c")
            .arg(&file)
            .output()
            .unwrap()
    };
    let Place { user, group, .. } = Place::new();
    let text = |working_dir: &std::path::Path| {
        format!(
            "ifaces = [\"eth0\"]\nuser = {user:?}\ngroup = {group:?}\nworking_dir = {working_dir:?}\n"
        )
    };
    let output = check(&text(dir.path()));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(check("ifaces = 1\n").status.code(), Some(64));
    let gone = dir.path().join("gone");
    let output = check(&text(&gone));
    assert_eq!(output.status.code(), Some(1), "as the start: {output:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let expected = format!(
        "couic would not start: the working directory {} does not exist: run install -d",
        gone.display()
    );
    assert!(stderr.starts_with(&expected), "{stderr}");
    assert!(!gone.exists(), "check-config must not create it");
}

#[test]
fn a_lock_file_that_is_a_symlink_is_refused() {
    let place = Place::new();
    let link = place.working_dir().join("couic.lock");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    place.refused(&format!("run rm {}, and start couic again", link.display()));
}

#[test]
fn a_missing_working_directory_is_refused() {
    let place = Place::new();
    fs::remove_dir(place.working_dir()).unwrap();
    place.refused("does not exist: run install -d -m 0750 -o ");
}

#[test]
fn a_working_directory_open_to_others_is_refused() {
    let place = Place::new();
    set_mode(place.working_dir(), 0o777);
    place.refused("run chmod go-w ");
}

#[test]
fn a_working_directory_of_another_user_is_refused() {
    if !geteuid().is_root() {
        println!("skipped: only root can chown directories");
        return;
    }
    let place = Place::new();
    std::os::unix::fs::chown(place.working_dir(), Some(4242), None).unwrap();
    place.refused("belongs to 4242, not to root: run chown -R root:");
}

#[test]
fn a_locked_working_directory_is_refused() {
    let place = Place::new();
    let owner = Account {
        user: String::new(),
        group: String::new(),
        uid: geteuid().as_raw(),
        gid: getegid().as_raw(),
    };
    let _held = WorkLock::acquire(&place.working_dir(), &owner).unwrap();
    place.refused(&format!(
        "another couic (process {}) uses this working_dir",
        std::process::id()
    ));
}

#[test]
fn a_socket_in_use_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("run")).unwrap();
    let _live = UnixListener::bind(place.socket()).unwrap();
    place.refused("another couic is running: it listens on ");
}

#[test]
fn a_socket_path_that_is_not_a_socket_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("run")).unwrap();
    fs::write(place.socket(), "precious").unwrap();
    place.refused("is not a socket of couic: move it away");
    assert_eq!(fs::read(place.socket()).unwrap(), b"precious");
}

#[test]
fn a_client_file_readable_by_others_is_refused() {
    let place = Place::new();
    let clients = place.working_dir().join("rbac/clients");
    fs::create_dir_all(&clients).unwrap();
    set_mode(place.working_dir().join("rbac"), 0o700);
    set_mode(&clients, 0o700);
    let file = clients.join("web.toml");
    fs::write(
        &file,
        "token = \"550e8400-e29b-41d4-a716-446655440000\"\ngroup = \"admin\"\n",
    )
    .unwrap();
    set_mode(&file, 0o644);
    place.refused("web.toml: has mode 0644, but holds a secret: run chmod 0600 ");
    assert!(!place.log().contains("550e8400"), "a token in the log");
}

#[test]
fn a_log_that_cannot_be_opened_is_refused() {
    let place = Place::new();
    fs::write(place.path("log"), "a file where the directory goes").unwrap();
    let output = place.run();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.starts_with("couic: cannot open the log file ") && stderr.contains("[logging] dir"),
        "{stderr}"
    );
}
