//! `couic-report` as a process of its own, in the host's namespace.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Lab, until};

/// The namespace is the lab's own, so that nobody else has this port.
const PORT: u16 = 8000;
const SECRET: &str = "550e8400-e29b-41d4-a716-446655440000";
/// A debug build on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A `couic-report` with its state; killed on drop, with its log printed where the test failed.
#[derive(Debug)]
pub struct Collector<'lab> {
    lab: &'lab Lab,
    home: TempDir,
    child: Option<Child>,
}

impl<'lab> Collector<'lab> {
    /// Starts one and waits until it answers. `more` are further tables of its configuration.
    ///
    /// # Panics
    /// Where it is not built or does not start.
    #[must_use]
    pub fn start(lab: &'lab Lab, name: &str, interval_secs: u64, more: &str) -> Self {
        let home = TempDir::new().expect("a temporary directory");
        let config = format!(
            "batch_interval_secs = {interval_secs}\n\
             [server]\nname = \"{name}\"\nport = {PORT}\nsecret = \"{SECRET}\"\n{more}"
        );
        fs::write(home.path().join("config.toml"), config).expect("write config.toml");
        let mut collector = Self {
            lab,
            home,
            child: None,
        };
        collector.resume();
        collector
    }

    /// Starts it again with the same state.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn resume(&mut self) {
        let binary = self.lab.binary("couic-report");
        assert!(
            binary.is_file(),
            "{} is missing: build it (make test does), or set COUIC_BIN_DIR",
            binary.display()
        );
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.home.path().join("log"))
            .expect("a file for the log");
        let mut command = self.lab.host.command(binary);
        command
            .arg("-c")
            .arg(self.home.path().join("config.toml"))
            .env("STATE_DIRECTORY", self.home.path().join("state"))
            .stdin(Stdio::null())
            .stderr(log);
        self.child = Some(command.spawn().expect("start couic-report"));
        until("couic-report answers", START, || self.try_health());
    }

    /// Ends it as a power cut would.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("kill couic-report");
        child.wait().expect("wait for couic-report");
    }

    /// Asks it to end, and answers its exit code.
    ///
    /// # Panics
    /// Where it does not run.
    pub fn terminate(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("it runs");
        let pid = i32::try_from(child.id()).expect("a process id");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("SIGTERM");
        child.wait().expect("wait for couic-report").code()
    }

    /// What Couic's `[reporting] webhook` has to be.
    #[must_use]
    pub fn webhook(&self) -> String {
        format!("http://127.0.0.1:{PORT}/v1/reports/{SECRET}")
    }

    /// Its health document.
    ///
    /// # Panics
    /// Where it does not answer.
    #[must_use]
    pub fn health(&self) -> Value {
        self.try_health().expect("couic-report answers")
    }

    fn try_health(&self) -> Option<Value> {
        let stream = self
            .lab
            .host
            .enter(|| TcpStream::connect(("127.0.0.1", PORT)));
        let mut stream = stream.ok()?;
        let request = b"GET /v1/health HTTP/1.1\r\nHost: report\r\nConnection: close\r\n\r\n";
        stream.write_all(request).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
    }
}

impl Drop for Collector<'_> {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Both fail only where it has ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            let log = fs::read_to_string(self.home.path().join("log")).unwrap_or_default();
            println!("--- what couic-report printed ---\n{log}");
        }
    }
}
