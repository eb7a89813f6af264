use std::os::unix::fs::MetadataExt;

use nix::unistd::geteuid;

use super::*;

/// A check in place of the daemon's, which accepts what does not contain `bad`.
fn checked(path: &Path, text: &str) -> Result<(), String> {
    replace_if_accepted(path, text, "root", |new| {
        let text = fs::read_to_string(new).unwrap();
        if text.contains("bad") {
            Err(text)
        } else {
            Ok(())
        }
    })
}

#[test]
fn a_refused_configuration_leaves_the_old_one() {
    if !geteuid().is_root() {
        println!("skipped: only root can give files to root");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("etc/couic.toml");
    checked(&path, "ifaces = [\"a\"]\n").unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    let why = checked(&path, "bad\n").unwrap_err();
    assert!(
        why.contains("the old file is unchanged") && why.contains("bad"),
        "{why}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "ifaces = [\"a\"]\n");
    checked(&path, "ifaces = [\"b\"]\n").unwrap();
    let old = path.with_extension("toml.old");
    assert_eq!(fs::read_to_string(&old).unwrap(), "ifaces = [\"a\"]\n");
    assert_eq!(fs::metadata(&old).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 2);
}

#[test]
fn failing_programs_and_unknown_accounts_are_named() {
    let why = call("/bin/sh", &["-c", "echo broken >&2; exit 3"]).unwrap_err();
    assert!(why.contains("failed: broken"), "{why}");
    assert!(
        call("/no/such/program", &[])
            .unwrap_err()
            .contains("cannot be run")
    );
    let why = ids("no-such-user-here", "root").unwrap_err().to_string();
    assert!(why.contains("there is no user no-such-user-here"), "{why}");
}

#[tokio::test]
async fn the_step_that_failed_is_named_and_ends_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let blocker = dir.path().join("file");
    fs::write(&blocker, "").unwrap();
    let step = |path: PathBuf| Step::File {
        path,
        text: String::new(),
        owner: None,
        about: "x".into(),
    };
    let last = dir.path().join("never");
    let steps = [
        step(dir.path().join("a")),
        step(blocker.join("b")),
        step(last.clone()),
    ];
    let daemon = Daemon::default();
    let done = all(&steps, &daemon, true).await;
    let told = done.unwrap_err().text();
    assert!(
        told.contains("could not write") && told.contains("run couicctl setup again"),
        "{told}"
    );
    assert!(dir.path().join("a").exists() && !last.exists());
}
