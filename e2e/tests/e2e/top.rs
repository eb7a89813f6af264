//! `couicctl top` in a terminal (tmux), in front of a real daemon and real packets: a rate is seen, and keys ban, confirm,
//! undo and unban.
#![expect(clippy::expect_used, reason = "a failing test says so by panicking")]

mod svg;
mod tmux;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use couic_common::Policy;
use couic_e2e::{Daemon, Frame, Lab, Wire, until};
use serde_json::json;
use tmux::Tmux;

/// Generous: a debug build takes seconds on a busy machine.
const SOON: Duration = Duration::from_secs(60);

const BANNED: &str = "198.51.100.7";
const OTHER: &str = "198.51.100.8";

/// The command line of a screen for this daemon.
fn line(lab: &Lab, daemon: &Daemon<'_>, args: &str) -> String {
    let home = daemon.working_dir();
    let config = home.parent().expect("a directory").join("couicctl.toml");
    let ctl = lab.binary("couicctl");
    format!("{} -c {} top {args}", ctl.display(), config.display())
}

/// The figure after a tag, if the screen has it.
fn rate_of(screen: &str, tag: &str) -> Option<f64> {
    let (_, rest) = screen.split_once(&format!("{tag} "))?;
    let figure = rest.split_whitespace().next()?.replace(',', "");
    match figure.strip_suffix('k') {
        Some(thousands) => thousands.parse::<f64>().ok().map(|k| k * 1_000.0),
        None => figure.parse().ok(),
    }
}

/// Sends frames until the screen is as wanted.
fn traffic(wire: &mut Wire, screen: &Tmux, what: &str, seen: impl Fn(&str) -> bool) {
    let frames = vec![Frame::v4(BANNED); 40];
    until(what, SOON, || {
        wire.arrivals(&frames);
        seen(&screen.text()).then_some(())
    });
}

#[test]
fn a_rate_is_seen_and_keys_ban_confirm_undo_and_unban() {
    let Some(lab) = Lab::quiet() else { return };
    let Some(screen) = Tmux::start(&lab, 120, 40) else {
        return;
    };
    let daemon = lab.daemon().start();
    daemon
        .api()
        .add("drop", &format!("{BANNED}/32"), Some("scan"), 0);
    let mut wire = lab.wire();
    // The state of the terminal is shown afterwards.
    let after =
        "; echo \"ended=$? $(stty -a | grep -ow -e '-\\?icanon' -e '-\\?echo' | tr '\\n' ' ')\"";
    screen.line(&(line(&lab, &daemon, "") + after));
    screen.until("the panels", |text| text.contains("Drops by tag"));
    traffic(&mut wire, &screen, "a rate of the tag", |text| {
        rate_of(text, "scan").is_some_and(|rate| rate > 1.0)
    });

    ban_and_confirm(&screen, &mut wire);
    assert!(
        daemon
            .ctl_ok(&["--json", "confirm", "list"])
            .contains("\"pending\": []")
    );

    // A smaller terminal.
    screen.resize(80, 24);
    screen.until("a frame of 80 columns", |text| {
        let narrow = text.lines().all(|line| line.chars().count() <= 80);
        let all = text.contains("State") && text.contains("Changes");
        narrow && all && text.lines().count() <= 24
    });

    unban_undo_and_unban(&screen, &mut wire);
    screen.keys(&["q"]);
    screen.until("a sound terminal", |text| {
        text.contains("ended=0 icanon echo")
    });
    assert!(!screen.text().contains("Drops by tag"), "{}", screen.text());
}

/// A ban by key is in force at once, and is confirmed by another.
fn ban_and_confirm(screen: &Tmux, wire: &mut Wire) {
    assert!(wire.passes(&Frame::v4(OTHER)));
    screen.keys(&["b"]);
    screen.until("the form", |text| text.contains("Address"));
    screen.typed(OTHER);
    screen.keys(&["Enter", "Enter"]);
    screen.typed("by-key");
    screen.keys(&["Enter"]);
    screen.until("the countdown", |text| text.contains("UNDONE IN 0:"));
    assert!(!wire.passes(&Frame::v4(OTHER)));
    screen.keys(&["c"]);
    screen.until("the confirmation", |text| {
        text.contains("Confirmed: ") && !text.contains("UNDONE IN")
    });
}

/// An unban, undone by key; then again, for good.
fn unban_undo_and_unban(screen: &Tmux, wire: &mut Wire) {
    let rule = format!("drop {OTHER}");
    let unban = || {
        screen.keys(&["u"]);
        screen.until("the question", |text| {
            text.contains(&format!("Delete {rule}?"))
        });
        screen.keys(&["Enter"]);
        screen.until("the countdown", |text| text.contains("UNDONE IN 0:"));
    };
    screen.keys(&["/"]);
    screen.typed("by-key");
    screen.keys(&["Enter", "Tab"]);
    screen.until("the filtered rule", |text| {
        text.contains("filter by-key") && text.contains(&rule)
    });
    screen.keys(&["Down"]);
    unban();
    assert!(wire.passes(&Frame::v4(OTHER)));
    screen.keys(&["x"]);
    screen.until("the question", |text| text.contains("Sure?"));
    screen.keys(&["Enter"]);
    screen.until("the undo", |text| text.contains("Undone: "));
    assert!(!wire.passes(&Frame::v4(OTHER)));
    screen.until("the rule again", |text| text.contains(&rule));
    unban();
    screen.keys(&["c"]);
    screen.until("the confirmation", |text| text.contains("Confirmed: "));
    assert!(wire.passes(&Frame::v4(OTHER)));
}

#[test]
fn a_refusal_a_suspension_and_an_absent_daemon_leave_the_screen_usable() {
    let Some(lab) = Lab::quiet() else { return };
    let Some(screen) = Tmux::start(&lab, 100, 30) else {
        return;
    };
    let mut daemon = lab.daemon().start();
    screen.line(&line(&lab, &daemon, ""));
    screen.until("the panels", |text| text.contains("Drops by tag"));
    screen.keys(&["b"]);
    screen.until("the form", |text| text.contains("Address"));
    screen.typed("127.0.0.1");
    screen.keys(&["Enter", "Enter", "Enter"]);
    screen.until("the words of the guard rail", |text| {
        text.contains("Refused") && text.contains("--force")
    });
    screen.keys(&["Escape"]);
    // Together, the two would be one key.
    screen.until("no dialog", |text| !text.contains("Refused"));
    screen.keys(&["C-z"]);
    screen.until("the shell", |text| !text.contains("Drops by tag"));
    screen.line("fg");
    screen.until("the panels again", |text| text.contains("Drops by tag"));
    daemon.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(daemon.exit_code(), 0);
    screen.until("the banner", |text| {
        text.contains("NO ANSWER") && text.contains("next attempt in")
    });
    let daemon = daemon.restart();
    screen.until("the daemon again", |text| !text.contains("NO ANSWER"));
    screen.keys(&["q"]);
    screen.until("the shell", |text| !text.contains("Drops by tag"));
    drop(daemon);
}

#[test]
fn one_screen_as_text_needs_no_terminal_and_the_other_does() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    daemon.api().add("drop", "203.0.113.0/24", Some("scan"), 0);
    let env = [("COLUMNS", "90"), ("LINES", "30"), ("LC_ALL", "C")];
    let once = daemon.ctl_with_env(&["top", "--once"], &env);
    assert_eq!((once.code, once.stderr.as_str()), (0, ""), "{once:?}");
    assert!(
        once.stdout.is_ascii() && once.stdout.lines().count() == 30,
        "{}",
        once.stdout
    );
    for part in [
        "drop 203.0.113.0/24",
        "scan",
        "interface eth0  filtered",
        "1 drop, 0 ignore",
    ] {
        assert!(once.stdout.contains(part), "{part}\n{}", once.stdout);
    }
    let refused = daemon.ctl(&["top"]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.contains("couicctl stats global -l"),
        "{}",
        refused.stderr
    );
}

/// Sources that knock, by tag: addresses, frames a round.
const SOURCES: [(&str, &str, usize, usize); 8] = [
    ("ssh-scan", "198.51.100", 90, 3),
    ("web-probe", "203.0.113", 60, 2),
    ("smtp-abuse", "192.0.2", 30, 2),
    ("rdp-brute", "198.18.4", 40, 1),
    ("dns-amp", "198.19.7", 12, 6),
    ("log4shell", "100.64.9", 9, 1),
    ("botnet-c2", "100.65.3", 25, 1),
    ("crawler", "100.66.1", 6, 2),
];

/// Writes the picture of the documentation to the file in `COUIC_TOP_SVG`: a busy daemon, as it is.
#[test]
fn the_picture_of_the_documentation() {
    let Some(file) = std::env::var_os("COUIC_TOP_SVG").map(PathBuf::from) else {
        println!("skipped: COUIC_TOP_SVG names no file");
        return;
    };
    let Some(lab) = Lab::quiet() else { return };
    let Some(screen) = Tmux::start(&lab, 120, 40) else {
        return;
    };
    let set: String = (0..200).map(|n| format!("10.{n}.0.0/16\n")).collect();
    let chat = lab.chat();
    let reporting = format!(
        "[statistics]\nper_rule = true\n[reporting]\nenabled = true\nwebhook = \"{}\"\n",
        chat.url("/hook")
    );
    let daemon = lab
        .daemon()
        .set_file(Policy::Drop, "firehol", &set)
        .config(&reporting)
        .start();
    let mut frames = Vec::new();
    for (tag, net, hosts, each) in SOURCES {
        let jobs: Vec<_> = (1..=hosts)
            .map(|n| json!({"action": "add", "entry": {"cidr": format!("{net}.{n}/32"), "tag": tag, "ttl": 600 * n + 900}}))
            .collect();
        let _ = daemon.api().batch("drop", &jobs);
        for n in 1..=hosts {
            frames.extend(vec![
                Frame::v4(&format!("{net}.{n}"));
                if n % 7 == 1 { 4 * each } else { each }
            ]);
        }
    }
    frames.extend((1..=40).map(|n| Frame::v4(&format!("10.{n}.7.7"))));
    frames.extend((1..=250).map(|n| Frame::v4(&format!("172.16.0.{n}"))));
    daemon
        .api()
        .add("ignore", "172.16.0.0/24", Some("office"), 0);
    fastrand::Rng::with_seed(7).shuffle(&mut frames);
    let mut wire = lab.wire();
    screen.line(&line(&lab, &daemon, ""));
    let start = Instant::now();
    let mut banned = false;
    while start.elapsed() < Duration::from_secs(90) {
        // Waves, so that the history is one.
        let wave = 1.2 + (start.elapsed().as_secs_f64() / 6.0).sin();
        let some = (frames.len() as f64 * wave / 12.0) as usize;
        wire.arrivals(&frames[..some]);
        std::thread::sleep(Duration::from_millis(20));
        if !banned && start.elapsed() > Duration::from_secs(80) {
            banned = true;
            screen.keys(&["b"]);
            screen.typed("203.0.113.201");
            screen.keys(&["Enter", "Enter"]);
            screen.typed("web-probe");
            screen.keys(&["Enter", "Tab", "Down", "Down"]);
        }
    }
    let picture = screen.picture();
    std::fs::write(&file, svg::of(&picture, 120, 40)).expect("write the picture");
    screen.keys(&["c", "q"]);
}
