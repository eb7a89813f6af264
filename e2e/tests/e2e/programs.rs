//! The examples of client/examples, which docs/programs.md shows: in each language the same commands print the same.
#![expect(clippy::expect_used, reason = "a test that cannot go on ends there")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use couic_e2e::{Daemon, Lab, until};
use couic_testkit::{LONG, Program};
use nix::sys::signal::Signal;

/// An example: how it is run, and where its token is.
struct Example {
    run: Vec<String>,
    socket: PathBuf,
    token: PathBuf,
}

impl Example {
    fn command(&self, lab: &Lab, args: &[&str]) -> Command {
        let mut command = lab.host.command(&self.run[0]);
        command
            .args(&self.run[1..])
            .args(args)
            .env("COUIC_SOCKET", &self.socket)
            .env("COUIC_TOKEN_FILE", &self.token);
        command
    }

    /// Runs it with this input, and returns its exit code, output and messages.
    fn runs(&self, lab: &Lab, args: &[&str], stdin: &str) -> (i32, String, String) {
        let mut command = self.command(lab, args);
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("a program");
        let mut input = child.stdin.take().expect("its input");
        // It may not read it.
        let _ = input.write_all(stdin.as_bytes());
        drop(input);
        let done = child.wait_with_output().expect("its end");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (
            done.status.code().unwrap_or(-1),
            text(done.stdout),
            text(done.stderr),
        )
    }
}

/// Whether a program is there, or says that the test is skipped.
fn has(program: &str, shows: &str) -> bool {
    let there = Command::new(program)
        .arg(shows)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let there = there.is_ok_and(|status| status.success());
    if !there {
        println!("skipped: there is no {program}; scripts/setup installs it");
    }
    there
}

fn source(name: &str) -> String {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../client/examples");
    examples.join(name).display().to_string()
}

/// Every command of the example.
fn does_what_the_others_do(lab: &Lab, run: &[&str]) {
    let daemon = lab.daemon().start();
    let home = daemon.working_dir().parent().expect("a home").to_owned();
    let token = |name: &str, more: &[&str]| {
        let path = home.join(format!("{name}.token"));
        let file = path.display().to_string();
        let args = [
            "clients",
            "add",
            "-n",
            name,
            "-g",
            "clientrw",
            "--policy",
            "drop",
            "--tag",
            "example",
            "--token-file",
            &file,
        ];
        daemon.ctl_ok(&[&args[..], more].concat());
        path
    };
    let mut example = Example {
        run: run.iter().map(ToString::to_string).collect(),
        socket: daemon.socket(),
        token: token("example", &[]),
    };
    let mut events = follow(lab, &daemon, &example, &home);
    commands(lab, &mut example);
    let why = daemon.ctl_ok(&["log", "--json"]);
    assert!(why.contains("too many requests"), "{why}");
    let _ = events
        .until_printed("added drop 198.51.100.7/32")
        .expect("events");
    let _ = events
        .until_printed("removed drop 198.51.100.7/32")
        .expect("events");
    refusals(
        lab,
        &mut example,
        &token("slow", &["--adds-per-minute", "60"]),
    );

    let daemon = daemon.ended_by(Signal::SIGTERM).restart();
    let _ = events
        .until_printed("missed: read the list again")
        .expect("events");
    daemon.ctl_ok(&["drop", "add", "198.51.100.99", "-t", "example"]);
    let _ = events
        .until_printed("added drop 198.51.100.99/32")
        .expect("events");
    daemon.ctl_ok(&["clients", "delete", "example"]);
    let ended = events.until("it ends without a token", || None::<()>);
    assert!(ended.is_err_and(|status| !status.success()));
}

fn commands(lab: &Lab, example: &mut Example) {
    let ban = ["ban", "198.51.100.7/32", "600", "too many requests"];
    let unban = ["unban", "198.51.100.7/32"];
    let list = "198.51.100.7\n\n198.51.100.8/30\nnonsense\n";
    for (args, stdin, printed) in [
        (&ban[..], "", "198.51.100.7/32 is dropped\n"),
        (&ban, "", "198.51.100.7/32 is there already\n"),
        (
            &["batch", "700"],
            list,
            "1 added, 1 updated, 1 failed\nnonsense: cidr: not an IPv4 or IPv6 address\n",
        ),
        (&["list"], "", "198.51.100.7/32\n198.51.100.8/30\n"),
        (&["why", "198.51.100.9"], "", "drop: drop 198.51.100.8/30\n"),
        (&["why", "203.0.113.1"], "", "pass\n"),
        (&unban, "", "198.51.100.7/32 is released\n"),
        (&unban, "", "198.51.100.7/32 is not there\n"),
    ] {
        assert_eq!(
            example.runs(lab, args, stdin),
            (0, printed.to_owned(), String::new()),
            "{args:?}"
        );
    }
}

fn follow(lab: &Lab, daemon: &Daemon<'_>, example: &Example, home: &Path) -> Program {
    let events = Program::start(example.command(lab, &["follow"]), &home.join("events"));
    until("the stream is open", LONG, || {
        daemon
            .ctl_ok(&["metrics"])
            .contains("\ncouic_event_streams 1\n")
            .then_some(())
    });
    events
}

/// 422, 401, and a rate that lets one rule a second through.
fn refusals(lab: &Lab, example: &mut Example, slow: &Path) {
    let refused = |example: &Example, args: &[&str], says: &str| {
        let (code, out, err) = example.runs(lab, args, "");
        assert_eq!((code, out.as_str()), (1, ""), "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
    };
    refused(
        example,
        &["ban", "198.51.100.7", "60", "x"],
        "needs its prefix length",
    );
    let good = std::mem::replace(&mut example.token, slow.to_owned());
    let list: String = (0..60).map(|n| format!("203.0.113.{n}\n")).collect();
    let (code, out, _) = example.runs(lab, &["batch", "60"], &list);
    assert_eq!((code, out.as_str()), (0, "60 added, 0 updated, 0 failed\n"));
    let (code, out, err) = example.runs(lab, &["ban", "203.0.113.99/32", "60", "x"], "");
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (0, "203.0.113.99/32 is dropped\n", ""),
        "after a wait"
    );
    fs::write(slow, "bbfa1388-3218-463c-9722-6805507c14bb\n").expect("a wrong token");
    refused(example, &["list"], "401");
    example.token = good;
}

#[test]
fn python() {
    let Some(lab) = Lab::quiet() else { return };
    if has("python3", "--version") {
        does_what_the_others_do(&lab, &["python3", &source("program.py")]);
    }
}

#[test]
fn shell() {
    let Some(lab) = Lab::quiet() else { return };
    if has("curl", "--version") && has("jq", "--version") {
        does_what_the_others_do(&lab, &["bash", &source("program.sh")]);
    }
}

#[test]
fn go() {
    let Some(lab) = Lab::quiet() else { return };
    if !has("go", "version") {
        return;
    }
    let dir = tempfile::tempdir().expect("a folder");
    let binary = dir.path().join("program").display().to_string();
    let mut build = Command::new("go");
    let built = build
        .args(["build", "-o", &binary, &source("program.go")])
        .env("GOCACHE", dir.path().join("cache"));
    assert!(built.status().expect("go").success());
    does_what_the_others_do(&lab, &[&binary]);
}

#[test]
fn rust() {
    let Some(lab) = Lab::quiet() else { return };
    let binary = lab.binary("examples/program");
    if binary.exists() {
        does_what_the_others_do(&lab, &[&binary.display().to_string()]);
    } else {
        println!(
            "skipped: {} is not built: cargo build -p couic-client --examples",
            binary.display()
        );
    }
}
