//! Keys, one after the other, and what they lead to.

use std::time::{Duration, Instant};

use couic_common::{ConfirmId, Confirmations, PendingChange};

use super::*;
use crate::top::{
    answer::{Answer, Page, Report},
    changes::Change,
};

const NOW: u64 = 1_000_000;

/// A screen with two tags, two rules and a change.
fn screen() -> (Ui, Model) {
    let mut model = Model::default();
    let at = Instant::now();
    let mut take = |answer| model.take(Report::Answer { at, answer }, at);
    let metrics = serde_json::json!({
        "drop_cidr_count": 2, "ignore_cidr_count": 0,
        "xdp": serde_json::to_value(couic_common::ActionStats::default()).unwrap(),
        "drop_tags": {"scan": {"rx_packets": 5, "rx_bytes": 300}, "web": {"rx_packets": 9, "rx_bytes": 900}},
        "ignore_tags": {},
    });
    take(Answer::Traffic(Box::new(
        serde_json::from_value(metrics).unwrap(),
    )));
    let entry = |cidr: &str, tag: &str, creation: u64| {
        let entry =
            serde_json::json!({"cidr": cidr, "tag": tag, "creation": creation, "expiration": 0});
        (serde_json::from_value(entry).unwrap(), None)
    };
    let rules = vec![
        entry("192.0.2.7/32", "scan", NOW - 5),
        entry("198.51.100.0/24", "web", NOW - 9),
    ];
    take(Answer::Rules(vec![Page {
        policy: Policy::Drop,
        after: None,
        last: None,
        rules,
    }]));
    take(Answer::Changes(vec![Change {
        at: NOW,
        rule: Some((Policy::Drop, "203.0.113.9/32".parse().unwrap())),
        what: "added drop 203.0.113.9".into(),
        who: "client web".into(),
        tone: Tone::Plain,
    }]));
    (Ui::new(60), model)
}

/// Presses keys: characters, and `\n`, `\t`, `\x1b`, `\x08` and `v` down as `↓`.
fn press(ui: &mut Ui, model: &mut Model, keys: &str) -> Option<Effect> {
    let mut effect = None;
    for c in keys.chars() {
        let code = match c {
            '\n' => KeyCode::Enter,
            '\t' => KeyCode::Tab,
            '\u{1b}' => KeyCode::Esc,
            '\u{8}' => KeyCode::Backspace,
            '↓' => KeyCode::Down,
            '↑' => KeyCode::Up,
            c => KeyCode::Char(c),
        };
        effect = ui.key(KeyEvent::new(code, KeyModifiers::NONE), model, NOW);
    }
    effect
}

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

#[test]
fn a_ban_is_a_form_that_checks_before_it_sends() {
    let (mut ui, mut model) = screen();
    assert_eq!(press(&mut ui, &mut model, "bnonsense\n"), None);
    assert_eq!(press(&mut ui, &mut model, "\n"), None);
    let Some(Dialog::Form(form)) = &ui.dialog else {
        panic!("{:?}", ui.dialog)
    };
    assert_eq!(form.at, 0);
    assert!(form.error.as_ref().unwrap().contains("not an IPv4 or IPv6"));
    for _ in 0..8 {
        press(&mut ui, &mut model, "\u{8}");
    }
    let effect = press(&mut ui, &mut model, "203.0.113.4\n\u{8}\u{8}30m\nssh\n");
    let action = Action::Add {
        policy: Policy::Drop,
        cidr: cidr("203.0.113.4/32"),
        lifetime: Some(Duration::from_secs(1_800)),
        tag: Some("ssh".into()),
    };
    assert_eq!(effect, Some(Effect::Do(action)));
    assert!(ui.dialog.is_none());
    // Escape sends nothing.
    assert_eq!(press(&mut ui, &mut model, "b203.0.113.4\u{1b}"), None);
    assert!(ui.dialog.is_none());
}

#[test]
fn a_selection_stays_with_its_rule_when_rows_move() {
    let (mut ui, mut model) = screen();
    press(&mut ui, &mut model, "\t↓");
    assert_eq!(
        ui.selected(Panel::Rules),
        Some(&Key::Rule(Policy::Drop, cidr("192.0.2.7/32")))
    );
    let newer = serde_json::json!({"cidr": "203.0.113.1/32", "tag": "new", "creation": NOW, "expiration": 0});
    model
        .rules
        .added(Policy::Drop, serde_json::from_value(newer).unwrap());
    assert_eq!(press(&mut ui, &mut model, "u"), None);
    let effect = press(&mut ui, &mut model, "y");
    let action = Action::Delete {
        policy: Policy::Drop,
        cidr: cidr("192.0.2.7/32"),
    };
    assert_eq!(effect, Some(Effect::Do(action)));
    // A rule that is gone is not acted on, nor its neighbour.
    model.rules.removed(Policy::Drop, cidr("192.0.2.7/32"));
    press(&mut ui, &mut model, "u");
    assert!(matches!(&ui.dialog, Some(Dialog::Sure(text, _)) if text.contains("192.0.2.7")));
    assert_eq!(press(&mut ui, &mut model, "n"), None);
}

#[test]
fn enter_asks_why_and_a_tag_filters() {
    let (mut ui, mut model) = screen();
    let effect = press(&mut ui, &mut model, "\t\t↓\n");
    let why = |ip: &str| Some(Effect::Do(Action::Why(ip.parse().unwrap())));
    assert_eq!(effect, why("203.0.113.9"));
    press(&mut ui, &mut model, "\t\t↓\n");
    assert_eq!((ui.filter.as_str(), ui.focus), ("web", Panel::Rules));
    assert_eq!(ui.tag_pattern().as_deref(), Some("*web*"));
    let seen = rows::rows(Panel::Rules, &model, &ui, NOW);
    assert_eq!(seen.len(), 1);
    // Without a selection, the address is asked for.
    press(&mut ui, &mut model, "\u{1b}\u{1b}\n");
    assert_eq!(press(&mut ui, &mut model, "192.0.2.1\n"), why("192.0.2.1"));
}

#[test]
fn a_filter_is_typed_and_can_be_taken_back() {
    let (mut ui, mut model) = screen();
    press(&mut ui, &mut model, "/198.51.100.77");
    assert_eq!(ui.tag_pattern(), None);
    let seen = rows::rows(Panel::Rules, &model, &ui, NOW);
    assert_eq!(
        seen[0].key,
        Key::Rule(Policy::Drop, cidr("198.51.100.0/24"))
    );
    assert_eq!(seen.len(), 1);
    press(&mut ui, &mut model, "\n");
    assert_eq!(ui.filter, "198.51.100.77");
    press(&mut ui, &mut model, "/x\u{1b}");
    assert_eq!(ui.filter, "198.51.100.77");
    press(&mut ui, &mut model, "\u{1b}");
    assert_eq!(ui.filter, "");
    let long = "x".repeat(10 * LONGEST);
    press(&mut ui, &mut model, &format!("/{long}"));
    assert_eq!(ui.filter.len(), LONGEST);
}

#[test]
fn panic_takes_its_word() {
    let (mut ui, mut model) = screen();
    assert_eq!(press(&mut ui, &mut model, "p\n"), None);
    assert_eq!(press(&mut ui, &mut model, "y\n"), None);
    assert!(matches!(ui.dialog, Some(Dialog::Panic { wrong: true, .. })));
    let effect = press(&mut ui, &mut model, "\u{8}panic on\n");
    assert_eq!(effect, Some(Effect::Do(Action::Panic(true))));
    let mut health = couic_common::Health::well("2");
    health.panic_since = Some(1);
    model.health = Some(Box::new(health));
    let effect = press(&mut ui, &mut model, "ppanic off\n");
    assert_eq!(effect, Some(Effect::Do(Action::Panic(false))));
}

#[test]
fn own_changes_are_confirmed_at_once_and_those_of_others_after_a_question() {
    let (mut ui, mut model) = screen();
    assert_eq!(press(&mut ui, &mut model, "c"), None);
    assert!(ui.message.is_some());
    let pending = |id| PendingChange {
        id: ConfirmId::new(id),
        client: "other".parse().unwrap(),
        summary: "drop add".into(),
        made: 0,
        until: 60,
        left: 60,
        rules: 1,
        added: 1,
        removed: 0,
        sets: Vec::new(),
        problem: None,
    };
    let at = Instant::now();
    let all = Confirmations {
        pending: vec![pending(1), pending(2)],
        ..Confirmations::default()
    };
    let answer = Answer::Confirm(all);
    model.take(Report::Answer { at, answer }, at);
    let confirm = |id| Some(Effect::Do(Action::Confirm(vec![ConfirmId::new(id)])));
    assert_eq!(press(&mut ui, &mut model, "c"), None);
    assert_eq!(press(&mut ui, &mut model, "\n"), confirm(1));
    let outcome = Outcome {
        said: Some(Ok("Banned x".into())),
        awaits: vec![(ConfirmId::new(2), "Banned x".into())],
        ..Outcome::default()
    };
    ui.outcome(outcome, &mut model);
    // Leaving with a change that will be undone is asked about.
    assert_eq!(press(&mut ui, &mut model, "q"), None);
    assert_eq!(press(&mut ui, &mut model, "\u{1b}"), None);
    assert_eq!(press(&mut ui, &mut model, "c"), confirm(2));
    let outcome = Outcome {
        settled: vec![ConfirmId::new(2)],
        ..Outcome::default()
    };
    ui.outcome(outcome, &mut model);
    assert_eq!(press(&mut ui, &mut model, "q"), Some(Effect::Quit));
}

#[test]
fn a_refusal_is_shown_with_its_words() {
    let (mut ui, mut model) = screen();
    let outcome = Outcome {
        said: Some(Err("192.0.2.1 is an address of this host\n  more".into())),
        ..Outcome::default()
    };
    ui.outcome(outcome, &mut model);
    let Some(Dialog::Text { title, lines, .. }) = &ui.dialog else {
        panic!("{:?}", ui.dialog)
    };
    assert_eq!((title.as_str(), lines.len()), ("Refused", 2));
    press(&mut ui, &mut model, " ");
    assert!(ui.dialog.is_none());
}

#[test]
fn any_keys_in_any_order_do_no_harm() {
    let (mut ui, mut model) = screen();
    let keys: Vec<char> = "buapcxzs/?hjklgGq\n\t\u{1b}\u{8}↓↑19.:é \u{202e}"
        .chars()
        .collect();
    let mut state: u64 = 7;
    for _ in 0..20_000 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let key = keys[(state >> 33) as usize % keys.len()];
        press(&mut ui, &mut model, &key.to_string());
    }
    assert!(ui.filter.len() <= LONGEST + 4);
}
