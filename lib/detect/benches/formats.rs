//! Nanoseconds of CPU for a line of each format, one after the other and side by side with the cheapest thing that could
//! be done: finding the end of the line. Each is measured in rounds between those of the others, the median counts: a
//! loaded machine disturbs all of them alike.

#![expect(clippy::unwrap_used, reason = "a benchmark stops on the first error")]

use std::hint::black_box;

use couic_detect::{Client, Container, Format, Nets, Trusted};
use nix::{
    sys::time::TimeValLike as _,
    time::{ClockId, clock_gettime},
};

const LINES: usize = 20_000;
const ROUNDS: usize = 15;

const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const MAIN: &str = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;

/// A format with its lines, and the times of its rounds.
struct Case {
    name: &'static str,
    format: Format,
    /// Lines with their ends.
    lines: Vec<u8>,
    count: usize,
    rounds: Vec<f64>,
}

fn main() {
    // `cargo test --benches` only checks that it builds.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let mut cases = cases();
    let (mut split, mut trusted) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (lines, count) = (&cases[0].lines, cases[0].count);
        split.push(per_line(count, || {
            for_each_line(lines, |line| _ = black_box(line));
        }));
        trusted.push(client());
        for case in &mut cases {
            case.round();
        }
    }
    let base = median(&mut split);
    println!(
        "{:<24} {:>8} {:>12} {:>8} {:>10}",
        "format", "ns/line", "lines/CPU s", "bytes", "x split"
    );
    println!(
        "{:<24} {base:>8.0} {:>12.0}",
        "split at newlines",
        1e9 / base
    );
    println!(
        "{:<24} {:>8.0}",
        "client behind 2 proxies",
        median(&mut trusted)
    );
    for case in &mut cases {
        let (ns, bytes) = (median(&mut case.rounds), case.lines.len() / case.count);
        println!(
            "{:<24} {ns:>8.0} {:>12.0} {bytes:>8} {:>10.1}",
            case.name,
            1e9 / ns,
            ns / base
        );
    }
}

impl Case {
    fn new(name: &'static str, format: Format, line: impl Fn(usize) -> String) -> Self {
        let lines: Vec<String> = (0..LINES).map(|n| line(n) + "\n").collect();
        let mut case = Self {
            name,
            format,
            lines: lines.concat().into_bytes(),
            count: LINES,
            rounds: Vec::new(),
        };
        let parsed = lines
            .iter()
            .filter(|line| case.format.parse(line.as_bytes()).is_ok());
        assert_eq!(parsed.count(), LINES, "{name}: a line is not of the format");
        case
    }

    /// Includes the search for the ends of lines.
    fn round(&mut self) {
        let Self { format, lines, .. } = self;
        let ns = per_line(self.count, || {
            for_each_line(lines, |line| _ = black_box(format.parse(black_box(line))));
        });
        self.rounds.push(ns);
    }
}

/// As readers of files do.
fn for_each_line<'a>(lines: &'a [u8], mut each: impl FnMut(&'a [u8])) {
    let mut rest = lines;
    while let Some(end) = memchr::memchr(b'\n', rest) {
        each(&rest[..end]);
        rest = &rest[end + 1..];
    }
}

fn cases() -> Vec<Case> {
    let named = |name| Format::named(name).unwrap();
    let docker = |n| {
        let line = combined(n).replace('"', "\\\"");
        format!(r#"{{"log":"{line}\n","stream":"stdout","time":"2026-12-01T06:25:02.123456789Z"}}"#)
    };
    vec![
        Case::new("combined", named("combined"), combined),
        Case::new(
            "combined, compiled",
            Format::fields(MAIN).unwrap(),
            combined,
        ),
        Case::new("combined, escapes", named("combined"), |n| {
            combined(n)
                .replace("/index", "//a%20b\\x22/../index")
                .replace("X11", "\\x22X11")
        }),
        Case::new(
            "combined in docker",
            named("combined").within(Container::Docker),
            docker,
        ),
        Case::new(
            "combined in cri",
            named("combined").within(Container::Cri),
            |n| format!("2026-12-01T06:25:02.123456789Z stdout F {}", combined(n)),
        ),
        Case::new(
            "combined behind syslog",
            named("combined").behind_syslog(),
            |n| format!("<190>Dec  1 06:25:01 host nginx: {}", combined(n)),
        ),
        Case::new("haproxy", named("haproxy"), haproxy),
        Case::new("caddy-json", named("caddy-json"), caddy),
        Case::new("traefik-json", named("traefik-json"), traefik),
        Case::new("nginx-json", named("nginx-json"), nginx_json),
        Case::new("sshd", named("sshd"), sshd),
        Case::new("syslog", named("syslog"), sshd),
        Case::new("plain", named("plain"), combined),
    ]
}

fn peer(n: usize) -> String {
    format!("198.{}.{}.{}", n % 200, n / 7 % 256, n * 31 % 256)
}

/// A second lasts for 500 lines.
fn second(n: usize) -> String {
    format!("06:{:02}:{:02}", n / 500 / 60 % 60, n / 500 % 60)
}

fn combined(n: usize) -> String {
    format!(
        r#"{} - - [01/Dec/2026:{} +0000] "GET /index/{}.html?page={n} HTTP/1.1" 200 {} "https://www.example.org/some/page" "{AGENT}""#,
        peer(n),
        second(n),
        n % 997,
        n % 5000
    )
}

fn haproxy(n: usize) -> String {
    format!(
        r#"Dec  1 {} lb1 haproxy[4711]: {}:33317 [01/Dec/2026:{}.655] http-in~ static/srv1 10/0/30/69/109 200 {} - - ---- 1/1/1/1/0 0/0 {{www.example.org}} {{}} "GET /index/{}.html?page={n} HTTP/1.1""#,
        second(n),
        peer(n),
        second(n),
        n % 5000,
        n % 997
    )
}

/// 773 bytes, like the log that the prototype of this was measured with.
fn caddy(n: usize) -> String {
    format!(
        r#"{{"level":"info","ts":17961{:05}.5241024,"logger":"http.log.access.log0","msg":"handled request","request":{{"remote_ip":"{}","remote_port":"41342","client_ip":"{}","proto":"HTTP/2.0","method":"GET","host":"www.example.org","uri":"/index/{}.html?page={n}","headers":{{"User-Agent":["{AGENT}"],"Accept":["text/html,application/xhtml+xml"],"Accept-Encoding":["gzip, deflate, br"],"Accept-Language":["en-GB,en;q=0.5"],"Sec-Fetch-Mode":["navigate"]}},"tls":{{"resumed":false,"version":772,"cipher_suite":4865,"proto":"h2","server_name":"www.example.org"}}}},"bytes_read":0,"user_id":"","duration":0.000929675,"size":10900,"status":200,"resp_headers":{{"Server":["Caddy"],"Content-Type":["text/html; charset=utf-8"],"Etag":["\"sqx7k98e4\""]}}}}"#,
        n / 500,
        peer(n),
        peer(n),
        n % 997
    )
}

fn traefik(n: usize) -> String {
    format!(
        r#"{{"ClientAddr":"{0}:5555","ClientHost":"{0}","ClientPort":"5555","ClientUsername":"-","DownstreamContentSize":19,"DownstreamStatus":200,"Duration":1234567,"OriginContentSize":19,"OriginDuration":1200000,"OriginStatus":200,"Overhead":34567,"RequestAddr":"www.example.org","RequestContentSize":0,"RequestCount":{n},"RequestHost":"www.example.org","RequestMethod":"GET","RequestPath":"/index/{1}.html?page={n}","RequestPort":"-","RequestProtocol":"HTTP/1.1","RequestScheme":"http","RetryAttempts":0,"RouterName":"web@docker","StartLocal":"2026-12-01T{2}.123456789Z","StartUTC":"2026-12-01T{2}.123456789Z","entryPointName":"web","level":"info","msg":"","request_User-Agent":"{AGENT}","time":"2026-12-01T{2}Z"}}"#,
        peer(n),
        n % 997,
        second(n)
    )
}

fn nginx_json(n: usize) -> String {
    format!(
        r#"{{"time_iso8601":"2026-12-01T{}+00:00","remote_addr":"{}","remote_user":"","request":"GET /index/{}.html?page={n} HTTP/1.1","status":"200","body_bytes_sent":"512","http_referer":"https://www.example.org/some/page","http_user_agent":"{AGENT}","http_x_forwarded_for":"","host":"www.example.org","request_time":"0.003"}}"#,
        second(n),
        peer(n),
        n % 997
    )
}

fn sshd(n: usize) -> String {
    let (peer, head) = (peer(n), format!("Dec  1 {} host sshd[{n}]: ", second(n)));
    match n % 5 {
        0 => format!("{head}Failed password for root from {peer} port {n} ssh2"),
        1 => format!("{head}Invalid user admin{n} from {peer} port {n}"),
        2 => format!("{head}Failed password for invalid user admin{n} from {peer} port {n} ssh2"),
        3 => {
            format!("{head}Connection closed by authenticating user root {peer} port {n} [preauth]")
        }
        _ => format!(
            "{head}Accepted publickey for ann from {peer} port {n} ssh2: ED25519 SHA256:abcdefghijklmnopqrstuvwxyz0123456789"
        ),
    }
}

/// Through two trusted proxies, in a set of 1,000 networks.
fn client() -> f64 {
    let nets: Nets = (0..1000)
        .map(|n| format!("10.{}.{}.0/24", n / 250, n % 250).parse().unwrap())
        .collect();
    let trusted = Trusted::new(nets);
    let peer = "10.1.2.3".parse().unwrap();
    per_line(LINES, || {
        for _ in 0..LINES {
            let client = trusted.client(peer, black_box(b"6.6.6.6, 192.0.2.7, 10.3.7.1"));
            assert!(matches!(client, Client::Known(_)));
        }
    })
}

fn per_line(count: usize, work: impl FnOnce()) -> f64 {
    let begin = cpu_ns();
    work();
    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of a round fit")]
    let ns = (cpu_ns() - begin) as f64 / count as f64;
    ns
}

fn cpu_ns() -> i64 {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    time.num_nanoseconds()
}

fn median(rounds: &mut [f64]) -> f64 {
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}
