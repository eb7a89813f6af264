//! A day of two firewalls, as they would report it: for the pictures of the documents. Always the same but for the time.

use std::time::{SystemTime, UNIX_EPOCH};

use couic_testkit::Collector;
use serde_json::{Value, json};

/// Tags with their share of bans, and why.
const TAGS: [(&str, u32, &str); 12] = [
    ("sshd", 30, "6 failed logins in 10 min"),
    ("nginx-botsearch", 18, "12 requests for /wp-login.php"),
    ("feed-spamhaus.couic", 12, "listed"),
    ("postfix-sasl", 9, "4 failed AUTH"),
    ("portscan", 8, "31 ports in 5 s"),
    ("sip-scan", 6, "OPTIONS flood"),
    ("recidive", 5, "banned 3 times in a day"),
    ("dovecot", 4, "5 failed logins"),
    ("http-flood", 3, "840 requests/s"),
    ("rdp", 2, "scan of 3389/tcp"),
    ("crowdsec", 2, "crowdsecurity/http-probing"),
    ("manual", 1, "abuse complaint"),
];

/// Networks from which attacks come: those of documentation.
const NETWORKS: [&str; 3] = ["198.51.100", "203.0.113", "192.0.2"];

pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("a time after 1970").as_secs()
}

/// Reports a day of bans and traffic.
pub(super) fn report(collector: &Collector, firewalls: &[&str]) {
    let mut random = fastrand::Rng::with_seed(13);
    let now = now();
    for (index, firewall) in (1_u64..).zip(firewalls) {
        let headers = format!("Couic-Instance: {firewall}\r\n");
        for hour in (0..24).rev() {
            let start = now - (hour + 1) * 3600;
            let bans: Vec<Value> = (0..20 + random.u64(0..40))
                .map(|_| ban(&mut random, start))
                .collect();
            send(collector, &headers, &Value::Array(bans));
        }
        let headers = format!("{headers}Couic-Kind: traffic\r\n");
        for minute in (1..=1440).rev() {
            let until = now - minute * 60;
            send(
                collector,
                &headers,
                &traffic(&mut random, until, minute, index),
            );
        }
    }
}

fn send(collector: &Collector, headers: &str, body: &Value) {
    let api = collector.api().with(headers);
    let path = Collector::reports_path();
    let answer = api.request("POST", &path, Some(&body.to_string()));
    assert_eq!(answer.status, 200);
}

fn tag(random: &mut fastrand::Rng) -> (&'static str, &'static str) {
    let mut left = random.u32(0..100);
    for (tag, share, reason) in TAGS {
        if left < share {
            return (tag, reason);
        }
        left -= share;
    }
    (TAGS[0].0, TAGS[0].2)
}

fn ban(random: &mut fastrand::Rng, start: u64) -> Value {
    let (tag, reason) = tag(random);
    let at = start + random.u64(0..3600);
    let network = NETWORKS[random.usize(0..NETWORKS.len())];
    // A few come again and again.
    let host = random.u32(0..16) * random.u32(0..16) + 1;
    json!({"action": "add", "policy": "drop", "timestamp": at,
        "metadata": {"kind": "fail2ban", "detail": reason},
        "owner": {"kind": "client", "name": "fail2ban"},
        "entry": {"creation": at, "cidr": format!("{network}.{host}/32"), "tag": tag, "expiration": at + 86_400}})
}

/// One minute: some noise, a wave over the day, and an attack in the evening.
fn traffic(random: &mut fastrand::Rng, until: u64, minutes_ago: u64, scale: u64) -> Value {
    let wave = 600 + (minutes_ago % 720).abs_diff(360) * 2;
    let attack = match minutes_ago {
        200..260 => 24_000 + random.u64(0..9_000),
        _ => 0,
    };
    let dropped = (wave / 2 + random.u64(0..300) + attack) / scale;
    let passed = (wave * 14 + random.u64(0..2_000)) / scale;
    let mut left = dropped;
    let mut tags = Vec::new();
    for (tag, share, _) in TAGS {
        let packets = match tag {
            "http-flood" => attack / scale,
            _ => (dropped - attack / scale) * u64::from(share) / 100,
        }
        .min(left);
        left -= packets;
        tags.push(json!({"policy": "drop", "tag": tag, "packets": packets, "bytes": packets * 62}));
    }
    json!({"from": until - 60, "until": until,
        "passed": {"packets": passed, "bytes": passed * 812}, "dropped": {"packets": dropped, "bytes": dropped * 62},
        "tags": tags, "health": "ok", "version": "2.0.0",
        "rules": [{"policy": "drop", "family": 4, "rules": 41_872 + scale * 113, "limit": 1_048_576},
            {"policy": "drop", "family": 6, "rules": 1_204, "limit": 1_048_576},
            {"policy": "ignore", "family": 4, "rules": 12, "limit": 65_536}],
        "interfaces": [{"name": "eth0", "attached": true}]})
}
