//! The example of docs/inject.md, as a program against a stand-in for the daemon.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use couic_common::{BatchJob, BatchOutcome};
use couic_testkit::{Reply, StandIn};

const TOKEN: &str = "b09d58a9-aaf1-4911-a592-040ff5dc45eb";

/// Built beside the tests, by the same command.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    profile.join("examples/ban")
}

/// Runs it with these lines; what it printed.
fn run(dir: &Path, socket: &Path, lines: &str) -> String {
    let mut child = Command::new(example())
        .args([socket, &dir.join("token"), &dir.join("pending")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines.as_bytes()).unwrap();
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn it_bans_and_what_the_daemon_missed_is_sent_by_the_next_run() {
    let daemon = StandIn::unix(|request| {
        if request.line() != "POST /v1/drop/batch" {
            return Reply::text(200, "application/x-ndjson", "");
        }
        let text = std::str::from_utf8(&request.body).unwrap();
        let added = text.lines().count() as u64;
        let outcome = BatchOutcome {
            added,
            ..BatchOutcome::default()
        };
        Reply::json(200, serde_json::to_string(&outcome).unwrap())
    });
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("token"), TOKEN).unwrap();

    let away = dir.path().join("away");
    let told = run(dir.path(), &away, "192.0.2.7\n");
    assert_eq!(told, "1 not sent yet\n");
    let told = run(dir.path(), &daemon.socket, "2001:db8::7\n");
    assert_eq!(told, "0 not sent yet\n");

    let batches = daemon.requests().into_iter();
    let batches = batches.filter(|request| request.line() == "POST /v1/drop/batch");
    let jobs: Vec<String> = batches
        .flat_map(|batch| {
            let text = String::from_utf8(batch.body.clone()).unwrap();
            let jobs: Vec<BatchJob> = text
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            jobs.into_iter().map(|job| job.entry.cidr)
        })
        .collect();
    assert_eq!(jobs, ["192.0.2.7/32", "2001:db8::7/128"]);
}

#[test]
fn the_document_shows_it_as_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = fs::read_to_string(root.join("examples/ban.rs")).unwrap();
    let (_, code) = source.split_once("\n\n").unwrap();
    let page = fs::read_to_string(root.join("../../docs/inject.md")).unwrap();
    assert!(page.contains(code), "docs/inject.md has another example");
}
