//! Logs like those of a site under attack, the same in every run. An attacker is active for a while, as in reality.

use std::{
    fs::File,
    io::{BufWriter, Write},
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use fastrand::Rng;

/// The first second of each log: 2026-12-01 00:00:00 UTC.
const DAY: u32 = 1_796_083_200;
/// Lines per second of log time.
const PER_SECOND: u32 = 300;
/// Innocent sources of the access log.
const VISITORS: u32 = 61_750;
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
];

/// A request, whatever the format of the log.
pub(crate) struct Request {
    pub(crate) source: Ipv4Addr,
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) agent: &'static str,
}

/// Requests of visitors, and of attackers: 15 % flood, 2.5 % scan, 2.5 % guess passwords.
pub(crate) struct Requests {
    random: Rng,
    nth: u32,
}

impl Requests {
    pub(crate) fn new() -> Self {
        Self {
            random: Rng::with_seed(14),
            nth: 0,
        }
    }

    /// One of ten attackers of a kind that are active in these two minutes.
    fn attacker(&mut self, net: u32) -> Ipv4Addr {
        let turn = self.nth / (120 * PER_SECOND) % 25;
        Ipv4Addr::from_bits(net + turn * 10 + self.random.u32(0..10))
    }

    fn visit(&mut self) -> Request {
        let random = &mut self.random;
        let page = random.u32(0..5_000);
        let missing = random.u32(0..100) < 2;
        Request {
            source: Ipv4Addr::from_bits(0x1000_0000 + random.u32(0..VISITORS) * 977),
            method: "GET",
            path: format!(
                "/articles/2026/{page}/a-title-of-usual-length?page={}",
                page % 7
            ),
            status: if missing { 404 } else { 200 },
            agent: AGENTS[random.usize(0..AGENTS.len())],
        }
    }
}

impl Iterator for Requests {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        let kind = self.random.u32(0..1000);
        let (net, method, path, status) = match kind {
            0..150 => (0xc633_6400, "GET", "/search?q=couic".to_owned(), 200),
            150..175 => {
                let number = self.random.u32(..);
                (
                    0xcb00_7100,
                    "GET",
                    format!("/phpMyAdmin-{number}/index.php"),
                    404,
                )
            }
            175..200 => (0xc000_0200, "POST", "/wp-login.php".to_owned(), 401),
            _ => {
                self.nth += 1;
                return Some(self.visit());
            }
        };
        let source = self.attacker(net);
        self.nth += 1;
        Some(Request {
            source,
            method,
            path,
            status,
            agent: AGENTS[0],
        })
    }
}

/// The time of day of the `nth` line.
fn clock(nth: u32) -> String {
    let second = nth / PER_SECOND;
    format!(
        "{:02}:{:02}:{:02}",
        second / 3600 % 24,
        second / 60 % 60,
        second % 60
    )
}

/// A line of the combined format.
pub(crate) fn combined(request: &Request, time: &str) -> String {
    let Request {
        source,
        method,
        path,
        status,
        agent,
    } = request;
    format!(
        "{source} - - [{time}] \"{method} {path} HTTP/1.1\" {status} 5316 \"https://example.com/\" \"{agent}\"\n"
    )
}

/// A line of Caddy 2.6.
fn json(request: &Request, nth: u32) -> String {
    let Request {
        source,
        method,
        path,
        status,
        agent,
    } = request;
    let second = DAY + nth / PER_SECOND;
    format!(
        "{{\"level\":\"info\",\"ts\":{second}.2552154,\"logger\":\"http.log.access.log0\",\"msg\":\"handled request\",\
         \"request\":{{\"remote_ip\":\"{source}\",\"remote_port\":\"56906\",\"proto\":\"HTTP/2.0\",\"method\":\"{method}\",\
         \"host\":\"example.com\",\"uri\":\"{path}\",\"headers\":{{\"User-Agent\":[\"{agent}\"],\"Accept\":[\"text/html,\
         application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\"],\"Accept-Language\":[\"en-US,en;q=0.5\"],\
         \"Accept-Encoding\":[\"gzip, deflate, br\"],\"Referer\":[\"https://example.com/\"]}},\"tls\":{{\"resumed\":false,\
         \"version\":772,\"cipher_suite\":4865,\"proto\":\"h2\",\"server_name\":\"example.com\"}}}},\"user_id\":\"\",\
         \"duration\":0.000020871,\"size\":5316,\"status\":{status},\"resp_headers\":{{\"Server\":[\"Caddy\"],\
         \"Content-Type\":[\"text/html; charset=utf-8\"]}}}}\n"
    )
}

/// A message of sshd, or of something else in `auth.log`.
fn auth(random: &mut Rng, nth: u32) -> String {
    let (turn, port) = (nth / 20_000 % 25, random.u32(30_000..60_000));
    let source = Ipv4Addr::from_bits(0xcb00_7100 + turn * 10 + random.u32(0..10));
    let friend = Ipv4Addr::from_bits(0x1000_0000 + random.u32(0..500) * 977);
    let message = match random.u32(0..100) {
        0..40 => format!("sshd[{port}]: Failed password for root from {source} port {port} ssh2"),
        40..60 => format!("sshd[{port}]: Invalid user admin from {source} port {port}"),
        60..75 => format!(
            "sshd[{port}]: Connection closed by authenticating user root {source} port {port} [preauth]"
        ),
        75..80 => format!(
            "sshd[{port}]: Accepted publickey for alice from {friend} port {port} ssh2: ED25519 SHA256:x"
        ),
        80..90 => format!(
            "sshd[{port}]: pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost={source}  user=root"
        ),
        _ => format!(
            "CRON[{port}]: pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)"
        ),
    };
    format!("Dec  1 {} web1 {message}\n", clock(nth))
}

/// A file of so many lines, and its path.
fn write(dir: &Path, name: &str, lines: impl Iterator<Item = String>) -> PathBuf {
    let path = dir.join(name);
    let mut file = BufWriter::new(File::create(&path).expect("create a log"));
    for line in lines {
        file.write_all(line.as_bytes()).expect("write a log");
    }
    file.flush().expect("write a log");
    path
}

pub(crate) fn access_log(dir: &Path, lines: u32) -> PathBuf {
    let lines = (0..lines).zip(Requests::new());
    let dated = |nth| format!("01/Dec/2026:{} +0000", clock(nth));
    write(
        dir,
        "access.log",
        lines.map(|(nth, request)| combined(&request, &dated(nth))),
    )
}

pub(crate) fn caddy_log(dir: &Path, lines: u32) -> PathBuf {
    let lines = (0..lines).zip(Requests::new());
    write(
        dir,
        "caddy.log",
        lines.map(|(nth, request)| json(&request, nth)),
    )
}

pub(crate) fn auth_log(dir: &Path, lines: u32) -> PathBuf {
    let mut random = Rng::with_seed(15);
    write(
        dir,
        "auth.log",
        (0..lines).map(|nth| auth(&mut random, nth)),
    )
}
