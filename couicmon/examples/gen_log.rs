//! Writes a log for benchmarks and tests: the same bytes for the same arguments, on every machine.
//!
//! gen_log FORMAT LINES [sources=62250] [flood=15] [scan=2.5] [login=2.5] [rate=1000] [seed=1]
//!
//! FORMAT is combined, caddy-json or sshd. flood, scan and login are percentages of the lines; rate is lines per second of
//! log time. Of `sources`, the first 250 do the harm: 50 flood, 100 scan, 100 guess passwords; the others are visitors.
//! In a log of sshd, flood and scan are connections without a login.

use std::{
    error::Error,
    fmt,
    io::{self, BufWriter, Write},
    net::Ipv4Addr,
};

/// 2026-11-02 00:00:00 UTC, a Monday.
const START: u64 = 1_793_577_600;
const FLOODERS: u64 = 50;
const SCANNERS: u64 = 100;
const GUESSERS: u64 = 100;
const HARMFUL: u64 = FLOODERS + SCANNERS + GUESSERS;

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15",
    "curl/8.14.1",
];
const PATHS: [&str; 6] = [
    "/",
    "/products/overview",
    "/assets/css/site.min.css",
    "/assets/img/hero-1600x900.webp",
    "/blog/2026/10/how-we-moved-the-office",
    "/api/v1/cart?lang=de",
];
const SECRETS: [&str; 6] = [
    "/.env",
    "/.git/config",
    "/wp-login.php",
    "/phpmyadmin/index.php",
    "/cgi-bin/test.cgi",
    "/actuator/health",
];
const USERS: [&str; 6] = ["root", "admin", "test", "ubuntu", "git", "postgres"];

struct Options {
    sources: u64,
    /// Of 10,000 lines.
    flood: u64,
    scan: u64,
    login: u64,
    rate: u64,
    rng: fastrand::Rng,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Visit,
    Flood,
    Scan,
    Login,
}

/// What a line tells.
struct Told {
    kind: Kind,
    addr: Ipv4Addr,
    second: u64,
    number: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [format, lines, rest @ ..] = args.as_slice() else {
        return Err("usage: gen_log FORMAT LINES [KEY=VALUE]…".into());
    };
    let write = match format.as_str() {
        "combined" => combined,
        "caddy-json" => caddy,
        "sshd" => sshd,
        _ => return Err(format!("{format:?} is none of: combined, caddy-json, sshd").into()),
    };
    let mut options = options(rest)?;
    let mut out = BufWriter::with_capacity(1 << 20, io::stdout().lock());
    for number in 0..lines.parse()? {
        let told = options.next(number);
        match write(&mut out, &told, &mut options.rng) {
            // Nobody reads on, as in `| head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            result => result?,
        }
    }
    Ok(out.flush()?)
}

fn options(args: &[String]) -> Result<Options, Box<dyn Error>> {
    let of = |key: &str, default: f64| -> Result<f64, Box<dyn Error>> {
        let mut values = args
            .iter()
            .filter_map(|arg| arg.strip_prefix(key)?.strip_prefix('='));
        Ok(values.next_back().map_or(Ok(default), str::parse)?)
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "arguments are small"
    )]
    let whole = |value: f64| value as u64;
    Ok(Options {
        sources: whole(of("sources", 62_250.0)?).max(HARMFUL + 1),
        flood: whole(of("flood", 15.0)? * 100.0),
        scan: whole(of("scan", 2.5)? * 100.0),
        login: whole(of("login", 2.5)? * 100.0),
        rate: whole(of("rate", 1_000.0)?).max(1),
        rng: fastrand::Rng::with_seed(whole(of("seed", 1.0)?)),
    })
}

impl Options {
    fn next(&mut self, number: u64) -> Told {
        let of = self.rng.u64(0..10_000);
        let (kind, first, count) = if of < self.flood {
            (Kind::Flood, 0, FLOODERS)
        } else if of < self.flood + self.scan {
            (Kind::Scan, FLOODERS, SCANNERS)
        } else if of < self.flood + self.scan + self.login {
            (Kind::Login, FLOODERS + SCANNERS, GUESSERS)
        } else {
            (Kind::Visit, HARMFUL, self.sources - HARMFUL)
        };
        Told {
            kind,
            addr: address(first + self.rng.u64(0..count)),
            second: number / self.rate,
            number,
        }
    }
}

/// Another address for each source, spread over 1.0.0.0 to 222.255.255.255; those of harm have another /24 each.
fn address(source: u64) -> Ipv4Addr {
    // A multiplier without a common factor with the size of the range maps each source to another address.
    const FIRST: u64 = 1 << 24;
    const SIZE: u64 = 222 << 24;
    let at = FIRST + source.wrapping_mul(2_654_435_761) % SIZE;
    Ipv4Addr::from_bits(u32::try_from(at).unwrap_or(u32::MAX))
}

/// Method, path, status and bytes of a request.
fn request(told: &Told, rng: &mut fastrand::Rng) -> (&'static str, String, u16, u64) {
    let pick = |list: &[&'static str], rng: &mut fastrand::Rng| list[rng.usize(0..list.len())];
    match told.kind {
        Kind::Login => ("POST", "/login".into(), 401, 512),
        Kind::Flood => ("GET", format!("/search?q={}", rng.u32(..)), 200, 9_120),
        Kind::Scan => (
            "GET",
            format!("/{:x}{}", told.number, pick(&SECRETS, rng)),
            404,
            162,
        ),
        Kind::Visit if rng.u32(0..100) < 3 => (
            "GET",
            format!("/old/page-{}.html", rng.u32(0..500)),
            404,
            162,
        ),
        Kind::Visit => ("GET", pick(&PATHS, rng).into(), 200, rng.u64(300..60_000)),
    }
}

fn agent(told: &Told) -> &'static str {
    let of = told.addr.to_bits() as usize % AGENTS.len();
    AGENTS[of]
}

fn combined(out: &mut dyn Write, told: &Told, rng: &mut fastrand::Rng) -> io::Result<()> {
    let (method, path, status, bytes) = request(told, rng);
    let (day, time) = (Day(told.second), Clock(told.second));
    writeln!(
        out,
        "{} - - [{day}/2026:{time} +0000] \"{method} {path} HTTP/1.1\" {status} {bytes} \"https://www.example.org/blog/2026/10/\" \"{}\"",
        told.addr,
        agent(told)
    )
}

fn caddy(out: &mut dyn Write, told: &Told, rng: &mut fastrand::Rng) -> io::Result<()> {
    let (method, uri, status, size) = request(told, rng);
    let millis = told.number % 1_000;
    writeln!(
        out,
        r#"{{"level":"info","ts":{}.{millis:03},"logger":"http.log.access.log0","msg":"handled request","request":{{"remote_ip":"{addr}","remote_port":"{port}","client_ip":"{addr}","proto":"HTTP/2.0","method":"{method}","host":"www.example.org","uri":"{uri}","headers":{{"User-Agent":["{agent}"],"Accept":["*/*"],"Accept-Encoding":["gzip, deflate, br, zstd"],"Accept-Language":["de,en-US;q=0.7,en;q=0.3"],"Referer":["https://www.example.org/"]}},"tls":{{"resumed":false,"version":772,"cipher_suite":4865,"proto":"h2","server_name":"www.example.org"}}}},"bytes_read":0,"user_id":"","duration":0.{millis:03}912,"size":{size},"status":{status},"resp_headers":{{"Server":["Caddy"],"Content-Type":["text/html"]}}}}"#,
        START + told.second,
        addr = told.addr,
        port = 1_024 + told.number % 64_000,
        agent = agent(told),
    )
}

fn sshd(out: &mut dyn Write, told: &Told, rng: &mut fastrand::Rng) -> io::Result<()> {
    let (addr, port, pid) = (
        told.addr,
        1_024 + told.number % 64_000,
        1_000 + told.number % 30_000,
    );
    let user = USERS[rng.usize(0..USERS.len())];
    let (day, time) = (Day(told.second).syslog(), Clock(told.second));
    write!(out, "{day} {time} bastion sshd[{pid}]: ")?;
    match told.kind {
        Kind::Login if rng.bool() => writeln!(
            out,
            "Failed password for {user} from {addr} port {port} ssh2"
        ),
        Kind::Login => writeln!(
            out,
            "Failed password for invalid user {user}{} from {addr} port {port} ssh2",
            rng.u32(0..90)
        ),
        Kind::Flood | Kind::Scan => {
            writeln!(out, "Connection closed by {addr} port {port} [preauth]")
        }
        Kind::Visit => writeln!(
            out,
            "Accepted publickey for deploy from {addr} port {port} ssh2: ED25519 SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
        ),
    }
}

/// The day of a second after the start, within November and December.
struct Day(u64);

impl Day {
    fn parts(&self) -> (u64, &'static str) {
        let day = 2 + self.0 / 86_400;
        if day <= 30 {
            (day, "Nov")
        } else {
            ((day - 30).min(31), "Dec")
        }
    }

    fn syslog(&self) -> String {
        let (day, month) = self.parts();
        format!("{month} {day:>2}")
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (day, month) = self.parts();
        write!(f, "{day:02}/{month}")
    }
}

/// The time of day of a second after the start.
struct Clock(u64);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hours, minutes, seconds) = (self.0 / 3_600 % 24, self.0 / 60 % 60, self.0 % 60);
        write!(f, "{hours:02}:{minutes:02}:{seconds:02}")
    }
}
