//! From a request to a dropped packet: real web servers of Debian write their logs, couicmon reads them, the daemon drops
//! the offender by XDP, and nobody else.

mod escalation;
mod outages;
mod proxied;
pub(crate) mod servers;
mod syslog;
mod web;

use std::collections::BTreeSet;

use couic_e2e::{Daemon, HOST_V4, Lab, OUTSIDE_V4, until};
use couic_testkit::LONG;

/// Who must be banned; who is named by the offender; and who behaves.
const OFFENDER: &str = "198.51.100.66";
const NAMED: &str = "203.0.113.50";
const VISITOR: &str = "203.0.113.10";

/// Pages that no server has. Distinct values are counted by a bitmap, so that a few of them may go uncounted.
const SCAN: [&str; 20] = [
    "/.env",
    "/.git/config",
    "/actuator",
    "/admin.php",
    "/backup.zip",
    "/cgi-bin/x",
    "/config.json",
    "/db.sql",
    "/dump.tar",
    "/id_rsa",
    "/old/",
    "/phpinfo.php",
    "/pma/",
    "/server-status",
    "/shell.php",
    "/test.php",
    "/tmp/",
    "/wp-admin/",
    "/wp-config.php",
    "/xmlrpc.php",
];

/// Bans at the tenth distinct missing page.
fn scan_jail() -> String {
    "[jail.scan]\nsource = \"web\"\nstatus = [404]\ndistinct = \"path\"\nrate = \"10 per 100s\"\nban = \"10m\"\n".to_owned()
}

/// A lab whose outside has all addresses of two networks.
pub(crate) fn crowded() -> Option<Lab> {
    let lab = Lab::addressed()?;
    for network in ["198.51.100.0/24", "203.0.113.0/24"] {
        lab.outside
            .run("ip", &["route", "add", "local", network, "dev", "lo"]);
        lab.host
            .run("ip", &["route", "add", network, "via", OUTSIDE_V4]);
    }
    Some(lab)
}

/// The statuses of requests of one address, one after the other, up to the first that is not answered. On a busy machine a
/// server may need seconds for an answer, which must not pass for a drop.
fn ask(lab: &Lab, source: &str, paths: &[&str], options: &[&str]) -> Vec<u16> {
    let urls: Vec<String> = paths
        .iter()
        .map(|path| format!("http://{HOST_V4}{path}"))
        .collect();
    ask_urls(lab, source, &urls, options)
}

fn ask_urls(lab: &Lab, source: &str, urls: &[String], options: &[&str]) -> Vec<u16> {
    let mut args = vec![
        "-s",
        "-w",
        "%{http_code}\n",
        "--max-time",
        "5",
        "--fail-early",
        "--path-as-is",
        "--interface",
        source,
    ];
    args.extend(options);
    args.extend(urls.iter().flat_map(|url| ["-o", "/dev/null", url]));
    let output = lab.outside.output("curl", &args);
    let statuses = String::from_utf8_lossy(&output.stdout);
    statuses
        .lines()
        .map_while(|code| code.parse().ok().filter(|code| *code != 0))
        .collect()
}

pub(crate) fn until_dropped(lab: &Lab, source: &str) {
    until(&format!("{source} is dropped"), LONG, || {
        (!lab.ping_from(HOST_V4, Some(source))).then_some(())
    });
}

/// All sources that are dropped.
fn banned(daemon: &Daemon<'_>) -> BTreeSet<String> {
    let rules = daemon.api().get("/v1/drop");
    let cidr = |rule: &serde_json::Value| rule["cidr"].as_str().map(str::to_owned);
    rules
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(cidr)
        .collect()
}

fn only(sources: &[&str]) -> BTreeSet<String> {
    sources
        .iter()
        .map(|source| format!("{source}/32"))
        .collect()
}
