//! The page of couic-report in a real browser, with a real daemon: packets, a ban by mouse, its confirmation.

#![expect(clippy::expect_used, reason = "a panic fails the test")]

mod day;

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use couic_e2e::{Daemon, Frame, Lab, until};
use couic_testkit::Collector;

const TOKEN: &str = "a-token-of-the-page-0123";

/// The firewall's name in its reports and on the page.
const FIREWALL: &str = "fw-paris";

/// The port of the page, in a namespace of the test.
const PORT: u16 = 8001;

/// The deadline of conditions.
const PATIENCE: Duration = Duration::from_secs(60);

/// The browser and what drives it.
struct Browser {
    modules: PathBuf,
    chromium: PathBuf,
}

impl Browser {
    /// None, with the reason printed, if something is not installed.
    fn find() -> Option<Self> {
        let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.tools/browser/node_modules");
        let found = |name: &str| {
            let paths = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&paths)
                .map(|dir| dir.join(name))
                .find(|file| file.is_file())
        };
        let missing = [
            ("node", found("node").is_none()),
            ("chromium", found("chromium").is_none()),
            ("playwright-core", !modules.join("playwright-core").is_dir()),
            ("axe-core", !modules.join("axe-core").is_dir()),
        ];
        let missing: Vec<&str> = missing
            .iter()
            .filter(|one| one.1)
            .map(|one| one.0)
            .collect();
        if !missing.is_empty() {
            println!(
                "skipped: scripts/setup browser installs {}",
                missing.join(", ")
            );
            return None;
        }
        Some(Self {
            modules,
            chromium: found("chromium")?,
        })
    }

    /// Runs the steps of browser.mjs inside of the lab, and returns what it prints.
    fn run(&self, lab: &Lab, more: &[(&str, &str)]) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/page/browser.mjs");
        let mut command: Command = lab.host.command("node");
        command
            .arg(script)
            .env("PAGE", format!("http://127.0.0.1:{PORT}"))
            .env("TOKEN", TOKEN)
            .env("FIREWALL", FIREWALL)
            .env("MODULES", &self.modules)
            .env("CHROMIUM", &self.chromium)
            .envs(more.iter().copied());
        let output = command.output().expect("run node");
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "{said}");
        said
    }
}

/// The daemon's client for the page, by `couicctl`.
fn page_token(daemon: &Daemon<'_>) -> String {
    let created = daemon.ctl_ok(&["--json", "clients", "add", "-n", "page", "-g", "clientrw"]);
    let created: serde_json::Value = serde_json::from_str(&created).expect("JSON");
    created["token"].as_str().expect("a token").to_owned()
}

fn configuration(daemon_socket: &Path, token: &str) -> String {
    let database = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../couic-report/src/page/fixtures/sample.mmdb"
    );
    format!(
        "[page]\nenabled = true\nport = {PORT}\nmmdb = [\"{database}\"]\n\
         [[page.users]]\nname = \"ana\"\nrole = \"act\"\ntoken = \"{TOKEN}\"\n\
         [[page.firewalls]]\nname = \"{FIREWALL}\"\nsocket = \"{}\"\ntoken = \"{token}\"\n",
        daemon_socket.display()
    )
}

/// A daemon in a lab, and a collector with a page that has its token.
fn start<'lab>(lab: &'lab Lab, more: &str) -> (Daemon<'lab>, Collector, String) {
    // The address of the collector is known before the daemon's token, which its configuration needs.
    let webhook = lab.collector(60, "").webhook();
    let daemon = lab
        .daemon()
        .config(&format!(
            "[reporting]\nenabled = true\ntraffic = true\nname = \"{FIREWALL}\"\nwebhook = \"{webhook}\"\n"
        ))
        .start();
    let token = page_token(&daemon);
    let page = configuration(&daemon.socket(), &token);
    let collector = lab.collector(900, &format!("{page}{more}"));
    (daemon, collector, token)
}

#[test]
fn a_browser_bans_confirms_and_allows() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let Some(lab) = Lab::quiet() else { return };
    let (daemon, collector, token) = start(&lab, "");
    let running = collector.serve();
    for (host, tag) in [(7, "sshd"), (8, "sshd"), (9, "web")] {
        let cidr = format!("198.51.100.{host}/32");
        daemon.api().add("drop", &cidr, Some(tag), 0);
    }
    until("the bans are reported", PATIENCE, || {
        let adds = collector.health()["interval"]["adds"].as_u64();
        adds.is_some_and(|adds| adds >= 3).then_some(())
    });
    let said = browser.run(&lab, &[]);
    print!("{said}");
    // The daemon holds what the browser confirmed: the address is allowed, and so passes although it is banned.
    let mut wire = lab.wire();
    assert!(wire.passes(&Frame::v4("203.0.113.99")));
    let banned = daemon.api().get("/v1/lookup/203.0.113.99");
    assert_eq!(banned["decided_by"]["policy"], "ignore", "{banned}");
    assert_eq!(banned["also_covered_by"][0]["policy"], "drop", "{banned}");
    let log = collector.log();
    let line = "ana from 127.0.0.1: firewall fw-paris: ban 203.0.113.99/32: done";
    assert!(log.contains(line), "{log}");
    for secret in [TOKEN, &token] {
        assert!(!log.contains(secret), "a secret in the log");
    }
    drop(running);
}

/// Writes the pictures of docs/page.md: scripts/page-shots runs it.
#[test]
#[ignore = "writes docs/page-*.png: scripts/page-shots"]
fn pictures_for_the_documents() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let Some(lab) = Lab::quiet() else { return };
    let chat = lab.chat();
    let hook = chat.url("/api/webhooks/1/t0ken");
    let more = format!("[discord]\nwebhook_url = \"{hook}\"\n");
    let (daemon, collector, _) = start(&lab, &more);
    let _running = collector.serve();
    day::report(&collector, &[FIREWALL, "fw-lyon"]);
    let ban = ["drop", "add", "203.0.113.57", "-t", "sshd", "-e", "1d"];
    daemon.ctl_ok(&ban);
    daemon.ctl_ok(&[
        "drop",
        "add",
        "203.0.113.0/24",
        "-t",
        "recidive",
        "-e",
        "7d",
    ]);
    let shots = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs");
    let said = browser.run(&lab, &[("SHOTS", shots), ("SHOT_IP", "203.0.113.57")]);
    print!("{said}");
}
