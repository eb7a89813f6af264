//! The program in a directory of its own, with stand-ins for the daemon and for CrowdSec.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    path::PathBuf,
    process::Command,
    sync::Arc,
};

use couic_common::{BatchJob, BatchOutcome, PeerAction};
use couic_testkit::{Api, At, LONG, Program, Reply, Request, StandIn, until};
use nix::unistd::{User, geteuid};
use parking_lot::Mutex;
use tempfile::TempDir;

const TOKEN: &str = "b09d58a9-aaf1-4911-a592-040ff5dc45eb";

/// What the daemon holds.
#[derive(Default)]
pub(crate) struct World {
    /// The rules of clients.
    pub(crate) rules: Vec<String>,
    /// By their names.
    pub(crate) sets: BTreeMap<String, String>,
    /// Every request that released or removed anything.
    pub(crate) removals: Vec<String>,
}

pub(crate) struct Rig {
    dir: TempDir,
    daemon: StandIn,
    pub(crate) world: Arc<Mutex<World>>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let shared = Arc::clone(&world);
        let daemon = StandIn::unix(move |request| answer(&mut shared.lock(), request));
        let rig = Self {
            dir: tempfile::tempdir().unwrap(),
            daemon,
            world,
        };
        for name in ["state", "run", "lists", "etc"] {
            fs::create_dir(rig.path(name)).unwrap();
        }
        fs::write(rig.path("etc/token"), TOKEN).unwrap();
        fs::write(rig.path("etc/key"), "secret").unwrap();
        rig.open_to_nobody();
        rig
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
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
            for name in ["state", "run", "etc/token", "etc/key"] {
                chown(self.path(name), Some(nobody.uid.as_raw()), None).unwrap();
            }
        }
    }

    /// Writes a list of this many addresses of 198.18.0.0/16.
    pub(crate) fn list(&self, name: &str, count: usize) {
        let lines: String = (0..count)
            .map(|n| format!("198.18.{}.{}\n", n / 100, n % 100 * 2 + 1))
            .collect();
        fs::write(self.path("lists").join(name), lines).unwrap();
    }

    /// A feed from a file of the lists, in force.
    pub(crate) fn feed(&self, name: &str) -> String {
        let path = self.path("lists").join(name);
        format!(
            "[feeds.{name}]\nfile = \"{}\"\nallow_bogons = true\nshadow = false\nevery = \"1m\"\n",
            path.display()
        )
    }

    /// CrowdSec at this stand-in.
    pub(crate) fn crowdsec(&self, lapi: &StandIn) -> String {
        let key = self.path("etc/key");
        format!(
            "[crowdsec]\nurl = \"{}\"\nkey_file = \"{}\"\ninterval = \"1s\"\n",
            lapi.url("/"),
            key.display()
        )
    }

    pub(crate) fn configure(&self, tables: &str) {
        let dir = self.dir.path().display();
        let text = format!(
            "user = \"nobody\"\nstate_dir = \"{dir}/state\"\ncontrol = \"{dir}/run/control\"\n\
             [daemon]\nsocket = \"{}\"\ntoken_file = \"{dir}/etc/token\"\n[metrics]\nlisten = \"off\"\n{tables}",
            self.daemon.socket.display()
        );
        fs::write(self.path("etc/couic-bouncer.toml"), text).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_couic-bouncer"));
        command
            .arg("-c")
            .arg(self.path("etc/couic-bouncer.toml"))
            .args(args)
            .env_remove("NOTIFY_SOCKET")
            .env_remove("STATE_DIRECTORY");
        command
    }

    /// What a command prints, and whether it succeeded.
    pub(crate) fn run(&self, args: &[&str]) -> (bool, String) {
        let output = self.command(args).output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(told).unwrap())
    }

    pub(crate) fn start(&self) -> Program {
        let mut program = Program::start(self.command(&[]), &self.path("output"));
        program.until_printed("following ").unwrap();
        program
    }

    /// Waits for a set with so many lines.
    pub(crate) fn await_set(&self, name: &str, lines: usize) {
        let is_there = || {
            let world = self.world.lock();
            let list = world.sets.get(name)?;
            let networks = list.lines().filter(|line| !line.starts_with('#'));
            (networks.count() == lines).then_some(())
        };
        until(&format!("{lines} networks in {name}"), LONG, is_there);
    }

    pub(crate) fn await_rule(&self, cidr: &str) {
        let is_there = || {
            self.world
                .lock()
                .rules
                .iter()
                .any(|one| one == cidr)
                .then_some(())
        };
        until(&format!("a rule of {cidr}"), LONG, is_there);
    }

    pub(crate) fn api(&self) -> Api {
        Api::new(At::Unix(self.path("run/control")), None)
    }
}

fn answer(world: &mut World, request: &Request) -> Reply {
    let line = request.line().to_owned();
    let (method, path) = line.split_once(' ').unwrap();
    let path = path.split('?').next().unwrap();
    match (method, path.strip_prefix("/v1/sets/drop")) {
        ("POST", _) if path == "/v1/drop/batch" => batch(world, request),
        ("GET", Some("")) => {
            let sets = world.sets.iter();
            let sets = sets.map(|(name, list)| {
                let count = list.lines().count();
                format!("{{\"name\":\"{name}\",\"entry_count\":{count},\"file_size\":1,\"policy\":\"drop\"}}")
            });
            let sets: Vec<String> = sets.collect();
            Reply::json(200, format!("[{}]", sets.join(",")))
        }
        ("GET", Some(name)) => match world.sets.get(name.trim_start_matches('/')) {
            Some(list) => {
                let entries: Vec<&str> =
                    list.lines().filter(|line| !line.starts_with('#')).collect();
                let set = serde_json::json!({"name": "set", "entries": entries});
                Reply::json(200, set.to_string())
            }
            None => Reply::json(
                404,
                "{\"code\":\"not_found\",\"message\":\"no set\",\"errors\":{}}",
            ),
        },
        ("PUT", Some(name)) => {
            let name = name.trim_start_matches('/').to_owned();
            let list = String::from_utf8(request.body.clone()).unwrap();
            let count = list.lines().count();
            world.sets.insert(name.clone(), list);
            Reply::json(
                200,
                format!(
                    "{{\"name\":\"{name}\",\"entry_count\":{count},\"file_size\":1,\"applied\":true,\"added\":{count},\"removed\":0}}"
                ),
            )
        }
        ("DELETE", Some(name)) => {
            world.sets.remove(name.trim_start_matches('/'));
            world.removals.push(line.clone());
            Reply::json(200, "{\"deleted\":true,\"reload_required\":false}")
        }
        _ => Reply::text(200, "application/x-ndjson", ""),
    }
}

fn batch(world: &mut World, request: &Request) -> Reply {
    let lines = request.body.split(|byte| *byte == b'\n');
    let mut outcome = BatchOutcome::default();
    for line in lines.filter(|line| !line.is_empty()) {
        let job: BatchJob = serde_json::from_slice(line).unwrap();
        match job.action {
            PeerAction::Add => {
                world.rules.push(job.entry.cidr);
                outcome.added += 1;
            }
            _ => {
                world.removals.push(job.entry.cidr);
                outcome.removed += 1;
            }
        }
    }
    Reply::json(200, serde_json::to_string(&outcome).unwrap())
}

/// A LAPI with these addresses banned for four hours.
pub(crate) fn lapi(addresses: &'static [&'static str]) -> StandIn {
    StandIn::tcp(move |request| {
        if request.header("x-api-key") != Some("secret") {
            return Reply::json(403, "{\"message\":\"access forbidden\"}");
        }
        if !request.line().contains("startup=true") {
            return Reply::json(200, "{\"new\":null,\"deleted\":null}");
        }
        let decisions: Vec<String> = addresses
            .iter()
            .enumerate()
            .map(|(id, address)| {
                format!(
                    "{{\"id\":{id},\"origin\":\"cscli\",\"scenario\":\"test\",\"scope\":\"Ip\",\"type\":\"ban\",\
                     \"value\":\"{address}\",\"duration\":\"3h59m59.5s\"}}"
                )
            })
            .collect();
        Reply::json(
            200,
            format!("{{\"new\":[{}],\"deleted\":null}}", decisions.join(",")),
        )
    })
}
