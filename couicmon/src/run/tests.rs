//! The service against a stand-in for the daemon: lines into a file, rules out of a socket.

mod daemon;
mod reloads;
mod restarts;
mod told;

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::PathBuf,
    sync::Arc,
};

use couic_settings::Part;
use couic_testkit::{LONG, until};
use tempfile::TempDir;

use self::daemon::Daemon;
use super::{confine::Readable, service::Service};
use crate::config::Config;

/// A directory with a log and a state, and a daemon.
struct Rig {
    dir: TempDir,
    daemon: Daemon,
}

/// A jail that bans at the third hit.
const SCAN: &str =
    "[jail.scan]\nsource = \"web\"\nstatus = 404\nrate = \"3 per 60s\"\nban = \"10m\"\n";

impl Rig {
    fn new() -> Self {
        let rig = Self {
            dir: tempfile::tempdir().unwrap(),
            daemon: Daemon::new(),
        };
        fs::write(rig.log(), "").unwrap();
        rig
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join("access.log")
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// `[source.web]` with these keys, and these tables.
    fn config(&self, keys: &str, tables: &str) -> Config {
        let format = if keys.contains("fields") {
            ""
        } else {
            "format = \"combined\"\n"
        };
        let dir = self.dir.path().display();
        let (socket, token) = (self.daemon.socket(), self.daemon.token_file());
        let text = format!(
            "state_dir = \"{dir}/state\"\ncontrol = \"{dir}/control.sock\"\n\
             [daemon]\nsocket = \"{}\"\ntoken_file = \"{}\"\n[metrics]\nlisten = \"127.0.0.1:0\"\n\
             [source.web]\nfile = \"{dir}/access.log\"\n{format}{keys}\n{tables}",
            socket.display(),
            token.display(),
        );
        let part = Part {
            path: "test.toml".into(),
            text,
        };
        Config::of(&[part]).unwrap()
    }

    /// Starts, and waits until the log is open: what is written before the first look of all is not read.
    fn start(&self, config: &Config) -> Arc<Service> {
        let service = Service::start(config, Readable::everything(), Vec::new()).unwrap();
        let open = || (service.sources()[0].tail.files == 1).then_some(());
        until("the log is open", LONG, open);
        service
    }

    /// Appends requests, one for each address, with this status.
    fn write(&self, addresses: &[&str], status: u16) {
        let mut lines = String::new();
        for address in addresses {
            writeln!(lines, "{}", line(address, status)).unwrap();
        }
        let mut file = File::options().append(true).open(self.log()).unwrap();
        file.write_all(lines.as_bytes()).unwrap();
    }
}

/// A line of `combined`, written now.
fn line(address: &str, status: u16) -> String {
    line_at(address, status, super::core::clock_ms() / 1_000)
}

fn line_at(address: &str, status: u16, unix: i64) -> String {
    let format = time::macros::format_description!(
        "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] +0000"
    );
    let time = time::OffsetDateTime::from_unix_timestamp(unix)
        .unwrap()
        .format(format)
        .unwrap();
    format!("{address} - - [{time}] \"GET /x?a=\\x22 HTTP/1.1\" {status} 5 \"-\" \"curl/8\"")
}

/// Lines that a source has handed over.
fn await_lines(service: &Service, count: u64) {
    let read = || (service.sources()[0].tail.lines >= count).then_some(());
    until("lines are read", LONG, read);
}

#[test]
fn a_ban_says_who_why_and_how_long() {
    let rig = Rig::new();
    let service = rig.start(&rig.config("", SCAN));
    rig.write(
        &[
            "192.0.2.7",
            "192.0.2.8",
            "192.0.2.7",
            "192.0.2.7",
            "2001:db8::1",
        ],
        404,
    );
    let job = rig.daemon.await_rule("192.0.2.7/32");
    assert_eq!(job.entry.tag.as_deref(), Some("mon-scan"));
    let ttl = job.entry.ttl.unwrap();
    assert!((590..=600).contains(&ttl), "{ttl}");
    let metadata = job.entry.metadata.unwrap();
    assert_eq!(metadata.kind, "couicmon");
    assert!(
        metadata
            .detail
            .starts_with("scan: 3 hits, rate 3 per 60s: 192.0.2.7 - - ["),
        "{}",
        metadata.detail
    );
    let extra = metadata.extra.unwrap();
    assert_eq!(
        (&extra["jail"], &extra["count"], &extra["level"]),
        (&"scan".into(), &3.into(), &1.into())
    );
    assert!(extra["sample"].as_str().unwrap().contains("GET /x"));
    await_lines(&service, 5);
    service.stop();
    assert_eq!(rig.daemon.in_force(), ["192.0.2.7/32"]);
    assert!(!rig.state().join("pending").exists());
}

#[test]
fn a_jail_in_shadow_mode_bans_nobody_and_counts() {
    let rig = Rig::new();
    let service = rig.start(&rig.config("", &format!("{SCAN}shadow = true\n")));
    rig.write(&["192.0.2.7"; 5], 404);
    await_lines(&service, 5);
    let shadow = || (service.core.lock().detector.jails()[0].shadow_bans == 1).then_some(());
    until("a ban in shadow mode", LONG, shadow);
    service.stop();
    assert!(rig.daemon.in_force().is_empty());
}

#[test]
fn behind_proxies_the_client_is_banned_and_the_proxy_never() {
    let rig = Rig::new();
    let keys = "trusted_proxies = [\"10.0.0.0/8\"]\nclient_from = \"x-forwarded-for\"";
    let keys =
        format!("{keys}\nfields = '$remote_addr [$time_local] \"$http_x_forwarded_for\" $status'");
    let config = rig.config(&keys, SCAN);
    let service = rig.start(&config);
    let mut lines = String::new();
    for n in 0..5 {
        writeln!(
            lines,
            "10.0.0.1 [01/Jan/2026:00:00:0{n} +0000] \"6.6.6.6, 192.0.2.7\" 404"
        )
        .unwrap();
        writeln!(
            lines,
            "10.0.0.1 [01/Jan/2026:00:00:0{n} +0000] \"junk\" 404"
        )
        .unwrap();
    }
    File::options()
        .append(true)
        .open(rig.log())
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    rig.daemon.await_rule("192.0.2.7/32");
    await_lines(&service, 10);
    service.stop();
    assert_eq!(rig.daemon.in_force(), ["192.0.2.7/32"]);
}

#[test]
fn nobody_is_judged_until_a_set_of_proxies_is_known() {
    let rig = Rig::new();
    rig.daemon.set_ignore(None);
    let keys = "trusted_proxies = \"feed:cdn\"\nclient_from = \"x-forwarded-for\"";
    let service = rig.start(&rig.config(keys, SCAN));
    assert_eq!(service.blind(), ["web"]);
    rig.write(&["192.0.2.7"; 5], 404);
    let unjudged = || {
        let source = &service.sources()[0];
        (source
            .counts
            .unjudged
            .load(std::sync::atomic::Ordering::Relaxed)
            == 5)
            .then_some(())
    };
    until("the lines are read", LONG, unjudged);
    assert!(rig.daemon.in_force().is_empty());
    rig.daemon.set_ignore(Some(
        "{\"creation\":1,\"cidr\":\"198.51.100.0/24\",\"tag\":\"cdn.couic\",\"expiration\":0}\n",
    ));
    let known = || {
        service.tick();
        service.blind().is_empty().then_some(())
    };
    until("the set is known", LONG, known);
    rig.write(&["192.0.2.7"; 5], 404);
    rig.write(&["198.51.100.1"; 5], 404);
    rig.daemon.await_rule("192.0.2.7/32");
    await_lines(&service, 15);
    service.stop();
    assert_eq!(rig.daemon.in_force(), ["192.0.2.7/32"]);
}
