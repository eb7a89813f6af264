//! `couic-report` with its configuration and state.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU16, Ordering},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Api, At, Netns, Program};

/// The last part of the path that reports are sent to.
const SECRET: &str = "550e8400-e29b-41d4-a716-446655440000";

/// A configured `couic-report`, which can be started repeatedly with the same state.
#[derive(Debug)]
pub struct Collector {
    binary: PathBuf,
    netns: Option<Netns>,
    home: TempDir,
    address: SocketAddr,
}

impl Collector {
    /// Writes the configuration of one named `tower`. `more` are further tables.
    ///
    /// # Panics
    /// If files cannot be written, or the program is not built.
    #[must_use]
    pub fn new(binary: impl AsRef<Path>, interval_secs: u64, more: &str) -> Self {
        Self::at(free_address(), None, binary.as_ref(), interval_secs, more)
    }

    /// The same inside of a network namespace.
    #[must_use]
    pub fn inside(netns: &Netns, binary: impl AsRef<Path>, interval_secs: u64, more: &str) -> Self {
        // The namespace belongs to the test, so the port is free.
        let address = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 8000);
        let netns = Some(netns.clone());
        Self::at(address, netns, binary.as_ref(), interval_secs, more)
    }

    fn at(
        address: SocketAddr,
        netns: Option<Netns>,
        binary: &Path,
        interval_secs: u64,
        more: &str,
    ) -> Self {
        assert!(
            binary.is_file(),
            "{} is missing: build it (make test does), or set COUIC_BIN_DIR",
            binary.display()
        );
        let home = TempDir::new().expect("a temporary directory");
        let (ip, port) = (address.ip(), address.port());
        let config = format!(
            "batch_interval_secs = {interval_secs}\n[server]\nname = \"tower\"\naddr = \"{ip}\"\nport = {port}\n\
             secret = \"{SECRET}\"\n{more}\n"
        );
        fs::write(home.path().join("config.toml"), config).expect("write config.toml");
        Self {
            binary: binary.to_owned(),
            netns,
            home,
            address,
        }
    }

    /// The program with its configuration and state, and further arguments.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = match &self.netns {
            Some(netns) => netns.command(&self.binary),
            None => Command::new(&self.binary),
        };
        self.complete(&mut command);
        command.args(args);
        command
    }

    /// Completes a command that starts the program in another way.
    pub fn complete(&self, command: &mut Command) {
        command
            .arg("-c")
            .arg(self.home.path().join("config.toml"))
            .env("STATE_DIRECTORY", self.state());
    }

    /// Starts the service and waits until it answers.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn serve(&self) -> Program {
        self.serve_by(self.command(&[]))
    }

    /// Starts the service with this command and waits until it answers.
    ///
    /// # Panics
    /// If it does not.
    #[must_use]
    pub fn serve_by(&self, command: Command) -> Program {
        let mut program = Program::start(command, &self.home.path().join("log"));
        let up = || self.api().try_request("GET", "/v1/health", None).ok();
        let answered = program.until("couic-report answers", up);
        answered.unwrap_or_else(|status| panic!("couic-report has ended: {status}"));
        program
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its API.
    #[must_use]
    pub fn api(&self) -> Api {
        let at = match &self.netns {
            Some(netns) => At::Inside(netns.clone(), self.address),
            None => At::Tcp(self.address),
        };
        Api::new(at, None)
    }

    /// The body of its health route, for any status.
    ///
    /// # Panics
    /// If it does not answer.
    #[must_use]
    pub fn health(&self) -> Value {
        self.api().request("GET", "/v1/health", None).json()
    }

    /// The path for reports.
    #[must_use]
    pub fn reports_path() -> String {
        format!("/v1/reports/{SECRET}")
    }

    /// The value for Couic's `[reporting] webhook`.
    #[must_use]
    pub fn webhook(&self) -> String {
        format!("http://{}{}", self.address, Self::reports_path())
    }

    /// The folder of its state.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// Its output so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

/// A port of a loopback address that no other test uses: a free port of 127.0.0.1 could be taken by another test before
/// the service listens on it.
fn free_address() -> SocketAddr {
    static COUNT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = COUNT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let [.., a, b] = std::process::id().to_be_bytes();
    let ip = IpAddr::from([127, 1 + a % 200, b, 1 + low.wrapping_add(high) % 250]);
    let listener = TcpListener::bind((ip, 0)).expect("a free port");
    listener.local_addr().expect("an address")
}
