//! What a line costs the detector, and whether fixed memory loses anybody.
//!
//! `cargo bench -p couic-detect --bench detect`; CPU time, so that other programs hardly matter. Events are made
//! beforehand: formats are measured by the bench `formats`.

#![expect(clippy::unwrap_used, reason = "a benchmark stops on the first error")]

use std::{collections::HashSet, hint::black_box, net::Ipv4Addr, time::Duration};

use couic_detect::{
    BotsConfig, Client, Decision, DetectConfig, Detector, Distinct, Event, GuardConfig, JailConfig,
    Login, WidenConfig,
};
use nix::time::{ClockId, clock_gettime};

const START: i64 = 1_700_000_000_000;
const EVENTS: usize = 1_000_000;
const RUNS: usize = 7;
/// Paths of ordinary requests, and of scans.
const PATHS: [&str; 12] = [
    "/",
    "/index.html",
    "/static/js/app.4f3a9c.js",
    "/static/css/main.css",
    "/images/2024/03/a-picture-with-a-long-name.jpg",
    "/api/v1/items/4711/comments",
    "/blog/2023/11/an-article-about-something",
    "/favicon.ico",
    "/.env",
    "/wp-admin/setup-config.php",
    "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
    "/backup.zip",
];
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36";

fn cpu() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)
        .unwrap()
        .into()
}

fn main() {
    // `cargo test --benches` only checks that it builds.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let web = events();
    let (three, twenty) = (config(three_jails()), config(twenty_jails()));
    let literals = |config: &DetectConfig| {
        let of_jails = config.jails.iter();
        of_jails.map(|jail| jail.contains.len()).sum::<usize>()
    };
    println!("a line of a web server, {EVENTS} lines of 62,250 sources, median of {RUNS} runs:");
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        few.push(cost(&three, &web));
        many.push(cost(&twenty, &web));
    }
    let (few, many) = (median(&mut few), median(&mut many));
    println!("  3 jails, {} literals    {few:6.0} ns", literals(&three));
    println!(
        "  20 jails, {} literals  {many:6.0} ns, {:.2} times that",
        literals(&twenty),
        many / few
    );
    let sshd = logins();
    let jail = JailConfig {
        name: "sshd".into(),
        login: vec![Login::Failed, Login::Abandoned],
        rate: "5 per 10m".into(),
        ..jail()
    };
    let mut ssh: Vec<f64> = (0..RUNS)
        .map(|_| cost(&config(vec![jail.clone()]), &sshd))
        .collect();
    println!("  sshd, 1 jail            {:6.0} ns", median(&mut ssh));
    let regexes = JailConfig {
        regex: (0..4)
            .map(|n| format!(r"^/(api|blog)/v{n}\d*/.*\.(php|asp)$"))
            .collect(),
        ..jail_named("regex")
    };
    let mut jails = three_jails();
    jails.push(regexes);
    let mut regex: Vec<f64> = (0..RUNS)
        .map(|_| cost(&config(jails.clone()), &web))
        .collect();
    println!("  3 jails and 4 regexes   {:6.0} ns", median(&mut regex));
    println!("1,000 attackers at 5 hits/s for 60 s, rate 20 per 20s, in a crowd:");
    println!("  crowd      hits  cells    memory  found  false  delay  pushed out  ns/line");
    for (crowd, hits) in [(100_000, 2), (1_000_000, 2), (4_000_000, 1)] {
        for cells in [16_384, 65_536] {
            storm(crowd, hits, cells);
        }
    }
}

fn jail() -> JailConfig {
    JailConfig {
        sources: vec!["web".into()],
        rate: "20 per 20s".into(),
        ..JailConfig::default()
    }
}

fn jail_named(name: &str) -> JailConfig {
    JailConfig {
        name: name.into(),
        ..jail()
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn three_jails() -> Vec<JailConfig> {
    let flood = JailConfig {
        rate: "200 per 10s".into(),
        ..jail_named("flood")
    };
    let scan = JailConfig {
        contains: strings(&[
            ".env",
            "wp-login",
            "phpunit",
            "../",
            "/etc/passwd",
            ".git/",
            "eval-stdin",
            "setup-config",
            "cgi-bin",
            "backup.",
            "phpmyadmin",
        ]),
        distinct: Some(Distinct::Path),
        ..jail_named("scan")
    };
    let login = JailConfig {
        method: strings(&["POST"]),
        path: strings(&["/login", "/wp-login.php"]),
        status: strings(&["401", "403"]),
        rate: "5 per 5m".into(),
        ..jail_named("login")
    };
    vec![flood, scan, login]
}

fn twenty_jails() -> Vec<JailConfig> {
    let mut jails = three_jails();
    for n in jails.len()..20 {
        let literals = (0..12).map(|i| match i % 3 {
            0 => format!("/probe{n}-{i}.php"),
            1 => format!("cmd{n}{i}="),
            _ => format!("..{n}%{i}"),
        });
        jails.push(JailConfig {
            contains: literals.take(if n < 5 { 9 } else { 11 + n % 2 }).collect(),
            status: if n % 4 == 0 {
                strings(&["4xx"])
            } else {
                Vec::new()
            },
            ..jail_named(&format!("probe{n}"))
        });
    }
    jails
}

fn config(jails: Vec<JailConfig>) -> DetectConfig {
    DetectConfig {
        jails,
        widen: Some(WidenConfig::default()),
        ..DetectConfig::default()
    }
}

/// Another address for each number below 2^30.
fn address(n: u32) -> Client {
    let scattered = n.wrapping_mul(2_654_435) % (1 << 30);
    Client::Known(Ipv4Addr::from_bits(0x0b00_0000 + scattered).into())
}

/// 15 % flood of 250 sources, 2.5 % scans, 2.5 % logins.
fn events() -> Vec<(Client, Event<'static>)> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut event = || {
        let kind = random.u32(0..1_000);
        let (source, method, path, status): (u32, &[u8], &str, u16) = match kind {
            0..150 => (random.u32(0..250), b"GET", PATHS[0], 200),
            150..175 => (
                250 + random.u32(0..1_000),
                b"GET",
                PATHS[random.usize(8..12)],
                404,
            ),
            175..200 => (1_250 + random.u32(0..1_000), b"POST", "/login", 401),
            _ => (
                2_250 + random.u32(0..60_000),
                b"GET",
                PATHS[random.usize(0..8)],
                200,
            ),
        };
        let event = Event {
            method,
            path: path.as_bytes().into(),
            query: if kind % 10 == 9 {
                b"page=2&sort=date".into()
            } else {
                b"".into()
            },
            status,
            agent: AGENT.as_bytes().into(),
            ..Event::default()
        };
        (address(source), event)
    };
    (0..EVENTS).map(|_| event()).collect()
}

fn logins() -> Vec<(Client, Event<'static>)> {
    let mut random = fastrand::Rng::with_seed(2);
    let mut event = || {
        let login = match random.u32(0..10) {
            0..6 => Some(Login::Failed),
            6 => Some(Login::Accepted),
            _ => None,
        };
        let event = Event {
            login,
            user: b"root".into(),
            message: b"Failed password for root from 192.0.2.7 port 22 ssh2".into(),
            ..Event::default()
        };
        (address(random.u32(0..20_000)), event)
    };
    (0..EVENTS).map(|_| event()).collect()
}

/// CPU nanoseconds per event, at 40,000 lines/s.
fn cost(config: &DetectConfig, events: &[(Client, Event<'_>)]) -> f64 {
    let rules = config.check(&["web".into()]).unwrap();
    let mut detector = Detector::new(rules, fastrand::u64(..));
    let web = detector.source("web").unwrap();
    let start = cpu();
    for (n, (client, event)) in events.iter().enumerate() {
        let now = START + n as i64 / 40;
        black_box(detector.observe(web, event, Some(*client), b"line", now));
    }
    (cpu() - start).as_nanos() as f64 / events.len() as f64
}

fn median(costs: &mut [f64]) -> f64 {
    costs.sort_by(f64::total_cmp);
    costs[costs.len() / 2]
}

/// Sources below 1,000 attack, the others come once or twice.
fn storm(crowd: u32, hits: u32, cells: u32) {
    const ATTACKERS: u32 = 1_000;
    const SECONDS: u32 = 60;
    let config = DetectConfig {
        jails: vec![JailConfig {
            cells,
            ..jail_named("flood")
        }],
        guard: GuardConfig {
            siege: true,
            ..GuardConfig::default()
        },
        bots: BotsConfig {
            verify: false,
            ..BotsConfig::default()
        },
        ..DetectConfig::default()
    };
    let mut detector = Detector::new(config.check(&["web".into()]).unwrap(), fastrand::u64(..));
    let web = detector.source("web").unwrap();
    let event = Event::default();
    let mut random = fastrand::Rng::with_seed(3);
    let mut background: Vec<u32> = (0..crowd * hits).map(|n| ATTACKERS + n % crowd).collect();
    random.shuffle(&mut background);
    let mut found: HashSet<u32> = HashSet::new();
    let (mut wrong, mut delay, mut lines, mut spent) = (0, 0, 0, Duration::ZERO);
    for (second, crowd) in background
        .chunks(background.len().div_ceil(SECONDS as usize))
        .enumerate()
    {
        let mut sources: Vec<u32> = (0..5).flat_map(|_| 0..ATTACKERS).collect();
        sources.extend(crowd);
        random.shuffle(&mut sources);
        lines += sources.len();
        let start = cpu();
        for (n, source) in sources.iter().enumerate() {
            let now = START + second as i64 * 1_000 + (n * 1_000 / sources.len()) as i64;
            let told = detector.observe(web, &event, Some(address(*source)), b"", now);
            if told.iter().any(|d| matches!(d, Decision::Ban(_))) {
                wrong += u32::from(*source >= ATTACKERS);
                if *source < ATTACKERS && found.insert(*source) {
                    delay += now - START;
                }
            }
        }
        spent += cpu() - start;
    }
    let mean = delay as f64 / 1_000.0 / found.len().max(1) as f64;
    println!(
        "  {crowd:9}  {hits:4}  {cells:6}  {:4} KiB  {:5}  {wrong:5}  {mean:4.1} s  {:10}  {:7.0}",
        cells * 16 / 1_024,
        found.len(),
        detector.jails()[0].pushed_out,
        spent.as_nanos() as f64 / lines as f64
    );
}
