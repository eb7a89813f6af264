mod bans;
mod guards;
mod invariants;
mod trials;

use std::time::Duration;

use ipnetwork::IpNetwork;

use super::*;
use crate::{Ban, DetectConfig, JailConfig, WidenConfig};

const NOW: i64 = 1_700_000_000_000;
const MINUTE: i64 = 60_000;

fn nets(nets: &[&str]) -> Nets {
    nets.iter()
        .map(|net| net.parse::<IpNetwork>().unwrap())
        .collect()
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Three refused requests within a minute: 10 minutes.
fn scan() -> JailConfig {
    JailConfig {
        name: "scan".into(),
        sources: vec!["web".into()],
        status: vec!["404".into()],
        rate: "3 per 1m".into(),
        ban: Duration::from_secs(600),
        cells: 1_024,
        ..JailConfig::default()
    }
}

/// Two failed logins within an hour: an hour.
fn login() -> JailConfig {
    JailConfig {
        name: "login".into(),
        status: vec!["401".into()],
        path: vec!["/login".into()],
        rate: "2 per 1h".into(),
        ban: Duration::from_secs(3_600),
        ..scan()
    }
}

/// Lines with an address that only a regex finds.
fn plain() -> JailConfig {
    JailConfig {
        name: "plain".into(),
        sources: vec!["plain".into()],
        status: Vec::new(),
        regex: vec!["^bad login of .* from <HOST>$".into()],
        ..scan()
    }
}

fn config(jails: Vec<JailConfig>) -> DetectConfig {
    DetectConfig {
        jails,
        ..DetectConfig::default()
    }
}

fn detector(config: &DetectConfig) -> Detector {
    let rules = config.check(&["web".into(), "plain".into()]).unwrap();
    Detector::new(rules, 42)
}

fn request(status: u16, path: &'static str) -> Event<'static> {
    Event {
        status,
        method: b"GET",
        path: path.as_bytes().into(),
        ..Event::default()
    }
}

impl Detector {
    fn event(&mut self, from: &str, event: &Event<'_>, now_ms: i64) -> Vec<Decision> {
        let web = self.source("web").unwrap();
        let client = Some(Client::Known(addr(from)));
        self.observe(web, event, client, b"line", now_ms)
    }

    fn status(&mut self, from: &str, status: u16, now_ms: i64) -> Vec<Decision> {
        self.event(from, &request(status, "/login"), now_ms)
    }

    /// As many refused requests as fill the bucket of [`scan`].
    fn scans(&mut self, from: &str, now_ms: i64) -> Vec<Decision> {
        (0..3)
            .flat_map(|_| self.status(from, 404, now_ms))
            .collect()
    }

    fn fails(&mut self, from: &str, now_ms: i64) -> Vec<Decision> {
        (0..2)
            .flat_map(|_| self.status(from, 401, now_ms))
            .collect()
    }

    fn message(&mut self, message: &str, now_ms: i64) -> Vec<Decision> {
        let plain = self.source("plain").unwrap();
        let event = Event {
            message: message.as_bytes().into(),
            ..Event::default()
        };
        self.observe(plain, &event, None, message.as_bytes(), now_ms)
    }
}

/// The only decision, a ban: of what, how long (minutes), which level.
fn ban(decisions: &[Decision]) -> (String, u64, u32) {
    match decisions {
        [Decision::Ban(ban)] => told(ban),
        other => panic!("{other:?}"),
    }
}

fn told(ban: &Ban) -> (String, u64, u32) {
    (ban.cidr.to_string(), ban.length.as_secs() / 60, ban.level)
}
