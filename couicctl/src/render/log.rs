//! The audit log: a line for each entry.

use std::{
    io::{self, Write},
    time::{Duration, UNIX_EPOCH},
};

use couic_common::AuditEntry;

/// Characters of a request's id that are shown.
const SHORT: usize = 8;

/// The last second of the year 9999.
const LAST: u64 = 253_402_300_799;

/// Time, who, what, why; in brackets the request and where it came from.
pub(crate) fn audit(entry: &AuditEntry, out: &mut dyn Write) -> io::Result<()> {
    let time = UNIX_EPOCH + Duration::from_secs(entry.at.min(LAST));
    let time = humantime::format_rfc3339_seconds(time);
    let request = entry
        .request
        .as_deref()
        .map(|id| id.chars().take(SHORT).collect::<String>());
    let from = entry.from.as_ref().map(|from| format!("from {from}"));
    let brackets: Vec<String> = [request, from].into_iter().flatten().collect();
    let brackets = brackets.join(" ").replace(char::is_control, " ");
    write!(out, "{time}  {}", entry.describe())?;
    if brackets.is_empty() {
        writeln!(out)
    } else {
        writeln!(out, "  [{brackets}]")
    }
}

#[cfg(test)]
mod tests {
    use couic_common::{AuditActor, AuditActorKind};

    use super::*;

    #[test]
    fn a_line_has_time_actor_action_reason_and_request() {
        let actor = AuditActor {
            kind: AuditActorKind::Client,
            name: Some("web".to_owned()),
        };
        let mut entry = AuditEntry::new(1_795_248_000, actor, "panic_on");
        let line = |entry: &AuditEntry| {
            let mut line = Vec::new();
            audit(entry, &mut line).unwrap();
            String::from_utf8(line).unwrap()
        };
        assert_eq!(line(&entry), "2026-11-21T08:00:00Z  client web: panic on\n");
        entry.reason = Some("a \u{1b}[31mtest".to_owned());
        entry.request = Some("0123456789abcdef".to_owned());
        entry.from = Some("uid 0 (root), pid 9".to_owned());
        assert_eq!(
            line(&entry),
            "2026-11-21T08:00:00Z  client web: panic on: a  [31mtest  [01234567 from uid 0 (root), pid 9]\n"
        );
        entry.at = u64::MAX;
        assert!(line(&entry).starts_with("9999-12-31T23:59:59Z"));
    }
}
