//! Help, completions and man pages: generated without a daemon or a configuration.

use std::fs;

use couic_testkit::{Reply, StandIn};

use crate::{bare, config, run};

#[test]
fn completions_for_three_shells() {
    for (shell, mark) in [
        ("bash", "-F _clap_complete_couicctl couicctl"),
        ("zsh", "#compdef couicctl"),
        (
            "fish",
            "complete --keep-order --exclusive --command couicctl",
        ),
    ] {
        let mut command = bare();
        command.args(["completions", shell, "-c", "/nonexistent"]);
        let script = run(command, "").done();
        assert!(
            script.contains(mark) && script.contains("COMPLETE"),
            "{shell}: {script}"
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
    command.arg("-V");
    let short = run(command, "").done();
    assert_eq!(short, concat!("couicctl ", env!("CARGO_PKG_VERSION"), "\n"));
    let mut command = bare();
    command.arg("--version");
    let long = run(command, "").done();
    assert!(
        long.starts_with(&format!("{} (", short.trim_end())),
        "{long}"
    );
    assert!(long.contains("-linux-"), "{long}");
}

/// What bash would offer for this line.
fn offered(config: &std::path::Path, line: &[&str]) -> Vec<String> {
    let mut words = vec!["couicctl", "-c", config.to_str().unwrap()];
    words.extend(line);
    let index = words.len() - 1;
    let mut command = bare();
    command
        .env("COMPLETE", "bash")
        .env("_CLAP_IFS", "\n")
        .env("_CLAP_COMPLETE_INDEX", index.to_string())
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_COMPLETE_SPACE", "true")
        .arg("--")
        .args(&words);
    let offered = run(command, "").done();
    // Options, too, where a word is empty.
    let names = offered.lines().filter(|line| !line.starts_with('-'));
    names.map(str::to_owned).collect()
}

fn names() -> StandIn {
    StandIn::unix(|seen| match seen.line() {
        "GET /v1/client" => Reply::json(
            200,
            r#"[{"name":"web","group":"admin","token":"00000000-0000-0000-0000-000000000001"},
                {"name":"f2b","group":"admin","token":"00000000-0000-0000-0000-000000000002"}]"#,
        ),
        "GET /v1/sets/drop" => Reply::json(
            200,
            r#"[{"name":"spamhaus","entry_count":2,"file_size":2048}]"#,
        ),
        "GET /v1/stats/tags/drop" => {
            Reply::json(200, r#"{"tags":{"sshd":{"rx_packets":1,"rx_bytes":60}}}"#)
        }
        _ => Reply::status(500),
    })
}

#[test]
fn names_are_completed_by_the_daemon() {
    let daemon = names();
    let config = config(&daemon);
    assert_eq!(offered(&config, &["clients", "delete", ""]), ["f2b", "web"]);
    assert_eq!(offered(&config, &["clients", "delete", "w"]), ["web"]);
    assert_eq!(
        offered(&config, &["sets", "inspect", "drop", "s"]),
        ["spamhaus"]
    );
    assert_eq!(offered(&config, &["drop", "list", "-t", ""]), ["sshd"]);
    assert_eq!(offered(&config, &["unb"]), ["unban"]);
    // Errors, and no daemon at all, complete nothing, without a word.
    assert!(offered(&config, &["notifiers", "test", ""]).is_empty());
    fs::remove_file(&daemon.socket).unwrap();
    assert!(offered(&config, &["clients", "delete", ""]).is_empty());
}

/// The whole way: the script in a real bash, whose completion function is called as readline does.
#[test]
fn bash_completes_with_the_script() {
    let daemon = names();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_couicctl"));
    let line = format!("couicctl -c {} clients delete f", config(&daemon).display());
    let script = format!(
        "source <(couicctl completions bash)\nCOMP_LINE='{line}' COMP_POINT=${{#COMP_LINE}} COMP_TYPE=9\n\
         read -ra COMP_WORDS <<<\"$COMP_LINE\"\nCOMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
         _clap_complete_couicctl couicctl f delete 2>/dev/null\necho \"${{COMPREPLY[*]}}\"\n"
    );
    let path = format!(
        "{}:{}",
        program.parent().unwrap().display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let shell = std::process::Command::new("bash")
        .args(["-c", &script])
        .env("PATH", path)
        .output();
    let Ok(shell) = shell else {
        println!("skipped: there is no bash");
        return;
    };
    let offered = String::from_utf8_lossy(&shell.stdout);
    assert_eq!(
        offered.trim(),
        "f2b",
        "{}",
        String::from_utf8_lossy(&shell.stderr)
    );
}
