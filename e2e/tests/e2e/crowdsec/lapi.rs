//! Debian's CrowdSec as a LAPI alone, in the host's namespace, with all its files in a directory of the test.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use couic_e2e::{Lab, until};
use couic_testkit::{Answer, Api, At, LONG, Program, unix_now};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::couicmon::servers::is_there;

/// In the lab's own namespace, where it is free.
const PORT: u16 = 8080;

/// Fixed, so that it survives the loss of the database.
const KEY: &str = "0123456789abcdef0123456789abcdef";

pub(super) struct Lapi<'lab> {
    lab: &'lab Lab,
    dir: TempDir,
    program: Option<Program>,
    is_tls: bool,
    /// Of the machine that makes decisions.
    login: String,
}

impl<'lab> Lapi<'lab> {
    /// Starts one without decisions. None, with the reason printed, if CrowdSec is not there.
    pub(super) fn start(lab: &'lab Lab, tls: &str) -> Option<Self> {
        if !is_there("crowdsec", "-version") || !is_there("cscli", "version") {
            return None;
        }
        let dir = tempfile::tempdir().expect("a temporary directory");
        write_config(dir.path(), tls);
        let mut lapi = Self {
            lab,
            dir,
            program: None,
            is_tls: !tls.is_empty(),
            login: String::new(),
        };
        lapi.install();
        lapi.run();
        Some(lapi)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes the database, with a machine and the key of a bouncer.
    pub(super) fn install(&self) {
        fs::write(self.path("credentials.yaml"), "").expect("write");
        let file = self.path("credentials.yaml");
        let file = file.to_string_lossy();
        let scheme = if self.is_tls { "https" } else { "http" };
        let url = format!("{scheme}://{}/", address());
        let machine = [
            "machines",
            "add",
            "m",
            "--password",
            "word",
            "-u",
            &url,
            "-f",
            &file,
        ];
        self.cscli(&machine);
        self.cscli(&["bouncers", "add", "couic", "-k", KEY]);
    }

    pub(super) fn run(&mut self) {
        let mut command = self.lab.host.command("crowdsec");
        command
            .arg("-c")
            .arg(self.path("config.yaml"))
            .arg("-no-cs");
        let mut program = Program::start(command, &self.path("output"));
        let at = At::Inside(self.lab.host.clone(), address());
        let api = Api::new(at, None);
        let up = || api.try_request("GET", "/health", None).ok().map(drop);
        // With TLS, that it accepts a connection must do.
        let listens = || {
            let to = || std::net::TcpStream::connect(address());
            self.lab.host.enter(to).ok().map(drop)
        };
        let ready = program.until("the LAPI answers", || {
            if self.is_tls { listens() } else { up() }
        });
        assert!(ready.is_ok(), "{}", program.output());
        self.program = Some(program);
        if !self.is_tls {
            // Each start has a secret of its own.
            self.log_in();
        }
    }

    pub(super) fn stop(&mut self) {
        if let Some(mut program) = self.program.take() {
            program.end(Signal::SIGKILL);
        }
    }

    /// As after a reinstallation: an empty database, the same key.
    pub(super) fn reinstall(&mut self) {
        self.stop();
        fs::remove_dir_all(self.path("data")).expect("remove");
        fs::create_dir(self.path("data")).expect("make a directory");
        self.install();
        self.run();
    }

    pub(super) fn cscli(&self, args: &[&str]) -> String {
        let config = self.path("config.yaml");
        let config = config.to_string_lossy();
        self.lab
            .host
            .run("cscli", &[&["-c", &config], args].concat())
    }

    fn log_in(&mut self) {
        let body =
            json!({"machine_id": "m", "password": "word", "scenarios": ["test/scan"]}).to_string();
        let answer = self
            .api("")
            .request("POST", "/v1/watchers/login", Some(&body))
            .expect(200);
        let token = answer.json()["token"].as_str().expect("a token").to_owned();
        self.login = format!("Authorization: Bearer {token}\r\n");
    }

    /// The LAPI refuses programs that do not say what they are.
    fn api(&self, header: &str) -> Api {
        let header = format!("User-Agent: couic-test/1.0\r\n{header}");
        Api::new(At::Inside(self.lab.host.clone(), address()), None).with(&header)
    }

    fn as_machine(&self, method: &str, path: &str, body: Option<&str>) -> Answer {
        self.api(&self.login).request(method, path, body)
    }

    /// Makes decisions as an agent does: origin, scope, value, seconds.
    pub(super) fn decide(&self, decisions: &[(&str, &str, &str, u64)]) {
        let now = time();
        let decisions: Vec<Value> = decisions
            .iter()
            .map(|(origin, scope, value, seconds)| {
                json!({"duration": format!("{seconds}s"), "origin": origin, "scenario": "test/scan", "scope": scope,
                    "type": "ban", "value": value})
            })
            .collect();
        let alert = json!([{"capacity": 0, "decisions": decisions, "events": [], "events_count": 1, "labels": null,
            "leakspeed": "0", "message": "m", "scenario": "test/scan", "scenario_hash": "", "scenario_version": "",
            "simulated": false, "source": {"scope": "ip", "value": "192.0.2.1"}, "start_at": now, "stop_at": now}]);
        let _ = self
            .as_machine("POST", "/v1/alerts", Some(&alert.to_string()))
            .expect(201);
    }

    /// Deletes the decisions of a value, or one by its id.
    pub(super) fn delete(&self, which: &str) {
        let _ = self.as_machine("DELETE", &format!("/v1/decisions{which}"), None);
    }

    /// The bans in force: id, tag as the bouncer makes it, value, end. Not the stream, so that nothing is taken from it.
    pub(super) fn decisions(&self) -> Vec<(i64, String, String, f64)> {
        let api = self.api(&format!("X-Api-Key: {KEY}\r\n"));
        let answer = api
            .request("GET", "/v1/decisions?dedup=false", None)
            .expect(200);
        let now = unix_now();
        let all: Value = answer.json();
        let all = all.as_array().cloned().unwrap_or_default();
        let bans = all.iter().filter(|one| {
            one["type"] == "ban" && (one["scope"] == "Ip" || one["scope"] == "Range")
        });
        bans.map(|one| {
            let text = |name: &str| one[name].as_str().expect("a text").to_owned();
            let left = seconds(&text("duration"));
            let tag = format!("cs-{}", text("origin"));
            (
                one["id"].as_i64().expect("an id"),
                tag,
                text("value"),
                now + left,
            )
        })
        .collect()
    }

    /// The key, in a file for this user alone.
    pub(super) fn key_file(&self, to: &Path) {
        fs::write(to, KEY).expect("write the key");
    }
}

pub(super) fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], PORT))
}

/// Hours, minutes and seconds, as the LAPI writes them.
fn seconds(text: &str) -> f64 {
    if text.ends_with("ms") || text.ends_with("µs") {
        return 0.0;
    }
    let (mut sum, mut rest) = (0.0, text);
    for (unit, factor) in [('h', 3_600.0), ('m', 60.0), ('s', 1.0)] {
        if let Some((number, next)) = rest.split_once(unit) {
            sum += number.parse::<f64>().expect("a number") * factor;
            rest = next;
        }
    }
    sum
}

fn time() -> String {
    let output = Command::new("date")
        .args(["-u", "+%FT%TZ"])
        .output()
        .expect("run date");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn write_config(dir: &Path, tls: &str) {
    for name in ["data", "hub", "notifications", "plugins"] {
        fs::create_dir(dir.join(name)).expect("make a directory");
    }
    let home = dir.display();
    let config = format!(
        "common:\n  daemonize: false\n  log_media: stdout\n  log_level: info\n  working_dir: {home}\n\
         config_paths:\n  config_dir: {home}\n  data_dir: {home}/data\n  simulation_path: {home}/simulation.yaml\n  \
         hub_dir: {home}/hub\n  index_path: {home}/hub/.index.json\n  notification_dir: {home}/notifications\n  plugin_dir: {home}/plugins\n\
         db_config:\n  log_level: info\n  type: sqlite\n  db_path: {home}/data/crowdsec.db\n  use_wal: true\n\
         api:\n  client:\n    insecure_skip_verify: true\n    credentials_path: {home}/credentials.yaml\n  \
         server:\n    log_level: info\n    listen_uri: 127.0.0.1:{PORT}\n    profiles_path: {home}/profiles.yaml\n    \
         console_path: {home}/console.yaml\n{tls}\
         prometheus:\n  enabled: false\n"
    );
    let profile = "name: default\nfilters:\n - Alert.Remediation == true\ndecisions:\n - type: ban\n   duration: 4h\non_success: break\n";
    for (name, text) in [
        ("config.yaml", &*config),
        ("profiles.yaml", profile),
        ("simulation.yaml", "simulation: false\n"),
        ("console.yaml", "share_manual_decisions: false\n"),
        ("hub/.index.json", "{}"),
    ] {
        fs::write(dir.join(name), text).expect("write a file");
    }
}

/// Waits for a condition of the daemon's rules.
pub(super) fn await_rules(what: &str, condition: impl Fn() -> bool) -> std::time::Duration {
    until(what, LONG, || condition().then_some(())).1
}
