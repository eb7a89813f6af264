//! The whole path of a report: packets, a ban through `couicctl`, the daemon, its webhook, `couic-report`, and the
//! message in a chat. All of them are real processes but the chat.

#![expect(clippy::expect_used, clippy::panic, reason = "a panic fails the test")]

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::Duration,
};

use couic_e2e::{Daemon, Frame, Lab, until};
use couic_testkit::Request;
use nix::sys::signal::Signal;
use serde_json::Value;

/// The deadline of every condition, generous for a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// The path of a webhook of the chat.
const HOOK: &str = "/api/webhooks/1/t0ken";

/// Embeds added up. A summary that came twice has the same key twice, and counts once.
#[derive(Debug, Default)]
struct Totals {
    keys: HashSet<String>,
    total: u64,
    distinct: u64,
    tags: BTreeMap<String, u64>,
}

impl Totals {
    fn add(&mut self, post: &Request) {
        let key = post.header("idempotency-key").expect("a key");
        if !self.keys.insert(key.to_owned()) {
            return;
        }
        let embed = &post.json()["embeds"][0];
        let total = number(&field(embed, "Total"));
        self.total += total;
        self.distinct += number(&field(embed, "Distinct CIDRs"));
        for tag in field(embed, "Top tags").replace('\\', "").split(", ") {
            let (name, count) = tag.trim_end_matches(')').split_once(" (").expect("counted");
            *self.tags.entry(name.to_owned()).or_default() += number(count);
        }
        let (orange, red) = (0xe6_7e_22, 0xe7_4c_3c);
        assert_eq!(
            embed["color"],
            if total < 4 { orange } else { red },
            "{embed:#}"
        );
        assert_eq!(field(embed, "Server"), "tower");
    }
}

fn field(embed: &Value, name: &str) -> String {
    let fields = embed["fields"].as_array().expect("fields");
    let mut named = fields.iter().filter(|field| field["name"] == name);
    let field = named
        .next()
        .unwrap_or_else(|| panic!("no {name}: {embed:#}"));
    field["value"].as_str().expect("a text").to_owned()
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Bans hosts one by one through `couicctl`.
fn ban(daemon: &Daemon<'_>, hosts: std::ops::Range<u8>, tag: &str) {
    for host in hosts {
        daemon.ctl_ok(&["drop", "add", &format!("198.51.100.{host}"), "-t", tag]);
    }
}

#[test]
fn an_attack_is_dropped_and_reported_once_although_the_collector_is_killed() {
    let Some(lab) = Lab::quiet() else { return };
    let chat = lab.chat();
    let collector = lab.collector(
        2,
        &format!(
            "[thresholds]\norange = 1\nred = 4\nthreshold_min = \"orange\"\n[discord]\nwebhook_url = \"{}\"\n",
            chat.url(HOOK)
        ),
    );
    let running = collector.serve();
    let webhook = collector.webhook();
    let mut daemon = lab
        .daemon()
        .config(&format!(
            "[reporting]\nenabled = true\nwebhook = \"{webhook}\"\n"
        ))
        .start();
    let attack: Vec<Frame> = (1..=12)
        .map(|n| Frame::v4(&format!("198.51.100.{n}")))
        .collect();
    let mut wire = lab.wire();
    assert_eq!(wire.arrivals(&attack), [1; 12]);

    ban(&daemon, 1..7, "sshd");
    let mut totals = Totals::default();
    // Some have arrived, in this interval or the previous one.
    until("the first bans are reported", PATIENCE, || {
        chat.rest().iter().for_each(|post| totals.add(post));
        let now = collector.health()["interval"]["adds"].as_u64();
        (totals.total > 0 || now.is_some_and(|adds| adds > 0)).then_some(())
    });
    drop(running);
    ban(&daemon, 7..10, "sshd");
    ban(&daemon, 10..13, "web");
    assert_eq!(wire.arrivals(&attack), [0; 12]);
    assert!(wire.passes(&Frame::v4("198.51.100.99")));
    let mut running = collector.serve();

    while totals.total < 12 {
        totals.add(&chat.next(PATIENCE));
    }
    assert_eq!(daemon.api().stats().drop_cidr_count, 12);
    // Drain: the daemon delivers what is queued, and the open interval is empty.
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.exit_code(), 0);
    let interval = &collector.health()["interval"];
    assert_eq!(interval["adds"], 0, "{interval}");
    assert_eq!(running.end(Signal::SIGTERM), 0);
    chat.rest().iter().for_each(|post| totals.add(post));
    let tags = BTreeMap::from([("sshd".to_owned(), 9), ("web".to_owned(), 3)]);
    assert_eq!(
        (totals.total, totals.distinct, &totals.tags),
        (12, 12, &tags)
    );
    assert!(!daemon.log().contains("550e8400"), "a secret in the log");
}

/// The file built by `make plugins`, copied to the plugin folder under a name that is not built in.
#[test]
fn a_plugin_file_delivers_isolated_and_loaded() {
    let Some(lab) = Lab::quiet() else { return };
    let file = lab.binary("plugins/libcouic_plugin_discord.so");
    if !file.is_file() {
        println!("skipped: {} is not built: make test does", file.display());
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(&file, folder.path().join("chatter.so")).expect("copy the plugin");
    let mode = fs::Permissions::from_mode(0o644);
    fs::set_permissions(folder.path().join("chatter.so"), mode).expect("chmod");
    for isolated in [true, false] {
        let chat = lab.chat();
        let config = format!(
            "[plugins]\ndir = \"{}\"\n[reporting]\nenabled = true\n[[reporting.notifiers]]\nplugin = \"chatter\"\n\
             isolated = {isolated}\nconfig = {{ webhook_url = \"{}\" }}\n",
            folder.path().display(),
            chat.url(HOOK)
        );
        let mut daemon = lab.daemon().config(&config).start();
        ban(&daemon, 1..2, "sshd");
        let embed = &chat.next(PATIENCE).json()["embeds"][0];
        assert_eq!(field(embed, "Total"), "1");
        assert_eq!(field(embed, "Top tags"), r"sshd \(1\)");
        let children = format!("/proc/{0}/task/{0}/children", daemon.pid());
        let tasks = Path::new(&children).ancestors().nth(2).expect("tasks");
        let processes = fs::read_dir(tasks).expect("threads").flatten();
        let processes = processes
            .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
            .map(|children| children.split_whitespace().count());
        // The attacher, and the spawner of isolated plugins.
        let wanted = 1 + usize::from(isolated);
        assert_eq!(processes.sum::<usize>(), wanted, "{}", daemon.log());
        daemon.signal(Signal::SIGTERM);
        assert_eq!(daemon.exit_code(), 0);
        assert!(!daemon.log().contains("t0ken"), "a secret in the log");
    }
}

/// Dropped packets, from the wire to the history of couic-report, which was told by the daemon when it stopped.
#[test]
fn dropped_packets_are_in_the_history_under_their_tag() {
    let Some(lab) = Lab::quiet() else { return };
    let collector = lab.collector(900, "");
    let mut running = collector.serve();
    let webhook = collector.webhook();
    // As in production: confined, as a user of its own.
    let mut daemon = lab
        .daemon()
        .user("nobody", "nogroup")
        .config(&format!(
            "[reporting]\nenabled = true\ntraffic = true\nname = \"fw1\"\nwebhook = \"{webhook}\"\n"
        ))
        .start();
    assert!(daemon.log().contains("seccomp yes"), "{}", daemon.log());
    ban(&daemon, 1..4, "sshd");
    let attack: Vec<Frame> = (1..=3)
        .map(|n| Frame::v4(&format!("198.51.100.{n}")))
        .collect();
    let mut wire = lab.wire();
    for _ in 0..4 {
        assert_eq!(wire.arrivals(&attack), [0; 3]);
    }
    let counted = daemon.ctl_ok(&["--json", "stats", "drop"]);
    let counted: Value = serde_json::from_str(&counted).expect("JSON");
    let counted = &counted["tags"]["sshd"];
    assert!(counted["rx_packets"].as_u64() >= Some(12), "{counted}");
    // An interval has a length.
    let started = couic_common::unix_seconds();
    until("a second passes", PATIENCE, || {
        (couic_common::unix_seconds() > started).then_some(())
    });
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.exit_code(), 0, "{}", daemon.log());
    assert_eq!(running.end(Signal::SIGTERM), 0, "{}", collector.log());

    let history = couic_report::service::history_of(&collector.state()).expect("the state");
    let range = couic_report::history::Range::Hour;
    let tags = history.top_tags(Some("fw1"), range, 5);
    let [tag] = &tags[..] else {
        panic!("{tags:?}, {}", daemon.log())
    };
    assert_eq!((tag.tag.as_str(), tag.adds), ("sshd", 3));
    assert_eq!(Some(tag.packets), counted["rx_packets"].as_u64());
    assert_eq!(Some(tag.bytes), counted["rx_bytes"].as_u64());
    let firewalls = history.firewalls();
    let status = firewalls[0].status.as_ref().expect("a status");
    assert_eq!(firewalls[0].adds_24h, 3);
    assert!(firewalls[0].dropped_packets_24h >= Some(12));
    assert!(status.interfaces.iter().all(|interface| interface.attached));
    let drops = |rules: &couic_report::history::RuleTotals| rules.rules == 3 && rules.family == 4;
    assert!(status.rules.iter().any(drops), "{status:?}");
}

/// A receiver that knows Couic 1.0 only: arrays of reports, and nothing else, whatever the daemon measures.
#[test]
fn an_old_receiver_gets_arrays_of_reports_only() {
    let Some(lab) = Lab::quiet() else { return };
    let old = lab.chat();
    let mut daemon = lab
        .daemon()
        .config(&format!(
            "[reporting]\nenabled = true\ntraffic = true\nwebhook = \"{}\"\n",
            old.url(HOOK)
        ))
        .start();
    ban(&daemon, 1..4, "sshd");
    let started = couic_common::unix_seconds();
    until("a second passes", PATIENCE, || {
        (couic_common::unix_seconds() > started).then_some(())
    });
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.exit_code(), 0, "{}", daemon.log());
    let came = old.rest();
    let reports: usize = came
        .iter()
        .map(|request| {
            assert_eq!(request.header("couic-kind"), None);
            request.json().as_array().expect("an array").len()
        })
        .sum();
    assert_eq!(reports, 3);
    let log = daemon.log();
    assert!(
        !log.contains("dead letter") && !log.contains("spooled"),
        "{log}"
    );
}
