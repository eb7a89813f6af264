//! Notifiers: state, test results, dead letters.

use std::io::{self, Write};

use couic_common::{DeadLetter, NotifierInfo, NotifierState, NotifierTest, counted};

use super::{Table, lookup::timestamp};
use crate::{duration::remaining, failure::printable};

/// A table, and a line for each problem.
pub(crate) fn notifiers(all: &[NotifierInfo], now: u64, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(&[
        "~Name",
        "??~Plugin",
        "?Runs",
        "State",
        ">Waiting",
        ">Delivered",
        ">???Failures",
        ">Dead",
        "~?Last success",
    ]);
    for info in all {
        let runs = info.mode.map_or("NOT STARTED", |mode| mode.as_str());
        let state = match info.state {
            NotifierState::Failed => "FAILED",
            other => other.as_str(),
        };
        let success = info
            .last_success
            .map_or_else(|| "none yet".to_owned(), |at| ago(at, now));
        table.row(&[
            &info.name,
            &info.plugin,
            &runs,
            &state,
            &info.queue_events,
            &info.delivered,
            &info.failed_attempts,
            &info.dead_letters,
            &success,
        ]);
    }
    table.write(out)?;
    for line in all.iter().flat_map(|info| remarks(info, now)) {
        writeln!(out, "{}", printable(&line))?;
    }
    Ok(())
}

fn remarks(info: &NotifierInfo, now: u64) -> Vec<String> {
    let name = &info.name;
    let mut lines: Vec<String> = info
        .problems
        .iter()
        .map(|problem| format!("{name} {problem}"))
        .collect();
    match (info.state, &info.last_error) {
        (NotifierState::Failed, _) => lines.push(format!(
            "  its notifications are kept; once it is fixed, run couicctl notifiers test {name}"
        )),
        (NotifierState::Retrying | NotifierState::RateLimited, error) => {
            let next = info.next_attempt_secs.unwrap_or(0);
            let mut line = format!("{name} retries in {next} s");
            if let Some(error) = error {
                line += &format!("; {}: {}", ago(error.at, now), error.message);
            }
            lines.push(line);
        }
        _ => {}
    }
    if info.dead_letters > 0 {
        lines.push(format!(
            "{name} has dead letters: see couicctl notifiers dead {name}"
        ));
    }
    if info.restarts > 0 {
        lines.push(format!(
            "{name} was restarted {} after its process ended: see couic's log for the reason",
            counted(info.restarts, "time", "times")
        ));
    }
    if info.dropped > 0 {
        lines.push(format!(
            "{name} has dropped {} because its queue was full",
            counted(info.dropped, "notification", "notifications")
        ));
    }
    lines
}

pub(super) fn ago(at: u64, now: u64) -> String {
    match now.saturating_sub(at) {
        0 => "just now".to_owned(),
        since => format!("{} ago", remaining(since, 0)),
    }
}

/// The result of a successful test, one line.
pub(crate) fn delivered(test: &NotifierTest, out: &mut dyn Write) -> io::Result<()> {
    let NotifierTest { name, took_ms, .. } = test;
    let answer = test
        .http_status
        .map_or_else(String::new, |status| format!(" (HTTP {status})"));
    writeln!(out, "{name}: delivered in {took_ms} ms{answer}.")
}

/// The reason for a failed test, with advice.
pub(crate) fn not_delivered(test: &NotifierTest) -> String {
    let why = test.message.as_deref().unwrap_or(&test.outcome);
    let advice = advice(test);
    format!("{}: not delivered: {why}; {advice}", test.name)
}

fn advice(test: &NotifierTest) -> &'static str {
    match (test.outcome.as_str(), test.http_status) {
        ("permanent", Some(300..=399)) => {
            "redirects are not followed: set the new URL in couic.toml and restart couic"
        }
        ("permanent", Some(401 | 403)) => {
            "correct the token or the URL in couic.toml and restart couic"
        }
        ("permanent", Some(404 | 410)) => "correct the URL in couic.toml and restart couic",
        ("permanent" | "too_large", _) => {
            "the receiver does not accept such messages: is its URL the right one for this plugin?"
        }
        ("bad_config", _) => {
            "correct the plugin file and test again, or correct its config in couic.toml and restart couic"
        }
        ("retry" | "timeout", _) => {
            "is the receiver up and reachable from this host? Queued notifications are retried automatically"
        }
        ("rate_limited", _) => "the receiver asked for a pause; delivery continues automatically",
        ("panic" | "crashed", _) => "that is a bug in the plugin; see couic's log for its output",
        ("pending", _) => "see couicctl notifiers list",
        _ => "try again in a minute",
    }
}

/// A table, followed by the last key if there may be more.
pub(crate) fn dead_letters(
    letters: &[DeadLetter],
    full: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut table = Table::new(&[
        ">Key",
        "??Given up",
        "?Severity",
        "~Notification",
        "~Reason",
    ]);
    for letter in letters {
        let DeadLetter {
            key,
            text,
            severity,
            reason,
            ..
        } = letter;
        table.row(&[key, &timestamp(letter.died), severity, text, reason]);
    }
    table.write(out)?;
    if let Some(last) = letters.last().filter(|_| full) {
        writeln!(out, "There may be more: --after {}", last.key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn info(name: &str, change: impl Fn(&mut Value)) -> NotifierInfo {
        let mut info = json!({
            "name": name, "plugin": "webhook", "mode": "builtin", "state": "ok", "problems": [], "last_error": null,
            "last_success": 940, "next_attempt_secs": null, "queue_events": 0, "queue_bytes": 0, "oldest_age_secs": 0,
            "dead_letters": 0, "enqueued": 9, "delivered": 9, "failed_attempts": 0, "attempts": {}, "dropped": 0,
            "merged": 0, "dead": 0, "restarts": 0, "spool": null
        });
        change(&mut info);
        serde_json::from_value(info).unwrap()
    }

    fn shown(all: &[NotifierInfo]) -> String {
        let mut out = Vec::new();
        notifiers(all, 1_000, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn problems_follow_the_table() {
        let all = [
            info("webhook", |_| {}),
            info("siem", |info| {
                info["state"] = json!("failed");
                info["mode"] = Value::Null;
                info["problems"] = json!(["has failed: plugin /x: is not there"]);
                info["last_success"] = Value::Null;
                info["queue_events"] = json!(12);
            }),
            info("chat", |info| {
                info["state"] = json!("retrying");
                info["next_attempt_secs"] = json!(7);
                info["last_error"] = json!({"message": "refused\u{1b}", "at": 880});
                info["dead_letters"] = json!(3);
                info["dropped"] = json!(1);
                info["restarts"] = json!(2);
            }),
        ];
        let expected = "\
┌─────────┬─────────┬─────────────┬──────────┬─────────┬───────────┬──────────┬──────┬──────────────┐
│ Name    ┆ Plugin  ┆ Runs        ┆ State    ┆ Waiting ┆ Delivered ┆ Failures ┆ Dead ┆ Last success │
╞═════════╪═════════╪═════════════╪══════════╪═════════╪═══════════╪══════════╪══════╪══════════════╡
│ webhook ┆ webhook ┆ builtin     ┆ ok       ┆       0 ┆         9 ┆        0 ┆    0 ┆ 1m ago       │
│ siem    ┆ webhook ┆ NOT STARTED ┆ FAILED   ┆      12 ┆         9 ┆        0 ┆    0 ┆ none yet     │
│ chat    ┆ webhook ┆ builtin     ┆ retrying ┆       0 ┆         9 ┆        0 ┆    3 ┆ 1m ago       │
└─────────┴─────────┴─────────────┴──────────┴─────────┴───────────┴──────────┴──────┴──────────────┘
siem has failed: plugin /x: is not there
  its notifications are kept; once it is fixed, run couicctl notifiers test siem
chat retries in 7 s; 2m ago: refused?
chat has dead letters: see couicctl notifiers dead chat
chat was restarted 2 times after its process ended: see couic's log for the reason
chat has dropped 1 notification because its queue was full
";
        assert_eq!(shown(&all), expected);
    }

    #[test]
    fn every_outcome_has_its_own_advice() {
        let mut seen = std::collections::BTreeSet::new();
        for (outcome, http_status) in [
            ("permanent", Some(302)),
            ("permanent", Some(401)),
            ("permanent", Some(404)),
            ("permanent", Some(400)),
            ("bad_config", None),
            ("retry", Some(500)),
            ("rate_limited", Some(429)),
            ("crashed", None),
            ("pending", None),
            ("busy", None),
        ] {
            let test = NotifierTest {
                name: "n".parse().unwrap(),
                delivered: false,
                outcome: outcome.to_owned(),
                http_status,
                message: Some("why".to_owned()),
                took_ms: 1,
            };
            let text = not_delivered(&test);
            assert!(text.starts_with("n: not delivered: why; "), "{text}");
            assert!(!text.contains('\n'), "one line: {text}");
            assert!(seen.insert(text), "{outcome} {http_status:?}");
        }
    }
}
