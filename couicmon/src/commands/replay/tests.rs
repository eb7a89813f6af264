use std::{collections::BTreeSet, fmt::Write as _, fs, net::IpAddr};

use serde_json::Value;

use super::*;
use crate::args::{Cli, Command};
use clap::Parser as _;

/// 2026-12-01 06:25:01 UTC.
const START: i64 = 1_796_106_301;

const CONFIG: &str = r#"
[source.web]
file = "/var/log/nginx/access.log"
format = "combined"
[source.ssh]
file = "/var/log/auth.log"
format = "sshd"
[jail.scan]
source = "web"
status = 404
distinct = "path"
rate = "10 per 100s"
ban = "10m"
[jail.missing]
source = "web"
status = 404
rate = "10 per 100s"
ban = "10m"
[jail.flood]
source = "web"
rate = "50 per 50s"
ban = "5m"
shadow = true
[jail.ssh]
source = "ssh"
login = "failed"
rate = "3 per 3m"
[guard]
share = 1.0
"#;

struct Trial {
    dir: tempfile::TempDir,
}

impl Trial {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("couicmon.toml"), CONFIG).unwrap();
        Self { dir }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.dir.path().join(name), text).unwrap();
    }

    fn run(&self, args: &str) -> Result<(ExitCode, String), Failure> {
        let path = |word: &str| match word.strip_prefix('@') {
            Some(name) => self.dir.path().join(name).display().to_string(),
            None => word.to_owned(),
        };
        let words = ["couicmon", "replay"]
            .map(str::to_owned)
            .into_iter()
            .chain(args.split(' ').map(path));
        let Some(Command::Replay(args)) = Cli::try_parse_from(words).unwrap().command else {
            panic!("no replay");
        };
        let mut out = Vec::new();
        let code = run(&args, &self.dir.path().join("couicmon.toml"), &mut out)?;
        Ok((code, String::from_utf8(out).unwrap()))
    }

    fn json(&self, args: &str) -> Value {
        serde_json::from_str(&self.run(&format!("--json {args}")).unwrap().1).unwrap()
    }
}

/// A line of the combined format, so many seconds after the start.
fn line(second: i64, addr: &str, path: &str, status: u16) -> String {
    let time = std::time::UNIX_EPOCH + Duration::from_secs(u64::try_from(START + second).unwrap());
    let time = humantime::format_rfc3339_seconds(time).to_string();
    let (day, clock) = (&time[8..10], &time[11..19]);
    let month = if &time[5..7] == "12" {
        "Dec"
    } else {
        panic!("{time}")
    };
    format!(
        "{addr} - - [{day}/{month}/2026:{clock} +0000] \"GET {path} HTTP/1.1\" {status} 1 \"-\" \"x\"\n"
    )
}

fn banned(report: &Value, jail: &str) -> BTreeSet<IpAddr> {
    let bans = report["bans"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|ban| ban["jail"] == jail);
    bans.map(|ban| {
        ban["cidr"]
            .as_str()
            .unwrap()
            .split('/')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    })
    .collect()
}

fn of<'v>(report: &'v Value, jail: &str) -> &'v Value {
    report["jails"]
        .as_array()
        .unwrap()
        .iter()
        .find(|j| j["jail"] == jail)
        .unwrap()
}

/// An exact bucket for each source, with no bound of memory: what the detector may at most ban.
#[derive(Default)]
struct Oracle {
    buckets: std::collections::HashMap<IpAddr, (f64, i64)>,
    until: std::collections::HashMap<IpAddr, i64>,
    banned: BTreeSet<IpAddr>,
}

impl Oracle {
    fn hit(&mut self, addr: IpAddr, now: i64, hits: f64, per: f64, ban: i64) {
        if self.until.get(&addr).is_some_and(|until| now < *until) {
            return;
        }
        let (level, last) = self.buckets.get(&addr).copied().unwrap_or((0.0, now));
        let level = (level - (now - last) as f64 * hits / per).max(0.0) + 1.0;
        if level > hits - 1.0 {
            self.banned.insert(addr);
            self.until.insert(addr, now + ban);
            self.buckets.remove(&addr);
        } else {
            self.buckets.insert(addr, (level, now));
        }
    }
}

#[test]
fn the_same_sources_are_banned_as_by_an_exact_count() {
    let trial = Trial::new();
    for seed in 0..5 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut missing, mut floods) = (Oracle::default(), Oracle::default());
        let mut text = String::new();
        for n in 0..20_000_i64 {
            let second = n / 40;
            // A few busy sources among many.
            let source = if random.u8(..) < 100 {
                random.u32(0..12)
            } else {
                random.u32(60..3_000)
            };
            let addr = IpAddr::from([10, 0, (source >> 8) as u8, source as u8]);
            let status = if source % 3 == 0 { 404 } else { 200 };
            text += &line(second, &addr.to_string(), &format!("/{n}"), status);
            if status == 404 {
                missing.hit(addr, second, 10.0, 100.0, 600);
            }
            floods.hit(addr, second, 50.0, 50.0, 300);
        }
        trial.write("log", &text);
        let found = trial.json("--jail missing --bans @log");
        assert!(missing.banned.len() >= 4, "{}", missing.banned.len());
        assert_eq!(banned(&found, "missing"), missing.banned, "seed {seed}");
        // Different paths share 64 bits of memory: they may be too few, never too many.
        let found = trial.json("--jail scan --bans @log");
        assert!(
            banned(&found, "scan").is_subset(&missing.banned),
            "seed {seed}"
        );
        let flood = trial.json("--jail flood --bans @log");
        assert!(!floods.banned.is_empty());
        assert_eq!(banned(&flood, "flood"), floods.banned, "seed {seed}");
    }
}

#[test]
fn bans_stop_what_comes_later_and_honest_requests_are_collateral() {
    let trial = Trial::new();
    let mut text = String::new();
    for n in 0..10 {
        text += &line(n, "192.0.2.1", "/", 404);
    }
    for n in 0..5 {
        text += &line(20 + n, "192.0.2.1", "/", 200);
        text += &line(20 + n, "192.0.2.2", "/", 200);
    }
    trial.write("log", &text);
    let report = trial.json("--jail missing --bans @log");
    let scan = of(&report, "missing");
    assert_eq!(scan["bans"], 1);
    assert_eq!(scan["first_ban_ms"], (START + 9) * 1_000);
    assert_eq!(scan["stopped"], 5);
    assert_eq!(scan["share"], 0.25);
    assert_eq!(scan["collateral"]["sources"], 1);
    assert_eq!(scan["collateral"]["examples"][0], "192.0.2.1");
    let code = |args: &str| trial.run(&format!("--jail missing {args}")).unwrap().0;
    assert_eq!(code("--max-collateral 1 @log"), ExitCode::SUCCESS);
    assert_eq!(code("--max-collateral 0 @log"), ExitCode::from(3));
    assert_eq!(code("--max-collateral 50% @log"), ExitCode::from(3));
    let text = trial.run("--bans @log").unwrap().1;
    assert!(text.contains("2026-12-01T06:25:10Z"), "{text}");
    assert!(text.contains("GET / HTTP/1.1"), "{text}");
    assert!(text.contains("read as source web"), "{text}");
}

#[test]
fn each_file_is_read_as_the_source_that_fits() {
    let trial = Trial::new();
    let mut auth = String::new();
    for n in 10..14 {
        writeln!(auth, "2026-12-01T06:25:{n}Z host sshd[1]: Failed password for root from 192.0.2.1 port 1 ssh2").unwrap();
    }
    trial.write("auth", &auth);
    trial.write("access", &line(60, "192.0.2.9", "/", 200));
    let report = trial.json("--bans @auth @access");
    let sources: Vec<&str> = report["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["source"].as_str().unwrap())
        .collect();
    assert_eq!(sources, ["ssh", "web"]);
    assert_eq!(of(&report, "ssh")["bans"], 1);
    assert_eq!(report["last_ms"], (START + 60) * 1_000);
    trial.write("other", "<html>\n");
    let error = trial.run("--source web @other").unwrap_err().to_string();
    assert!(error.contains("none of its first 1 lines"), "{error}");
}

#[test]
fn presets_need_no_configuration() {
    let trial = Trial::new();
    let mut text = String::new();
    for n in 0..30 {
        text += &line(n, "192.0.2.1", &format!("/{n}"), 404);
    }
    text += &line(31, "192.0.2.2", "/.env", 404).repeat(3);
    trial.write("log", &text);
    assert_eq!(
        of(&trial.json("--preset nginx @log"), "nginx-scan")["bans"],
        1
    );
    let both = trial.json("--preset nginx --preset scanners --bans @log");
    assert_eq!(
        banned(&both, "scanner-paths"),
        BTreeSet::from([[192, 0, 2, 2].into()])
    );
    assert_eq!(
        of(&trial.json("--preset scanners @log"), "scanner-paths")["bans"],
        1
    );
    let error = trial.run("--preset nothing @log").unwrap_err().to_string();
    assert!(error.contains("is none of: sshd"), "{error}");
}

#[test]
fn what_cannot_be_judged_is_told() {
    let trial = Trial::new();
    let text = format!(
        "{}broken\n{}",
        line(0, "192.0.2.1", "/", 200),
        line(1, "example.org", "/", 200)
    );
    trial.write("log", &text);
    let report = trial.json("@log");
    assert_eq!(
        (&report["malformed"], &report["no_address"]),
        (&1.into(), &1.into())
    );
    let text = trial.run("@log").unwrap().1;
    assert!(text.contains("1 line: not of the format"), "{text}");
    assert!(text.contains("could not be read: broken"), "{text}");
    assert!(
        trial
            .run("--jail nope @log")
            .unwrap_err()
            .to_string()
            .contains("there are: ")
    );
    assert!(
        trial
            .run("--source nope @log")
            .unwrap_err()
            .to_string()
            .contains("there are: ssh, web")
    );
    assert!(
        trial
            .run("--format nope --source web @log")
            .unwrap_err()
            .to_string()
            .contains("combined")
    );
    assert!(
        trial
            .run("@missing")
            .unwrap_err()
            .to_string()
            .contains("missing: ")
    );
}

#[test]
fn sources_with_a_set_that_is_not_known_are_judged_by_the_rest_and_stop_no_other() {
    let trial = Trial::new();
    let cdn = "[source.cdn]\nfile = \"/x\"\nformat = \"nginx-main\"\ntrusted_proxies = [\"feed:cloudflare\", \"192.0.2.9\"]\n\
        client_from = \"x-forwarded-for\"\n[jail.cdn]\nsource = \"cdn\"\nrate = \"3 per 3m\"\n";
    trial.write("couicmon.toml", &format!("{CONFIG}{cdn}"));
    trial.write("web", &line(0, "192.0.2.1", "/", 404).repeat(10));
    let report = trial.json("--bans @web");
    assert_eq!(of(&report, "missing")["bans"], 1);
    let forwarded = line(1, "192.0.2.9", "/", 200).replace('\n', " \"198.51.100.7\"\n");
    let direct = line(2, "192.0.2.8", "/", 200).replace('\n', " \"-\"\n");
    trial.write("cdn", &(forwarded.repeat(3) + &direct.repeat(3)));
    let report = trial.json("--source cdn --bans @cdn");
    let expected: [IpAddr; 2] = [[192, 0, 2, 8].into(), [198, 51, 100, 7].into()];
    assert_eq!(banned(&report, "cdn"), expected.into());
}

#[test]
fn plain_lines_with_an_iso_time_are_judged_by_it() {
    let trial = Trial::new();
    let app = "[source.app]\nfile = \"/x\"\nformat = \"plain\"\n[jail.app]\nsource = \"app\"\n\
        regex = 'bad login from <HOST>$'\nrate = \"3 per 3m\"\n";
    trial.write("couicmon.toml", &format!("{CONFIG}{app}"));
    let mut text = String::new();
    for n in 10..13 {
        writeln!(
            text,
            "2026-12-01 06:25:{n},500 +0000 myapp: bad login from 192.0.2.1"
        )
        .unwrap();
    }
    trial.write("log", &text);
    let report = trial.json("--source app --bans @log");
    assert_eq!(of(&report, "app")["bans"], 1);
    assert_eq!(report["bans"][0]["time_ms"], (START + 11) * 1_000 + 500);
    assert_eq!(
        (&report["undated"], &report["unjudged"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn files_of_which_no_line_can_be_used_are_refused() {
    let trial = Trial::new();
    trial.write("log", &line(0, "192.0.2.1", "/", 200).repeat(300));
    let refused = trial.run("--preset sshd @log").unwrap_err();
    let told = refused.to_string();
    assert!(matches!(refused, Failure::Usage(_)), "{told}");
    assert!(
        told.contains("as source sshd, format sshd: the line tells of no client"),
        "{told}"
    );
    trial.write("empty", "");
    assert_eq!(
        trial.run("--preset sshd @empty").unwrap().0,
        ExitCode::SUCCESS
    );
    for (start, tool) in [
        (
            &b"\xfd7zXZ\0\0"[..],
            "only gzip is read; decompress it: xz -dc",
        ),
        (b"\x28\xb5\x2f\xfd", "zstd -dc"),
        (b"BZh9", "bzip2 -dc"),
    ] {
        fs::write(trial.dir.path().join("packed"), start).unwrap();
        let told = trial.run("--preset sshd @packed").unwrap_err().to_string();
        assert!(told.contains(tool), "{told}");
    }
}

#[test]
fn several_presets_may_stand_between_commas() {
    let trial = Trial::new();
    trial.write("log", &line(0, "192.0.2.1", "/", 200));
    let both = trial.json("--preset nginx,scanners @log");
    assert_eq!(
        both["jails"],
        trial.json("--preset nginx --preset scanners @log")["jails"]
    );
}

/// The rest of a line of a container is no line: its client chose what it begins with.
#[test]
fn the_rest_of_a_line_that_is_too_long_accuses_nobody() {
    let trial = Trial::new();
    let config = "[source.pod]\ncri = \"/var/log/containers/*.log\"\nformat = \"combined\"\n\
                  [jail.scan]\nsource = \"pod\"\nrate = \"3 per 30s\"\nstatus = 404\n";
    trial.write("couicmon.toml", config);
    let record = |tag: &str, text: &str| format!("2026-12-01T06:25:01.0Z stdout {tag} {text}\n");
    let forged = line(0, "203.0.113.21", "/a", 404);
    let pair = record("P", &"x".repeat(couic_tail::MAX_LINE)) + &record("F", forged.trim_end());
    let honest = record("F", line(0, "203.0.113.7", "/a", 404).trim_end());
    // The long part first, behind a line, and behind many.
    for (n, before) in [0, 1, 200].into_iter().enumerate() {
        let name = format!("pod{n}.log");
        trial.write(
            &name,
            &(honest.repeat(before) + &pair.repeat(5) + &honest.repeat(5)),
        );
        let report = trial.json(&format!("--source pod --bans @{name}"));
        let expected = BTreeSet::from(["203.0.113.7".parse().unwrap()]);
        assert_eq!(banned(&report, "scan"), expected, "behind {before} lines");
    }
}
