//! The program itself: its arguments, signals, privileges, and what it keeps when it is killed. Started as root, it becomes
//! nobody.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::{
    fs::{self, File, Permissions},
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::fs::{PermissionsExt as _, chown, symlink},
    path::PathBuf,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use couic_common::{BatchJob, BatchOutcome};
use couic_testkit::{Api, At, LONG, Program, Reply, Request, StandIn, until};
use nix::{
    sys::signal::Signal,
    unistd::{User, geteuid},
};
use parking_lot::Mutex;
use tempfile::TempDir;

const TOKEN: &str = "b09d58a9-aaf1-4911-a592-040ff5dc45eb";

const JAIL: &str = "[jail.scan]\nsource = \"web\"\nstatus = 404\nrate = \"3 per 60s\"\n";

/// A directory that its user may use, and a daemon.
struct Rig {
    dir: TempDir,
    daemon: StandIn,
    banned: Arc<Mutex<Vec<String>>>,
    /// The daemon refuses everything meanwhile.
    away: Arc<AtomicBool>,
}

impl Rig {
    fn new() -> Self {
        let banned = Arc::new(Mutex::new(Vec::new()));
        let away = Arc::new(AtomicBool::new(false));
        let (taken, is_away) = (Arc::clone(&banned), Arc::clone(&away));
        let daemon = StandIn::unix(move |request| match is_away.load(SeqCst) {
            true => Reply::json(503, "{}"),
            false => answer(&taken, request),
        });
        let rig = Self {
            away,
            dir: tempfile::tempdir().unwrap(),
            daemon,
            banned,
        };
        for name in ["state", "run", "logs"] {
            fs::create_dir(rig.path(name)).unwrap();
        }
        fs::write(rig.path("logs/access.log"), "").unwrap();
        fs::write(rig.path("token"), TOKEN).unwrap();
        rig.configure("", JAIL);
        rig.open_to_nobody();
        rig
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// As root, everything has to be nobody's.
    fn open_to_nobody(&self) {
        let open =
            |path: PathBuf, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        open(self.dir.path().to_owned(), 0o755);
        open(self.daemon.dir.path().to_owned(), 0o755);
        open(self.daemon.socket.clone(), 0o666);
        if let (true, Ok(Some(nobody))) = (geteuid().is_root(), User::from_name("nobody")) {
            for name in ["state", "run", "logs", "token"] {
                chown(self.path(name), Some(nobody.uid.as_raw()), None).unwrap();
            }
        }
    }

    fn configure(&self, keys: &str, tables: &str) {
        let dir = self.dir.path().display();
        let text = format!(
            "user = \"nobody\"\nstate_dir = \"{dir}/state\"\ncontrol = \"{dir}/run/control\"\n{keys}\n\
             [daemon]\nsocket = \"{}\"\ntoken_file = \"{dir}/token\"\n[metrics]\nlisten = \"off\"\n\
             [source.web]\nfile = \"{dir}/logs/access.log\"\nformat = \"combined\"\n{tables}",
            self.daemon.socket.display()
        );
        fs::write(self.path("couicmon.toml"), text).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_couicmon"));
        command.arg("-c").arg(self.path("couicmon.toml"));
        command
            .env_remove("NOTIFY_SOCKET")
            .env_remove("STATE_DIRECTORY");
        command
    }

    /// Starts it, and waits until it reads.
    fn start(&self) -> Program {
        let mut program = Program::start(self.command(), &self.path("output"));
        program.until_printed("reading 1 source").unwrap();
        program
    }

    /// Appends requests from this address for what is not there.
    fn write(&self, address: &str, times: usize) {
        let line = format!(
            "{address} - - [01/Jan/2026:00:00:00 +0000] \"GET / HTTP/1.1\" 404 5 \"-\" \"-\"\n"
        );
        let mut file = File::options()
            .append(true)
            .open(self.path("logs/access.log"))
            .unwrap();
        file.write_all(line.repeat(times).as_bytes()).unwrap();
    }

    fn await_ban(&self, cidr: &str) {
        let banned = || {
            self.banned
                .lock()
                .iter()
                .any(|one| one == cidr)
                .then_some(())
        };
        until(&format!("a ban of {cidr}"), LONG, banned);
    }

    /// Waits until everything that was written is behind the checkpoint.
    fn await_checkpoint(&self) {
        let saved = || {
            let text = fs::read_to_string(self.path("state/web.tail.json")).ok()?;
            let length = fs::metadata(self.path("logs/access.log")).unwrap().len();
            text.contains(&format!("\"offset\":{length}")).then_some(())
        };
        until("a checkpoint", LONG, saved);
    }

    fn api(&self) -> Api {
        Api::new(At::Unix(self.path("run/control")), None)
    }
}

fn answer(banned: &Mutex<Vec<String>>, request: &Request) -> Reply {
    if request.line() != "POST /v1/drop/batch" {
        return Reply::text(200, "application/x-ndjson", "");
    }
    let lines = request
        .body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let mut outcome = BatchOutcome::default();
    for line in lines {
        let job: BatchJob = serde_json::from_slice(line).unwrap();
        banned.lock().push(job.entry.cidr);
        outcome.added += 1;
    }
    Reply::json(200, serde_json::to_string(&outcome).unwrap())
}

#[test]
fn it_has_no_privilege_and_reads_bans_and_answers_nevertheless() {
    let rig = Rig::new();
    let mut program = rig.start();
    rig.write("192.0.2.7", 3);
    rig.await_ban("192.0.2.7/32");
    let threads = couic_privsep::threads_of(program.pid().as_raw().unsigned_abs()).unwrap();
    assert!(threads.len() > 3, "{threads:?}");
    for thread in &threads {
        assert!(thread.is_powerless() && thread.no_new_privs, "{thread:?}");
        assert!(thread.uids.iter().all(|uid| *uid != 0), "{thread:?}");
    }
    assert_eq!(rig.api().get("/v1/top")["jails"][0]["bans"], 1);
    assert_eq!(program.end(Signal::SIGTERM), 0);
    assert!(program.output().contains("stopped"));
    assert!(rig.path("state/ladder").exists() && rig.path("state/web.tail.json").exists());
}

/// With pages of 2 MiB it takes more than twice the memory.
#[test]
fn it_takes_no_huge_pages() {
    let rig = Rig::new();
    let mut program = rig.start();
    let status = fs::read_to_string(format!("/proc/{}/status", program.pid())).unwrap();
    assert!(status.contains("\nTHP_enabled:\t0\n"), "{status}");
    assert_eq!(program.end(Signal::SIGTERM), 0);
}

#[test]
fn root_without_a_user_to_become_is_refused() {
    if !geteuid().is_root() {
        return;
    }
    let rig = Rig::new();
    let text = fs::read_to_string(rig.path("couicmon.toml")).unwrap();
    for (user, why) in [
        ("", "does not run as root"),
        ("user = \"root\"\n", "is root"),
        ("user = \"no-such-user\"\n", "does not exist"),
    ] {
        let text = text.replace("user = \"nobody\"\n", user);
        fs::write(rig.path("couicmon.toml"), text).unwrap();
        let mut program = Program::start(rig.command(), &rig.path("output"));
        assert_eq!(program.exit_code(), 1);
        assert!(program.output().contains(why), "{}", program.output());
    }
}

#[test]
fn a_kill_loses_no_line_and_what_was_read_is_not_read_again() {
    let rig = Rig::new();
    let mut program = rig.start();
    rig.write("192.0.2.7", 3);
    rig.await_ban("192.0.2.7/32");
    rig.await_checkpoint();
    program.end(Signal::SIGKILL);
    rig.write("192.0.2.8", 3);
    let mut program = rig.start();
    rig.await_ban("192.0.2.8/32");
    let lines = rig.api().get("/v1/top")["sources"][0]["lines"].as_u64();
    assert_eq!(lines, Some(3));
    assert_eq!(program.end(Signal::SIGTERM), 0);
    assert_eq!(*rig.banned.lock(), ["192.0.2.7/32", "192.0.2.8/32"]);
}

/// The lines are behind the checkpoint, and are not read again: so the ban must be on the disk.
#[test]
fn a_kill_loses_no_ban_that_waits_for_the_daemon() {
    let rig = Rig::new();
    rig.away.store(true, SeqCst);
    let mut program = rig.start();
    rig.await_checkpoint();
    rig.write("192.0.2.7", 3);
    rig.await_checkpoint();
    program.end(Signal::SIGKILL);
    rig.away.store(false, SeqCst);
    let mut program = rig.start();
    rig.await_ban("192.0.2.7/32");
    assert_eq!(program.end(Signal::SIGTERM), 0);
}

#[test]
fn a_port_that_is_taken_keeps_it_from_nothing_but_metrics() {
    let rig = Rig::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text = fs::read_to_string(rig.path("couicmon.toml")).unwrap();
    let text = text.replace("listen = \"off\"", &format!("listen = \"{address}\""));
    fs::write(rig.path("couicmon.toml"), text).unwrap();
    let mut program = rig.start();
    rig.write("192.0.2.7", 3);
    rig.await_ban("192.0.2.7/32");
    let problems = rig.api().get("/health")["problems"].to_string();
    assert!(problems.contains(&address.to_string()), "{problems}");
    drop(taken);
    let served = || {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.contains("couicmon_build_info").then_some(())
    };
    until("metrics", LONG, served);
    let problems = rig.api().get("/health")["problems"].to_string();
    assert!(!problems.contains(&address.to_string()), "{problems}");
    assert_eq!(program.end(Signal::SIGTERM), 0);
}

#[test]
fn a_valid_reload_takes_effect_and_an_invalid_one_changes_nothing() {
    let rig = Rig::new();
    let mut program = rig.start();
    rig.configure("", &JAIL.replace("3 per", "x per"));
    program.signal(Signal::SIGHUP);
    let told = program.until_printed("NOT reloaded").unwrap();
    assert!(told.contains("jail.scan.rate"), "{told}");
    rig.write("192.0.2.7", 3);
    rig.await_ban("192.0.2.7/32");
    rig.configure("", &JAIL.replace("3 per", "1 per"));
    program.signal(Signal::SIGHUP);
    program.until_printed("configuration reloaded").unwrap();
    rig.write("192.0.2.8", 1);
    rig.await_ban("192.0.2.8/32");
    // A directory that was given up at the start.
    rig.configure(
        "",
        &format!("{JAIL}[source.x]\nfile = \"/root/x.log\"\nformat = \"plain\"\n"),
    );
    program.signal(Signal::SIGHUP);
    if program.output().contains("Landlock version") {
        program.until_printed("it needs a restart").unwrap();
    }
    assert_eq!(program.end(Signal::SIGTERM), 0);
}

#[test]
fn a_check_prints_what_is_valid_and_every_mistake_of_what_is_not() {
    let rig = Rig::new();
    let check = || rig.command().arg("--check-config").output().unwrap();
    let valid = check();
    let told = String::from_utf8(valid.stdout).unwrap();
    assert!(
        valid.status.success() && told.contains("jail   scan"),
        "{told}"
    );
    rig.configure(
        "catchup = 1",
        &JAIL.replace("3 per 60s", "x").replace("404", "\"4o4\""),
    );
    let invalid = check();
    assert_eq!(invalid.status.code(), Some(64));
    let told = String::from_utf8(invalid.stderr).unwrap();
    assert_eq!(told.lines().count(), 3, "{told}");
    for key in [": catchup: ", ": jail.scan.rate: ", ": jail.scan.status: "] {
        assert!(told.contains(key), "{told}");
    }
}

#[test]
fn exit_codes_are_those_of_the_help() {
    let rig = Rig::new();
    let code = |args: &[&str]| rig.command().args(args).output().unwrap().status.code();
    assert_eq!(code(&["--nonsense"]), Some(2));
    assert_eq!(code(&["replay"]), Some(2));
    assert_eq!(code(&["replay", "--jail", "none", "-"]), Some(64));
    assert_eq!(code(&["replay", "/nonexistent/log"]), Some(1));
}

#[test]
fn its_own_log_is_refused_as_a_source() {
    let rig = Rig::new();
    fs::write(rig.path("output"), "").unwrap();
    fs::remove_file(rig.path("logs/access.log")).unwrap();
    symlink(rig.path("output"), rig.path("logs/access.log")).unwrap();
    let mut program = Program::start(rig.command(), &rig.path("output"));
    assert_eq!(program.exit_code(), 1);
    assert!(program.output().contains("own log"), "{}", program.output());
}

#[test]
fn it_tells_systemd_when_it_reads_and_when_it_ends() {
    let rig = Rig::new();
    let socket = rig.path("run/notify");
    let systemd = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    fs::set_permissions(&socket, Permissions::from_mode(0o666)).unwrap();
    systemd.set_read_timeout(Some(LONG)).unwrap();
    let mut command = rig.command();
    command.env("NOTIFY_SOCKET", &socket);
    let mut program = Program::start(command, &rig.path("output"));
    let heard = || {
        let mut buffer = [0; 1_000];
        let got = systemd.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..got].to_vec()).unwrap()
    };
    assert_eq!(heard(), "READY=1\nSTATUS=reading 1 source for 1 jail\n");
    assert_eq!(program.end(Signal::SIGTERM), 0);
    assert!(heard().starts_with("STOPPING=1\n"));
}
