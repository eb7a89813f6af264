//! The real binary against a stand-in daemon: requests, output and exit codes.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failing test says so by panicking"
)]

mod config;
mod doctor;
mod entries;
mod events;
mod failures;
mod figures;
mod guard;
mod import;
mod live;
mod manuals;
mod notifiers;
mod peers;
mod sets;
mod state;
mod switch;
mod tokens;
mod words;

use std::{
    fs,
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use couic_testkit::StandIn;

/// The token that tests use.
const TOKEN: &str = "bbfa1388-3218-463c-9722-6805507c14bb";

/// The result of a run.
#[derive(Debug)]
struct Run {
    code: i32,
    out: String,
    err: String,
}

impl Run {
    /// Success, nothing on stderr.
    #[track_caller]
    fn done(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{self:?}");
        self.out
    }

    /// Success, and one JSON document on stdout.
    #[track_caller]
    fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.done()).unwrap()
    }

    /// Failure, nothing on stdout.
    #[track_caller]
    fn failed(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "{self:?}");
        self.err
    }
}

/// The binary, without the SSH session of the tests.
fn bare() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_couicctl"));
    command
        .env_remove("SSH_CONNECTION")
        .env_remove("SSH_CLIENT");
    command
}

/// Writes a configuration for the stand-in, with the client file beside it.
fn config(daemon: &StandIn) -> PathBuf {
    let dir = daemon.dir.path();
    let client_file = dir.join("client.toml");
    fs::write(
        &client_file,
        format!("token = \"{TOKEN}\"\ngroup = \"admin\"\n"),
    )
    .unwrap();
    fs::set_permissions(&client_file, fs::Permissions::from_mode(0o600)).unwrap();
    let path = dir.join("couicctl.toml");
    let text = format!(
        "mode = \"local\"\nsocket = {:?}\nclient_file = {client_file:?}\n",
        daemon.socket
    );
    fs::write(&path, text).unwrap();
    path
}

fn command(config: &Path, args: &[&str]) -> Command {
    let mut command = bare();
    command.arg("-c").arg(config).args(args);
    command
}

fn run(mut command: Command, stdin: &str) -> Run {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that does not read its input may have exited already.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Run {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a command against the stand-in.
fn couicctl(daemon: &StandIn, args: &[&str]) -> Run {
    run(command(&config(daemon), args), "")
}
