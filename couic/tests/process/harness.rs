//! Directories for the daemon, and the daemon as a child process that does not outlive its test.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::{fs::PermissionsExt, net::UnixStream, process::ExitStatusExt},
    path::PathBuf,
    process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio},
};

use nix::{
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, kill},
    unistd::{Group, Pid, User, getegid, geteuid},
};
use tempfile::TempDir;

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

    fn command(&self) -> Command {
        let config = self.path("couic.toml");
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
        fs::write(&config, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_couic"));
        command.arg("-c").arg(config).stdin(Stdio::null());
        command
    }

    /// Runs the daemon until it exits, for refused starts.
    pub(crate) fn run(&self) -> Output {
        self.command().output().unwrap()
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
            log.contains("ERROR couic::daemon: couic does not start: "),
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
        let mut command = self.command();
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let prepare: Vec<Vec<String>> = prepare
            .iter()
            .map(|words| words.iter().map(|&w| w.to_owned()).collect())
            .collect();
        // Children inherit the thread's namespace, which ends with the last of them.
        let (child, namespace) = std::thread::spawn(move || {
            if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
                println!("skipped: no network namespace: {error}");
                return None;
            }
            for words in prepare {
                let done = Command::new(&words[0]).args(&words[1..]).status();
                assert!(done.is_ok_and(|s| s.success()), "{words:?}");
            }
            let namespace = fs::File::open("/proc/thread-self/ns/net").unwrap();
            Some((command.spawn().unwrap(), namespace))
        })
        .join()
        .unwrap()?;
        Daemon::started(child, namespace)
    }
}

/// The daemon, killed with its test.
pub(crate) struct Daemon {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: ChildStderr,
    namespace: fs::File,
}

impl Daemon {
    fn started(mut child: Child, namespace: fs::File) -> Option<Self> {
        let mut daemon = Self {
            stdout: BufReader::new(child.stdout.take().unwrap()),
            stderr: child.stderr.take().unwrap(),
            child,
            namespace,
        };
        match daemon.wait_for("listening on ") {
            Ok(_) => Some(daemon),
            Err(log) => {
                let mut stderr = String::new();
                daemon.stderr.read_to_string(&mut stderr).unwrap();
                let cannot = ["Operation not permitted", "Function not implemented"];
                assert!(cannot.iter().any(|c| stderr.contains(c)), "{log}{stderr}");
                println!("skipped: the kernel refuses: {stderr}");
                None
            }
        }
    }

    /// Waits for a log line that contains `wanted`. Returns the log up to it, or on EOF all of it as an error.
    pub(crate) fn wait_for(&mut self, wanted: &str) -> Result<String, String> {
        let mut seen = String::new();
        loop {
            let from = seen.len();
            if self.stdout.read_line(&mut seen).unwrap() == 0 {
                return Err(seen);
            }
            if seen[from..].contains(wanted) {
                return Ok(seen);
            }
        }
    }

    /// Runs a program in the daemon's network namespace.
    pub(crate) fn inside(&self, words: &[&str]) {
        let namespace = self.namespace.try_clone().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                nix::sched::setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
                let status = Command::new(words[0]).args(&words[1..]).status().unwrap();
                assert!(status.success(), "{words:?}");
            });
        });
    }

    /// Listens on a port of the daemon's loopback, which no other test shares.
    pub(crate) fn listen(&self, port: u16) -> TcpListener {
        let namespace = self.namespace.try_clone().unwrap();
        let listener = std::thread::spawn(move || {
            nix::sched::setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
            TcpListener::bind(("127.0.0.1", port)).unwrap()
        });
        listener.join().unwrap()
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap())
    }

    /// Its attacher.
    pub(crate) fn attacher(&self) -> Pid {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        let children = fs::read_to_string(path).unwrap();
        let attacher = children.split_whitespace().find(|pid| {
            let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
            words.contains("attacher")
        });
        Pid::from_raw(attacher.unwrap().parse().unwrap())
    }

    /// Sends a signal and returns the exit code, or the negated signal that killed the daemon.
    pub(crate) fn end(mut self, signal: Signal) -> i32 {
        kill(self.pid(), signal).unwrap();
        let status = self.child.wait().unwrap();
        status
            .code()
            .unwrap_or_else(|| -status.signal().unwrap_or_default())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have exited already; it is reaped in any case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status and body of a GET.
pub(crate) fn get(place: &Place, path: &str, token: Option<&str>) -> (u16, String) {
    let mut stream = UnixStream::connect(place.socket()).unwrap();
    let auth = token.map(|t| format!("Authorization: Bearer {t}\r\n"));
    let auth = auth.unwrap_or_default();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: couic\r\n{auth}Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}
