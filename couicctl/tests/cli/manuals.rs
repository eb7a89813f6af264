//! Help, completions and man pages: generated without a daemon or a configuration.

use std::fs;

use crate::{bare, run};

#[test]
fn completions_for_three_shells() {
    for (shell, mark) in [
        ("bash", "complete -F _couicctl"),
        ("zsh", "#compdef couicctl"),
        ("fish", "complete -c couicctl"),
    ] {
        let mut command = bare();
        command.args(["completions", shell, "-c", "/nonexistent"]);
        let script = run(command, "").done();
        assert!(
            script.contains(mark) && script.contains("import"),
            "{shell}"
        );
    }
}

#[test]
fn bash_can_read_its_completions() {
    let mut command = bare();
    command.args(["completions", "bash"]);
    let script = run(command, "").done();
    let mut bash = std::process::Command::new("bash");
    bash.args(["-n", "/dev/stdin"]);
    if bash.output().is_err() {
        println!("skipped: there is no bash");
        return;
    }
    run(bash, &script).done();
}

#[test]
fn man_pages() {
    let mut command = bare();
    command.arg("man");
    let page = run(command, "").done();
    assert!(page.contains(".TH couicctl 1"), "{page}");
    let dir = tempfile::tempdir().unwrap();
    let mut command = bare();
    command.arg("man").arg(dir.path());
    run(command, "").done();
    for page in [
        "couicctl.1",
        "couicctl-drop-add.1",
        "couicctl-ignore-import.1",
        "couicctl-sets-create.1",
        "couicctl-notifiers-replay.1",
        "couicctl-peers-forget.1",
        "couicctl-panic-on.1",
        "couicctl-confirm-undo.1",
        "couicctl-doctor.1",
    ] {
        let text = fs::read_to_string(dir.path().join(page)).unwrap();
        assert!(text.contains(".SH SYNOPSIS"), "{page}");
    }
    let mut command = bare();
    command.args(["man", "/nonexistent/dir"]);
    let error = run(command, "").failed(2);
    assert!(error.contains("/nonexistent/dir"), "{error}");
}

#[test]
fn help_and_version() {
    let mut command = bare();
    command.arg("--help");
    let help = run(command, "").done();
    assert!(
        help.contains("Exit codes:") && help.contains("Examples:"),
        "{help}"
    );
    let mut command = bare();
    command.arg("--version");
    assert_eq!(
        run(command, "").done(),
        format!("couicctl {}\n", env!("CARGO_PKG_VERSION"))
    );
}
