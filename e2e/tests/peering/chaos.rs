//! Five daemons and a network with every kind of failure; meanwhile rules are added, renewed and deleted on all
//! daemons, and daemons are killed. In the end all hold the same: no deleted rule is back, and none is missing.
//!
//! Most CIDRs are one daemon's: what its clients did last decides. The rest is everybody's, and ended for all.
//!
//! The seed is printed; `COUIC_SEED=n` repeats a run, `COUIC_SOAK=seconds` extends it from a quarter of a minute.

use std::{
    collections::HashMap,
    thread,
    time::{Duration, Instant},
};

use couic_e2e::{Daemon, Mesh, unix_now, until};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::{LONG, Rule, await_sync, rules};

const NODES: usize = 5;

/// CIDRs that belong to one node each.
const CIDRS: u32 = 400;

/// CIDRs changed by all nodes.
const SHARED: u32 = 100;

/// The last change of a CIDR on its node.
struct Last {
    added: bool,
    /// Unix seconds; 0 = never.
    until: u64,
}

pub(crate) struct Chaos<'a, 'lab> {
    mesh: &'a Mesh<'lab>,
    pub(crate) daemons: Vec<Daemon<'lab>>,
    /// Whether all trust each other with deletions, so that everybody's CIDRs can be changed.
    trusting: bool,
    kills: u32,
    last: HashMap<String, Last>,
    pub(crate) chance: fastrand::Rng,
    done: u32,
}

/// Whether only one node's clients change it.
fn is_owned(cidr: &str) -> bool {
    let mut parts = cidr.split(['.', '/']).map(|part| part.parse().unwrap_or(0));
    let (third, fourth) = (parts.nth(2).unwrap_or(0), parts.next().unwrap_or(0));
    (third << 8 | fourth) < CIDRS
}

/// Whether the rules are equal, with expirations within a second. Of several claims on one, each node shows its own.
fn are_same(one: &[Rule], other: &[Rule]) -> bool {
    let same = |((cidr, tag, until), other): (&Rule, &Rule)| {
        let is_shown_alike = *tag == other.1 && until.abs_diff(other.2) <= 1;
        *cidr == other.0 && (is_shown_alike || !is_owned(cidr))
    };
    one.len() == other.len() && one.iter().zip(other).all(same)
}

/// Prints the rules that differ between daemons.
fn print_differences(daemons: &[Daemon<'_>]) {
    let lists: Vec<_> = daemons.iter().map(rules).collect();
    let mut cidrs: Vec<_> = lists.iter().flatten().map(|(cidr, ..)| cidr).collect();
    cidrs.sort_unstable();
    cidrs.dedup();
    for cidr in cidrs {
        let find = |list: &Vec<Rule>| list.iter().find(|(c, ..)| c == cidr).cloned();
        let all: Vec<_> = lists.iter().map(find).collect();
        if all.iter().any(|one| *one != all[0]) {
            println!("{cidr}: {all:?}");
        }
    }
}

fn from_env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// A quarter of a minute, or `COUIC_SOAK`.
pub(crate) fn duration() -> Duration {
    Duration::from_secs(from_env("COUIC_SOAK").unwrap_or(15))
}

impl<'a, 'lab> Chaos<'a, 'lab> {
    pub(crate) fn new(mesh: &'a Mesh<'lab>, nodes: usize, trusting: bool) -> Self {
        let more = if trusting { "deletions = \"all\"" } else { "" };
        let seed = from_env("COUIC_SEED").unwrap_or_else(|| fastrand::u64(..));
        println!("COUIC_SEED={seed}");
        Self {
            mesh,
            daemons: (0..nodes).map(|n| mesh.daemon(n, more).start()).collect(),
            trusting,
            kills: 0,
            last: HashMap::new(),
            chance: fastrand::Rng::with_seed(seed),
            done: 0,
        }
    }

    pub(crate) fn act(&mut self) {
        let nodes = self.daemons.len();
        let node = self.chance.usize(..nodes);
        match self.chance.u32(..1000) {
            0..500 => self.add(node),
            500..900 => self.delete(node),
            900..960 => {
                let other = self.chance.usize(..nodes);
                let cut = !self.mesh.is_cut(node, other);
                self.mesh.cut(node, other, cut);
            }
            960..975 => (0..nodes).for_each(|other| self.mesh.cut(node, other, true)),
            975..997 => self.mesh.heal(),
            _ => self.kill(node),
        }
    }

    /// One of this node, or of all.
    fn some_cidr(&mut self, node: usize) -> String {
        let n = match self.chance.u32(..4) {
            0 if self.trusting => CIDRS + self.chance.u32(..SHARED),
            _ => {
                let nodes = self.daemons.len() as u32;
                self.chance.u32(..CIDRS / nodes) * nodes + node as u32
            }
        };
        format!("10.0.{}.{}/32", n >> 8, n & 255)
    }

    fn note(&mut self, cidr: String, added: bool, until: u64) {
        if is_owned(&cidr) {
            self.last.insert(cidr, Last { added, until });
        }
        self.done += 1;
    }

    fn add(&mut self, node: usize) {
        let cidr = self.some_cidr(node);
        let until = match self.chance.u32(..3) {
            0 => 0,
            1 => unix_now() as u64 + self.chance.u64(4..12),
            _ => unix_now() as u64 + 86_400,
        };
        // Always the same for a rule: under another tag it would be another claim, and the rule end with the last.
        let tag = ["a", "b", "c"][cidr.len() % 3];
        let job =
            json!({"action": "add", "entry": {"cidr": cidr, "tag": tag, "expiration": until}});
        let outcome = self.daemons[node].api().batch("drop", &[job]);
        assert_eq!(outcome["failed"], 0, "{outcome}");
        // An unchanged rule is not a write.
        if outcome["unchanged"] == 0 {
            self.note(cidr, true, until);
        }
    }

    fn delete(&mut self, node: usize) {
        let cidr = self.some_cidr(node);
        // What this node's clients want, and of a shared one what peers want, too.
        let whose = if is_owned(&cidr) {
            ""
        } else {
            "?all_owners=true"
        };
        let path = format!("/v1/drop/{cidr}{whose}");
        let reply = self.daemons[node].api().request("DELETE", &path, None);
        match reply.status {
            204 => self.note(cidr, false, 0),
            // No claim of this node's.
            404 | 422 => {}
            other => panic!("{other}: {reply:?}"),
        }
    }

    /// kill -9, and a restart from the state on disk.
    fn kill(&mut self, node: usize) {
        let mut daemon = self.daemons.remove(node);
        daemon.signal(Signal::SIGKILL);
        assert_eq!(daemon.exit_code(), -(Signal::SIGKILL as i32));
        self.kills += 1;
        self.daemons.insert(node, daemon.restart());
    }

    pub(crate) fn settle(&mut self) {
        self.mesh.heal();
        await_sync(&self.daemons, unix_now() as u64);
        self.lists_are_equal();
    }

    pub(crate) fn lists_are_equal(&self) {
        // A rule that is about to expire does so within a second on all nodes, possibly between two lists.
        let daemons = &self.daemons;
        let begin = Instant::now();
        let mut printed = false;
        until("all nodes list the same rules", LONG, || {
            let first = rules(&daemons[0]);
            let mut others = daemons.iter().skip(1).map(rules);
            // Before the deadline, so that a failure shows the reason.
            if begin.elapsed() > LONG / 2 && !std::mem::replace(&mut printed, true) {
                print_differences(daemons);
            }
            others.all(|other| are_same(&first, &other)).then_some(())
        });
    }

    /// Asserts the presence or absence of each CIDR by its last change, whose node may have been killed since.
    pub(crate) fn check(&self) {
        let now = unix_now() as u64;
        let found = rules(&self.daemons[0]);
        let there = |cidr: &str| found.iter().any(|(c, ..)| c == cidr);
        let mut checked = 0;
        for (cidr, last) in &self.last {
            checked += 1;
            if !last.added {
                assert!(!there(cidr), "{cidr} is back");
            } else if last.until == 0 || last.until > now + 2 {
                assert!(there(cidr), "{cidr} is missing");
            }
        }
        assert!(checked > 10, "the test checked {checked} CIDRs");
        println!(
            "{} changes, {} kills, {checked} CIDRs of one node, {} rules in the end",
            self.done,
            self.kills,
            found.len()
        );
    }
}

#[test]
fn all_nodes_converge() {
    let Some(labs) = Mesh::labs(NODES) else {
        return;
    };
    let mesh = Mesh::join(&labs);
    let lasts = duration();
    let mut chaos = Chaos::new(&mesh, NODES, true);
    let start = Instant::now();
    let mut settled = Instant::now();
    while start.elapsed() < lasts {
        chaos.act();
        thread::sleep(Duration::from_millis(chaos.chance.u64(..30)));
        // A long run checks every two minutes.
        if settled.elapsed() > Duration::from_secs(120) {
            chaos.settle();
            chaos.check();
            settled = Instant::now();
        }
    }
    chaos.settle();
    chaos.check();
}
