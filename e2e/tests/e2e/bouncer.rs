//! couic-bouncer beside the real daemon: decisions of a LAPI and lists of a web server become dropped packets, and neither
//! its end, nor a kill, nor a LAPI that is gone lets one through.
#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use couic_e2e::{Daemon, Frame, Lab, Monitor, StandIn, until};
use couic_testkit::{LONG, Program, Reply};
use nix::{sys::signal::Signal, unistd::User};
use tempfile::TempDir;

/// By CrowdSec, by the feed of the start, by one that a reload adds, by nothing.
const FRAMES: [&str; 4] = [
    "198.51.100.7",
    "198.51.100.21",
    "198.51.100.31",
    "198.51.100.9",
];

/// The user that it becomes, in the group of the daemon's socket.
const USER: &str = "nobody";

struct Bouncer<'l> {
    lab: &'l Lab,
    dir: TempDir,
    socket: PathBuf,
}

impl<'l> Bouncer<'l> {
    fn new(lab: &'l Lab, daemon: &Daemon<'_>) -> Self {
        let dir = TempDir::new().unwrap();
        let this = Self {
            lab,
            dir,
            socket: daemon.socket(),
        };
        let token = this.path("token");
        daemon.ctl_ok(&[
            "clients",
            "add",
            "-n",
            "couic-bouncer",
            "-g",
            "clientrw",
            "--policy",
            "drop",
            "--tag",
            "cs-*",
            "--set",
            "feed-*",
            "--widest",
            "8,16",
            "--token-file",
            &token.to_string_lossy(),
            "--owner",
            USER,
        ]);
        fs::create_dir(this.path("state")).unwrap();
        fs::write(this.path("key"), "secret").unwrap();
        let user = User::from_name(USER).unwrap().unwrap();
        for path in [
            this.dir.path().to_owned(),
            this.path("state"),
            this.path("key"),
        ] {
            chown(&path, Some(user.uid.as_raw()), Some(user.gid.as_raw())).unwrap();
        }
        open(this.dir.path(), 0o755);
        open(this.socket.parent().unwrap(), 0o711);
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn configure(&self, tables: &str) {
        let (dir, socket) = (self.dir.path().display(), self.socket.display());
        let text = format!(
            "user = \"{USER}\"\nstate_dir = \"{dir}/state\"\ncontrol = \"{dir}/control.sock\"\n\
             [daemon]\nsocket = \"{socket}\"\ntoken_file = \"{dir}/token\"\n[metrics]\nlisten = \"off\"\n{tables}"
        );
        fs::write(self.path("couic-bouncer.toml"), text).unwrap();
    }

    fn start(&self) -> Program {
        let mut command = self.lab.host.command(self.lab.binary("couic-bouncer"));
        command.arg("-c").arg(self.path("couic-bouncer.toml"));
        let mut program = Program::start(command, &self.path("output"));
        program.until_printed("following ").unwrap();
        program
    }

    fn crowdsec(&self, lapi: &StandIn) -> String {
        let (url, key) = (lapi.url("/"), self.path("key"));
        format!(
            "[crowdsec]\nurl = \"{url}\"\nkey_file = \"{}\"\ninterval = \"1s\"\n",
            key.display()
        )
    }
}

fn open(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn feed(server: &StandIn, name: &str) -> String {
    let url = server.url(&format!("/{name}"));
    format!(
        "[feeds.{name}]\nurl = \"{url}\"\nallow_http = true\nallow_bogons = true\nshadow = false\nevery = \"1m\"\n"
    )
}

/// In the host's namespace, where couic-bouncer is.
fn server(
    lab: &Lab,
    handler: impl FnMut(&couic_testkit::Request) -> Reply + Send + 'static,
) -> StandIn {
    let listener = lab.host.enter(|| TcpListener::bind("127.0.0.1:0"));
    StandIn::on(listener.unwrap(), handler)
}

/// Bans the first of the frames; none of its answers can be used while it is away.
fn lapi(lab: &Lab, is_away: &Arc<AtomicBool>) -> StandIn {
    let is_away = Arc::clone(is_away);
    server(lab, move |request| {
        if is_away.load(SeqCst) {
            return Reply::json(504, "{}");
        }
        if !request.line().contains("startup=true") {
            return Reply::json(200, "{\"new\":null,\"deleted\":null}");
        }
        let value = FRAMES[0];
        Reply::json(
            200,
            format!(
                "{{\"new\":[{{\"id\":1,\"origin\":\"cscli\",\"scenario\":\"x\",\"scope\":\"Ip\",\"type\":\"ban\",\
                 \"value\":\"{value}\",\"duration\":\"3h59m59.5s\"}}],\"deleted\":null}}"
            ),
        )
    })
}

fn lists(lab: &Lab) -> StandIn {
    server(lab, |request| {
        let first = if request.line().contains("/added") {
            30
        } else {
            20
        };
        let lines: Vec<String> = (first..first + 10)
            .map(|n| format!("198.51.100.{n}"))
            .collect();
        Reply::text(200, "text/plain", lines.join("\n") + "\n")
    })
}

#[test]
fn decisions_and_feeds_drop_packets_and_a_kill_or_a_stop_lets_none_through() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().user("root", Monitor::GROUP).start();
    let bouncer = Bouncer::new(&lab, &daemon);
    let is_away = Arc::new(AtomicBool::new(false));
    let (lapi, lists) = (lapi(&lab, &is_away), lists(&lab));
    let mut wire = lab.wire();
    let frames = FRAMES.map(Frame::v4);
    let mut arrive = |what: &str, wanted: [u32; 4]| {
        until(what, LONG, || {
            (wire.arrivals(&frames) == wanted).then_some(())
        });
    };
    let config = bouncer.crowdsec(&lapi) + &feed(&lists, "bad");
    bouncer.configure(&config);
    let mut program = bouncer.start();
    arrive("the first two are dropped", [0, 0, 1, 1]);

    bouncer.configure(&(config + &feed(&lists, "added")));
    program.signal(Signal::SIGHUP);
    program.until_printed("configuration reloaded").unwrap();
    arrive("the feed of the reload drops, too", [0, 0, 0, 1]);

    assert_eq!(program.end(Signal::SIGKILL), -9);
    arrive("a kill changes nothing", [0, 0, 0, 1]);
    is_away.store(true, SeqCst);
    drop(lists);
    let mut program = bouncer.start();
    program.until_printed("504").unwrap();
    arrive("nor a start without LAPI and lists", [0, 0, 0, 1]);
    assert_eq!(program.end(Signal::SIGTERM), 0);
    arrive("nor a stop", [0, 0, 0, 1]);

    // Its token is good for nothing else.
    let api = daemon.api_as(fs::read_to_string(bouncer.path("token")).unwrap().trim());
    let _ = api
        .request("DELETE", "/v1/sets/drop/other?apply=true", None)
        .expect(403);
    let _ = api.request("POST", "/v1/sets/reload", None).expect(403);
}
