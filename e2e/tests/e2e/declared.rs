//! State files: what `couicctl apply` makes of the daemon's rules, sets and clients, with frames.
#![expect(clippy::expect_used, reason = "a test that cannot go on ends there")]

use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, time::Duration};

use couic_e2e::{Daemon, Frame, HOST_V4, Lab, OUTSIDE_V4, until};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A folder with a state file.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    }
}

/// Runs couicctl, whose exit code must be this, and returns its output and messages.
#[track_caller]
fn ends(daemon: &Daemon<'_>, code: i32, args: &[&str]) -> (String, String) {
    let done = daemon.ctl(args);
    assert_eq!(done.code, code, "{args:?}: {done:?}");
    (done.stdout, done.stderr)
}

/// The same with another configuration of couicctl.
#[track_caller]
fn ends_with(config: &str, lab: &Lab, code: i32, args: &[&str]) -> (String, String) {
    let mut command = lab.host.command(lab.binary("couicctl"));
    let done = command
        .args(["-c", config])
        .args(args)
        .output()
        .expect("couicctl");
    assert_eq!(done.status.code(), Some(code), "{args:?}: {done:?}");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&done.stdout), text(&done.stderr))
}

/// The claims on a network, as owner and tag.
fn owners(daemon: &Daemon<'_>, policy: &str, cidr: &str) -> Vec<String> {
    let path = format!("/v1/{policy}/{cidr}?owners=true");
    let answer = daemon.api().request("GET", &path, None);
    let entry: Value = serde_json::from_str(&answer.body).expect("JSON");
    let owners = entry["owners"].as_array().cloned().unwrap_or_default();
    let text = |o: &Value| {
        format!(
            "{} {}",
            o["name"].as_str().unwrap_or("?"),
            o["tag"].as_str().unwrap_or("-")
        )
    };
    owners.iter().map(text).collect()
}

const FIRST: &str = r#"
[owns]
drop = ["infra-*"]
sets = ["drop/feed-*"]
clients = ["ci-*"]

[[drop]]
tag = "infra-scan"
reason = "ticket 4711"
entries = [
  "198.51.100.7",
  { cidr = "198.51.100.8", expires = 2099-01-01T00:00:00Z },
]

[[drop]]
tag = "untagged"
file = "more.txt"

[[ignore]]
tag = "office"
entries = ["203.0.113.0/24"]

[sets.drop.badnet]
entries = ["198.51.100.64/28", "203.0.113.9"]

[sets.drop.feed-a]
entries = ["203.0.113.9"]

[clients.ci-bot]
group = "clientrw"
limits = { policies = ["drop"], tags = ["ci"] }
token_file = "TOKENS/bot.token"
"#;

#[test]
fn a_file_is_applied_once_and_what_is_not_its_own_stays() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let folder = Folder::new();
    let text = FIRST.replace("TOKENS", &folder.0.path().display().to_string());
    let file = folder.write("state.toml", &text);
    folder.write("more.txt", "# bad ones\n198.51.100.32/30\n");
    let made = daemon.ctl_ok(&[
        "clients", "add", "-n", "fail2ban", "-g", "clientrw", "--json",
    ]);
    let made: Value = serde_json::from_str(&made).expect("a client");
    let other = daemon.api_as(made["token"].as_str().expect("a token"));
    let ban = |cidr| json!({"action": "add", "entry": {"cidr": cidr, "tag": "infra-scan"}});
    let _ = other.batch("drop", &["198.51.100.7/32", "198.51.100.99/32"].map(ban));
    daemon.ctl_ok(&["drop", "add", "198.51.100.50", "-t", "infra-old"]);
    daemon.ctl_ok(&["drop", "add", "198.51.100.51", "-t", "jail"]);

    let (shown, _) = ends(&daemon, 1, &["diff", "-f", &file]);
    assert!(
        shown.contains("- drop 198.51.100.50/32 (infra-old), never expires\n"),
        "{shown}"
    );
    assert!(shown.contains("+ set drop/badnet: 2 entries\n"), "{shown}");
    assert_eq!(ends(&daemon, 1, &["apply", "-f", &file, "--plan"]).0, shown);
    assert_eq!(
        owners(&daemon, "ignore", "203.0.113.0/24"),
        [""; 0],
        "a plan changes nothing"
    );

    let (shown, told) = ends(&daemon, 0, &["apply", "-f", &file]);
    assert!(
        shown.contains("done: drop: add 3 rules, delete 1 rule\n") && told.is_empty(),
        "{shown}{told}"
    );
    let frames = [
        "198.51.100.7",
        "198.51.100.33",
        "198.51.100.70",
        "203.0.113.9",
        "198.51.100.50",
        "198.51.100.51",
        "198.51.100.99",
    ];
    let arrived = lab.wire().arrivals(&frames.map(Frame::v4));
    assert_eq!(arrived, [0, 0, 0, 1, 1, 0, 0]);
    assert_eq!(owners(&daemon, "drop", "198.51.100.7/32").len(), 2);
    let token = fs::metadata(folder.path("bot.token")).expect("a token");
    assert_eq!(token.permissions().mode() & 0o777, 0o600);

    again_changes_nothing(&daemon, &folder, &file);
}

/// Neither the file nor an export of what is there changes anything.
fn again_changes_nothing(daemon: &Daemon<'_>, folder: &Folder, file: &str) {
    assert_eq!(
        ends(daemon, 0, &["diff", "-f", file]).0,
        format!("All is as {file} says.\n")
    );
    let (shown, _) = ends(daemon, 0, &["apply", "-f", file]);
    assert_eq!(
        shown,
        format!("All is as {file} says. Nothing was changed.\n")
    );
    let log = daemon.ctl_ok(&["log", "--json"]);
    let exported = folder.write("exported.toml", &daemon.ctl_ok(&["export"]));
    ends(daemon, 0, &["diff", "-f", &exported]);
    ends(daemon, 0, &["apply", "-f", &exported]);
    assert_eq!(
        daemon.ctl_ok(&["log", "--json"]),
        log,
        "nothing was written"
    );
}

#[test]
fn what_the_file_drops_is_deleted_and_clients_are_replaced_only_by_a_flag() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let folder = Folder::new();
    let text = FIRST.replace("TOKENS", &folder.0.path().display().to_string());
    let file = folder.write("state.toml", &text);
    folder.write("more.txt", "198.51.100.32/30\n");
    daemon.ctl_ok(&["apply", "-f", &file]);
    let old = fs::read_to_string(folder.path("bot.token")).expect("a token");
    daemon
        .api_as(old.trim())
        .add("drop", "198.51.100.77/32", Some("ci"), 0);

    folder.write(
        "state.toml",
        &text.replace("tags = [\"ci\"]", "tags = [\"ci\", \"ci-x\"]"),
    );
    let (_, told) = ends(&daemon, 2, &["apply", "-f", &file]);
    assert!(
        told.contains("clients.ci-bot: limits and groups are not changed")
            && told.contains("--replace-clients"),
        "{told}"
    );
    daemon.ctl_ok(&["apply", "-f", &file, "--replace-clients"]);
    let new = fs::read_to_string(folder.path("bot.token")).expect("a token");
    assert_ne!(old, new);
    assert_eq!(
        owners(&daemon, "drop", "198.51.100.77/32"),
        ["ci-bot ci"],
        "its rules stay"
    );

    let less = "[owns]\ndrop = ['infra-*']\nsets = ['drop/feed-*']\nclients = ['ci-*', 'couicctl']\n[sets.drop.badnet]\nentries = ['198.51.100.64/28']\n";
    folder.write("state.toml", less);
    let (shown, _) = ends(&daemon, 0, &["apply", "-f", &file]);
    for line in [
        "- drop 198.51.100.7/32 (infra-scan)",
        "~ set drop/badnet: 0 more, 1 less",
        "- set drop/feed-a",
        "- client ci-bot",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    assert!(!shown.contains("client couicctl"), "{shown}");
    let arrived = lab
        .wire()
        .arrivals(&["198.51.100.7", "198.51.100.33", "198.51.100.70"].map(Frame::v4));
    assert_eq!(
        arrived,
        [1, 0, 0],
        "untagged rules are not the file's any more"
    );
    ends(&daemon, 0, &["diff", "-f", &file]);
}

#[test]
fn guard_rails_hold_and_a_failure_says_what_is_done() {
    let Some(lab) = Lab::addressed() else { return };
    let daemon = lab.daemon().start();
    let folder = Folder::new();
    let bad = format!(
        "[[ignore]]\ntag='a'\nentries=['198.51.100.1']\n[[drop]]\ntag='a'\nentries=['{HOST_V4}','198.51.100.9']\n[sets.drop.x]\nentries=['198.51.100.10']\n"
    );
    let file = folder.write("state.toml", &bad);
    let (shown, told) = ends(&daemon, 1, &["apply", "-f", &file]);
    assert!(shown.ends_with("done: ignore: add 1 rule\n"), "{shown}");
    for line in [
        "failed: drop: add 2 rules\n  1 refused; 1 added, 0 changed, 0 deleted\n",
        "guard rail host",
        "not done: sets of drop: x\n",
        "is in force in part\nhint: ",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    let (_, told) = ends(&daemon, 0, &["apply", "-f", &file, "--force"]);
    assert!(told.contains("--force went over: host"), "{told}");
    daemon.ctl_ok(&["drop", "delete", HOST_V4]);
    // With its protection in the same file, no force is needed; and both go again in the right order.
    let good = format!(
        "[[ignore]]\ntag='b'\nentries=['{HOST_V4}','{OUTSIDE_V4}']\n[[drop]]\ntag='b'\nentries=['192.0.2.0/24']\n"
    );
    let file = folder.write("good.toml", &good);
    daemon.ctl_ok(&["apply", "-f", &file]);
    assert!(lab.ping(HOST_V4));
    let file = folder.write("none.toml", "[owns]\ndrop=['b']\nignore=['b']\n");
    daemon.ctl_ok(&["apply", "-f", &file]);
    assert_eq!(daemon.ctl_ok(&["drop", "list", "-t", "b"]), "");
}

#[test]
fn an_apply_that_is_not_confirmed_is_undone() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let folder = Folder::new();
    let text = "[[drop]]\ntag='a'\nentries=['198.51.100.7']\n[[ignore]]\ntag='a'\nentries=['203.0.113.1']\n[sets.drop.x]\nentries=['198.51.100.10']\n";
    let file = folder.write("state.toml", text);
    let (_, told) = ends(
        &daemon,
        0,
        &["apply", "-f", &file, "--confirm-within", "1h"],
    );
    assert!(
        told.contains("this is undone in 3600 s unless you confirm it"),
        "{told}"
    );
    ends(&daemon, 0, &["diff", "-f", &file]);
    let pending = daemon.api().get("/v1/confirm");
    for change in pending["pending"].as_array().expect("changes").iter().rev() {
        daemon.ctl_ok(&["confirm", "undo", change["id"].as_str().expect("an id")]);
    }
    until("all of it is undone", Duration::from_secs(20), || {
        (daemon.ctl_ok(&["drop", "list"])
            + &daemon.ctl_ok(&["ignore", "list"])
            + &daemon.ctl_ok(&["sets"]))
            .is_empty()
            .then_some(())
    });
    ends(
        &daemon,
        0,
        &["apply", "-f", &file, "--confirm-within", "1h"],
    );
    daemon.ctl_ok(&["confirm"]);
    ends(&daemon, 0, &["diff", "-f", &file]);
    let with_client = folder.write(
        "c.toml",
        "[clients.x]\ngroup='clientro'\ntoken_file='/nonexistent/t'\n",
    );
    let (_, told) = ends(
        &daemon,
        2,
        &["apply", "-f", &with_client, "--confirm-within", "1h"],
    );
    assert!(told.contains("clients cannot be undone"), "{told}");
    let (_, told) = ends(&daemon, 1, &["apply", "-f", &with_client]);
    assert!(told.contains("/nonexistent/t cannot be written"), "{told}");
}

#[test]
fn set_files_that_are_not_in_force_are_a_difference_and_scoped_tokens_apply_their_own() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let folder = Folder::new();
    daemon.ctl_ok(&["sets", "create", "drop", "x", "198.51.100.10"]);
    let file = folder.write("state.toml", "[sets.drop.x]\nentries=['198.51.100.10']\n");
    let (shown, _) = ends(&daemon, 1, &["diff", "-f", &file]);
    assert!(
        shown.contains("~ set drop/x: its file is as declared, its rules are not: 1 entry missing"),
        "{shown}"
    );
    daemon.ctl_ok(&["apply", "-f", &file]);
    assert_eq!(lab.wire().arrivals(&[Frame::v4("198.51.100.10")]), [0]);

    let token = folder.path("ci.token");
    daemon.ctl_ok(&[
        "clients",
        "add",
        "-n",
        "ci",
        "-g",
        "clientrw",
        "--tag",
        "ci-*",
        "--token-file",
        &token.display().to_string(),
    ]);
    let config = format!(
        "mode = \"local\"\nsocket = {:?}\nclient_file = {token:?}\n",
        daemon.socket()
    );
    let config = folder.write("ci.toml", &config);
    let text = "[[drop]]\ntag='ci-a'\nentries=['198.51.100.20']\n";
    let file = folder.write("scoped.toml", text);
    let (_, told) = ends_with(&config, &lab, 2, &["diff", "-f", &file]);
    assert!(
        told.contains("name its client: client = \"NAME\" in the file"),
        "{told}"
    );
    folder.write("scoped.toml", &format!("client = 'ci'\n{text}"));
    ends_with(&config, &lab, 0, &["apply", "-f", &file]);
    ends_with(&config, &lab, 0, &["diff", "-f", &file]);
    assert_eq!(owners(&daemon, "drop", "198.51.100.20/32"), ["ci ci-a"]);
    let (_, told) = ends(&daemon, 2, &["diff", "-f", &file]);
    assert!(
        told.contains("the file is for the client ci, and this token is that of couicctl"),
        "{told}"
    );
    let (shown, told) = ends_with(&config, &lab, 0, &["export", "--client", "ci"]);
    assert!(
        shown.contains("tag = \"ci-a\"") && told.contains("clients left out"),
        "{shown}{told}"
    );
}
