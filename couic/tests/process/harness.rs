//! Directories for the daemon, and the daemon as a child process that does not outlive its test.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use couic_testkit::{Answer, Api, At, Netns, Program, admin_token, attacher};
use nix::{
    sys::signal::Signal,
    unistd::{Group, Pid, User, getegid, geteuid},
};
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_couic");

/// Directories and a configuration for the user that runs the tests.
pub(crate) struct Place {
    dir: TempDir,
    pub(crate) user: String,
    pub(crate) group: String,
    pub(crate) ifaces: String,
    pub(crate) more: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let place = Self {
            dir,
            user: User::from_uid(geteuid()).unwrap().unwrap().name,
            group: Group::from_gid(getegid()).unwrap().unwrap().name,
            ifaces: "[\"lo\"]".to_owned(),
            more: String::new(),
        };
        fs::create_dir(place.working_dir()).unwrap();
        fs::set_permissions(place.working_dir(), fs::Permissions::from_mode(0o750)).unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn working_dir(&self) -> PathBuf {
        self.path("lib")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("run/couic.sock")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log/couic.log")).unwrap()
    }

    fn write_config(&self) {
        let text = format!(
            "ifaces = {}\noperation_mode = \"generic\"\nworking_dir = {:?}\nuser = {:?}\ngroup = {:?}\n\
             [state]\nkeep_filter = \"never\"\n[limits]\ndrop_entries = 1000\nignore_entries = 1000\n\
             [logging]\ndir = {:?}\nrotation = \"never\"\n[server]\nsocket = {:?}\n{}\n",
            self.ifaces,
            self.working_dir(),
            self.user,
            self.group,
            self.path("log"),
            self.socket(),
            self.more
        );
        fs::write(self.path("couic.toml"), text).unwrap();
    }

    /// Runs the daemon until it exits, for refused starts.
    pub(crate) fn run(&self) -> Output {
        self.write_config();
        let mut command = Command::new(BINARY);
        command
            .arg("-c")
            .arg(self.path("couic.toml"))
            .stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Runs the daemon, and asserts exit code 1, and a line with `expected` on stderr and in the log.
    pub(crate) fn refused(&self, expected: &str) {
        let output = self.run();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(
            stderr.starts_with("couic: ") && stderr.contains(expected),
            "{stderr}"
        );
        let log = self.log();
        assert!(
            log.contains("ERROR couic::audit: daemon: couic does not start: "),
            "{log}"
        );
        assert!(log.contains(expected), "{log}");
    }

    /// Starts the daemon in a network namespace of its own, set up by the commands `prepare`. Prints the reason and
    /// returns None if the machine does not support this.
    pub(crate) fn start(&self, prepare: &[&[&str]]) -> Option<Daemon> {
        if !geteuid().is_root() {
            println!("skipped: only root can attach XDP programs");
            return None;
        }
        let netns = match Netns::new() {
            Ok(netns) => netns,
            Err(error) => {
                println!("skipped: {error}");
                return None;
            }
        };
        for words in prepare {
            netns.run(words[0], &words[1..]);
        }
        self.write_config();
        let mut command = netns.command(BINARY);
        command.arg("-c").arg(self.path("couic.toml"));
        let mut program = Program::start(command, &self.path("output"));
        match program.until_printed("listening on ") {
            Ok(_) => Some(Daemon { program, netns }),
            Err(told) => {
                let cannot = ["Operation not permitted", "Function not implemented"];
                assert!(cannot.iter().any(|c| told.contains(c)), "{told}");
                println!("skipped: the kernel refuses: {told}");
                None
            }
        }
    }

    /// The token of the client `admin`, which the daemon created.
    pub(crate) fn token(&self) -> String {
        admin_token(&self.working_dir())
    }

    /// The API, for the admin.
    pub(crate) fn api(&self) -> Api {
        Api::new(At::Unix(self.socket()), Some(&self.token()))
    }

    /// The answer to `GET /v1/health`, without a token.
    pub(crate) fn health(&self) -> Answer {
        Api::new(At::Unix(self.socket()), None).request("GET", "/v1/health", None)
    }
}

/// The daemon, killed with its test.
pub(crate) struct Daemon {
    pub(crate) program: Program,
    pub(crate) netns: Netns,
}

impl Daemon {
    /// Its attacher.
    pub(crate) fn attacher(&self) -> Pid {
        attacher(self.program.pid()).unwrap()
    }

    /// Opens a port of the daemon's own loopback.
    pub(crate) fn listen(&self, port: u16) -> TcpListener {
        self.netns
            .enter(|| TcpListener::bind(("127.0.0.1", port)).unwrap())
    }

    /// Sends a signal and returns the exit code, or the negated signal that killed the daemon.
    pub(crate) fn end(mut self, signal: Signal) -> i32 {
        self.program.end(signal)
    }
}
