//! A couic-report as a process, and a stand-in for whoever it tells.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const SECRET: &str = "550e8400-e29b-41d4-a716-446655440000";

/// Nothing that is awaited here takes that long, however busy the machine is.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(3);

/// Asks until there is an answer.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = condition() {
            return answer;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        thread::sleep(LOOK);
    }
}

/// Takes every request, answers 204, and passes on the bodies.
pub(crate) fn stand_in() -> (String, mpsc::Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook/t0ken", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let tell = tell.clone();
            thread::spawn(move || while answer(&stream, &tell).is_some() {});
        }
    });
    (url, told)
}

fn answer(stream: &TcpStream, tell: &mpsc::Sender<Value>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut len = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            len = value.trim().parse().ok()?;
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; len];
    reader.read_exact(&mut body).ok()?;
    tell.send(serde_json::from_slice(&body).ok()?).ok()?;
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()
}

/// A folder with a configuration and a state.
pub(crate) struct Home {
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
}

impl Home {
    /// `more` are further tables.
    pub(crate) fn new(interval: u64, more: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        let text = format!(
            "batch_interval_secs = {interval}\n[server]\nname = \"tower\"\nport = {port}\nsecret = \"{SECRET}\"\n{more}\n"
        );
        fs::write(dir.path().join("config.toml"), text).unwrap();
        Self { dir, port }
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_couic-report"));
        command
            .arg("-c")
            .arg(self.dir.path().join("config.toml"))
            .args(args)
            .env("STATE_DIRECTORY", self.state());
        command
    }

    pub(crate) fn state(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts the service and waits until it answers.
    pub(crate) fn serve(&self) -> Service {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log"))
            .unwrap();
        let child = self.command(&[]).stderr(Stdio::from(log)).spawn().unwrap();
        let mut service = Service { child };
        until("it answers", || {
            let ended = service.child.try_wait().unwrap();
            assert!(ended.is_none(), "it has ended: {}", self.log());
            self.get("/v1/health")
        });
        service
    }

    /// When the open interval began, Unix seconds.
    pub(crate) fn interval_from(&self) -> u64 {
        let (_, health) = self.get("/v1/health").unwrap();
        let health: Value = serde_json::from_slice(&health).unwrap();
        health["interval"]["from"].as_u64().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn get(&self, path: &str) -> Option<(u16, Vec<u8>)> {
        self.request(
            &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"),
            b"",
        )
    }

    /// The status, where there was an answer.
    pub(crate) fn post(&self, reports: &Value, headers: &str) -> Option<u16> {
        let body = reports.to_string();
        let head = format!(
            "POST /v1/reports/{SECRET} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        self.request(&head, body.as_bytes())
            .map(|(status, _)| status)
    }

    fn request(&self, head: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body).ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).ok()?;
        let text = String::from_utf8_lossy(&answer);
        let status = text.get(9..12)?.parse().ok()?;
        let end = text.find("\r\n\r\n")? + 4;
        Some((status, answer[end..].to_vec()))
    }
}

/// A running service. Killed when it goes out of scope.
pub(crate) struct Service {
    child: Child,
}

impl Service {
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; the exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(&pid).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(crate) fn report(host: u32, tag: &str) -> Value {
    let addr = std::net::Ipv4Addr::from_bits(0x0a00_0000 + host);
    serde_json::json!({"action":"add","policy":"drop","timestamp":1,"metadata":null,
        "entry":{"creation":1,"cidr":format!("{addr}/32"),"tag":tag,"expiration":0}})
}

/// A tmpfs of so many KiB on `dir`, where we may mount one.
pub(crate) fn small_disk(dir: &Path, kib: u32) -> Option<Mounted> {
    fs::create_dir_all(dir).unwrap();
    let options = format!("size={kib}k,mode=700");
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", &options, "couic-report-test"])
        .arg(dir);
    let done = mount.stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
        .then(|| Mounted(dir.to_owned()))
}

pub(crate) struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}
