//! Frames at several sizes, from the model alone.

use std::time::Duration;

use couic_common::{Health, InterfaceHealth, Policy, XdpMode};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::{Terminal, backend::TestBackend};

use super::*;
use crate::top::{
    answer::{Answer, Page, Report, Source, Trouble},
    changes::Change,
    once::text,
};

const NOW: u64 = 1_000_000;

fn health() -> Health {
    let mut health = Health::well("2.0.0");
    let interface = |name: &str, attached| InterfaceHealth {
        name: name.into(),
        attached,
        mode: Some(XdpMode::Native).filter(|_| attached),
        problem: (!attached).then(|| "no such interface".into()),
        note: None,
    };
    health.interfaces = vec![interface("eth0", true), interface("eth1", false)];
    health.status = health.derived_status();
    health
}

/// A busy daemon, after two readings a second apart.
fn busy(start: Instant) -> Model {
    let mut model = Model::new(Duration::from_secs(1));
    let take = |model: &mut Model, at, answer| model.take(Report::Answer { at, answer }, at);
    take(&mut model, start, Answer::Health(Box::new(health())));
    for second in 0..2_u64 {
        let counter =
            |n: u64| serde_json::json!({"rx_packets": n * second, "rx_bytes": 100 * n * second});
        let zero = counter(0);
        let metrics = serde_json::json!({
            "drop_cidr_count": 1_234, "ignore_cidr_count": 1,
            "xdp": {"XDP_ABORTED": zero, "XDP_TX": zero, "XDP_REDIRECT": zero,
                "XDP_DROP": counter(1_500), "XDP_PASS": counter(25_000)},
            "drop_tags": {"ssh-scan": counter(1_200), "web": counter(300), "idle": zero},
            "ignore_tags": {},
        });
        let metrics = Box::new(serde_json::from_value(metrics).unwrap());
        take(
            &mut model,
            start + Duration::from_secs(second),
            Answer::Traffic(metrics),
        );
    }
    let entry = serde_json::json!({"cidr": "198.51.100.7/32", "tag": "ssh-scan", "creation": NOW - 60,
        "expiration": NOW + 3_600, "hits": 4_321, "last_seen": NOW});
    let rules = vec![(serde_json::from_value(entry).unwrap(), Some(1_200.0))];
    let page = |policy, rules| Page {
        policy,
        after: None,
        last: None,
        rules,
    };
    let pages = vec![page(Policy::Drop, rules), page(Policy::Ignore, Vec::new())];
    take(&mut model, start, Answer::Rules(pages));
    let change = Change {
        at: NOW - 61,
        rule: Some((Policy::Drop, "198.51.100.7/32".parse().unwrap())),
        what: "added drop 198.51.100.7 ssh-scan".into(),
        who: "client fail2ban".into(),
        tone: Tone::Plain,
    };
    take(&mut model, start, Answer::Changes(vec![change]));
    let fill = crate::fill::TableFill {
        policy: "drop".into(),
        family: "IPv4".into(),
        rules: 1_234,
        limit: 10_000,
    };
    take(&mut model, start, Answer::Limits(vec![fill]));
    model
}

const PLAIN: Look = Look {
    colour: false,
    unicode: true,
};

fn frame(model: &Model, ui: &Ui, look: Look, size: (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(size.0, size.1)).unwrap();
    let view = View {
        model,
        ui,
        look,
        now: Now {
            at: Instant::now(),
            unix: NOW,
        },
        endpoint: "/run/couic/couic.sock",
    };
    terminal.draw(|frame| draw(frame, &view)).unwrap();
    text(terminal.backend().buffer())
}

#[test]
fn a_large_screen_has_everything() {
    let shown = frame(&busy(Instant::now()), &Ui::new(60), PLAIN, (120, 40));
    for part in [
        "couic 2.0.0 /run/couic/couic.sock does NOT filter everywhere  1,234 drop, 1 ignore",
        "13:46:40 UTC",
        "25.0k pkt/s",
        "20.0 Mbit/s",
        "1,500 pkt/s",
        "1.20 Mbit/s",
        "1,200  80 %  960 kbit/s",
        "idle ",
        "drop 198.51.100.7 ",
        "4,321",
        "13:45:39 added drop 198.51.100.7 ssh-scan",
        "client fail2ban",
        "! eth1 is NOT filtered: no such interface",
        "interface eth0  filtered, native",
        "rules drop IPv4  1,234 of 10,000 (12.3 %)",
        "Enter why  b ban",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
    assert_eq!(shown.lines().count(), 40);
}

#[test]
fn eighty_by_twenty_four_has_all_panels() {
    let shown = frame(&busy(Instant::now()), &Ui::new(60), PLAIN, (80, 24));
    for part in [
        "Traffic",
        "Drops by tag",
        "Rules: by hits/s",
        "Changes",
        "State",
        "1,500 pkt/s",
        "198.51.100.7",
    ] {
        assert!(shown.contains(part), "{part}\n{shown}");
    }
}

#[test]
fn a_small_screen_has_the_rates_and_one_panel() {
    let mut ui = Ui::new(60);
    let mut model = busy(Instant::now());
    let shown = frame(&model, &ui, PLAIN, (40, 12));
    assert!(
        shown.contains("pass") && shown.contains("ssh-scan"),
        "{shown}"
    );
    assert!(!shown.contains("Changes"), "{shown}");
    ui.key(
        KeyEvent::new(KeyCode::Tab, KeyModifiers::NONE),
        &mut model,
        NOW,
    );
    let shown = frame(&model, &ui, PLAIN, (40, 12));
    assert!(
        shown.contains("drop 198.51.100.7") && shown.contains("1,200"),
        "{shown}"
    );
}

#[test]
fn any_size_is_drawn_with_any_dialog() {
    let mut model = busy(Instant::now());
    for keys in ["", "b", "p", "?", "/", "\t↓u"] {
        let mut ui = Ui::new(60);
        for c in keys.chars() {
            let code = match c {
                '\t' => KeyCode::Tab,
                '↓' => KeyCode::Down,
                c => KeyCode::Char(c),
            };
            ui.key(KeyEvent::new(code, KeyModifiers::NONE), &mut model, NOW);
        }
        for width in [1, 2, 19, 20, 33, 59, 60, 79, 200] {
            for height in [1, 2, 5, 6, 9, 13, 15, 16, 23, 60] {
                let shown = frame(&model, &ui, PLAIN, (width, height));
                assert_eq!(shown.lines().count(), usize::from(height));
            }
        }
    }
}

#[test]
fn without_utf8_every_character_is_ascii() {
    let ascii = Look {
        colour: false,
        unicode: false,
    };
    let mut model = busy(Instant::now());
    model.changes[0].what = "é \u{1b}[2J".into();
    let shown = frame(&model, &Ui::new(60), ascii, (120, 40));
    assert!(shown.is_ascii(), "{shown}");
    assert!(shown.contains("? ?[2J"), "{shown}");
}

#[test]
fn hostile_text_stays_in_its_cell() {
    let mut model = busy(Instant::now());
    model.changes[0].what = format!("x\u{1b}[31m\r\n\u{202e}{}", "é".repeat(100_000));
    let shown = frame(&model, &Ui::new(60), PLAIN, (120, 40));
    let odd = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
    assert!(!shown.contains(odd), "{shown}");
    assert!(shown.contains("x?[31m? ?é"), "{shown}");
    assert_eq!(shown.lines().count(), 40);
}

#[test]
fn a_daemon_that_is_away_and_panic_have_banners() {
    let start = Instant::now();
    let mut model = busy(start);
    let away = Report::Away {
        why: "cannot reach couic: refused\n  start it".into(),
        retry: Duration::from_secs(8),
    };
    model.take(away, start);
    let shown = frame(&model, &Ui::new(60), PLAIN, (100, 30));
    assert!(
        shown.contains("NO ANSWER") && shown.contains("No answer for 1s, next attempt in"),
        "{shown}"
    );
    assert!(shown.contains("cannot reach couic: refused"), "{shown}");
    let mut panic = health();
    panic.panic_since = Some(NOW - 120);
    let at = start;
    model.take(
        Report::Answer {
            at,
            answer: Answer::Health(Box::new(panic)),
        },
        at,
    );
    let shown = frame(&model, &Ui::new(60), PLAIN, (120, 30));
    assert!(!shown.contains("No answer"), "{shown}");
    assert!(
        shown.contains("PANIC IS ON: every packet passes, regardless of the rules, for 2m"),
        "{shown}"
    );
}

#[test]
fn a_panel_without_rights_names_the_group() {
    let mut model = Model::new(Duration::from_secs(1));
    model.take(
        Report::Trouble(Source::Rules, Trouble::Denied),
        Instant::now(),
    );
    model.take(
        Report::Trouble(Source::Changes, Trouble::Missing),
        Instant::now(),
    );
    let shown = frame(&model, &Ui::new(60), PLAIN, (120, 30));
    assert!(
        shown.contains("This token may not read this: it takes one of group"),
        "{shown}"
    );
    assert!(shown.contains("This daemon does not serve this"), "{shown}");
}
