//! The table of clients.

use couic_common::{ClientInfo, ClientLimits, time_left};

use super::Table;
use crate::duration::remaining;

/// The clients, with their tokens if asked for. Columns that no client has something in are left out.
pub(crate) fn clients(clients: &[&ClientInfo], show_tokens: bool, now: u64) -> Table {
    let any = |has: fn(&ClientInfo) -> bool| clients.iter().any(|client| has(client));
    let columns = [
        ("Name", true),
        ("Group", true),
        ("Token", show_tokens && any(|client| client.token.is_some())),
        (
            "~Limits",
            any(|client| {
                client
                    .limits
                    .as_ref()
                    .is_some_and(ClientLimits::limit_rules)
            }),
        ),
        ("Token ends", any(|client| client.expires.is_some())),
    ];
    let shown = columns.iter().filter(|(_, is_shown)| *is_shown);
    let titles: Vec<&'static str> = shown.map(|(title, _)| *title).collect();
    let mut table = Table::new(&titles);
    for client in clients {
        let ClientInfo {
            name,
            group,
            token,
            limits,
            expires,
            own: _,
        } = client;
        let cells = [
            name.to_string(),
            group.to_string(),
            token.map(|token| token.to_string()).unwrap_or_default(),
            limits.as_ref().map(self::limits).unwrap_or_default(),
            expires.map(|end| ends(end, now)).unwrap_or_default(),
        ];
        let cells = cells
            .iter()
            .zip(columns)
            .filter(|(_, (_, is_shown))| *is_shown);
        let cells: Vec<&dyn std::fmt::Display> = cells.map(|(cell, _)| cell as _).collect();
        table.row(&cells);
    }
    table
}

fn ends(end: u64, now: u64) -> String {
    if end <= now {
        return "ended".to_owned();
    }
    format!("in {}", remaining(end, now))
}

/// The limits of rules: `drop; mon-*; /24, /48; up to 7d; 6000 a minute`.
pub(crate) fn limits(limits: &ClientLimits) -> String {
    let ClientLimits {
        policies,
        tags,
        sets,
        widest_ipv4,
        widest_ipv6,
        longest,
        adds_per_minute,
        token_lifetime: _,
    } = limits;
    let policies = policies.as_ref().map(|policies| {
        let names: Vec<_> = policies.iter().map(|policy| policy.as_str()).collect();
        names.join(", ")
    });
    let patterns = |what, all: &Option<Vec<String>>| {
        let all = all.as_ref()?;
        Some(format!("{what} {}", all.join(", ")))
    };
    let widest = |prefix: &Option<u8>, family| prefix.map(|len| format!("{family} /{len}"));
    let parts = [
        policies,
        patterns("tags", tags),
        patterns("sets", sets),
        widest(widest_ipv4, "IPv4"),
        widest(widest_ipv6, "IPv6"),
        longest.map(|time| format!("up to {}", time_left(time))),
        adds_per_minute.map(|rate| format!("{rate} adds a minute")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::drawn;

    fn client() -> ClientInfo {
        ClientInfo {
            name: "web".parse().unwrap(),
            group: couic_common::Group::ClientRw,
            token: Some(uuid::Uuid::nil()),
            expires: None,
            limits: None,
            own: false,
        }
    }

    #[test]
    fn columns_of_the_contract() {
        let expected = "\
┌──────┬──────────┬──────────────────────────────────────┐
│ Name ┆ Group    ┆ Token                                │
╞══════╪══════════╪══════════════════════════════════════╡
│ web  ┆ clientrw ┆ 00000000-0000-0000-0000-000000000000 │
└──────┴──────────┴──────────────────────────────────────┘
";
        assert_eq!(drawn(clients(&[&client()], true, 0)), expected);
    }

    #[test]
    fn limits_and_the_end_of_tokens_have_columns_if_there_are_some() {
        let limits = r#"{"policies": ["drop"], "tags": ["mon-*"], "sets": ["feed-*"], "widest_ipv4": 24, "widest_ipv6": 48,
            "longest": 604800, "adds_per_minute": 6000, "token_lifetime": 60}"#;
        let limited = ClientInfo {
            token: None,
            expires: Some(86_400),
            limits: serde_json::from_str(limits).unwrap(),
            ..client()
        };
        let text = drawn(clients(&[&limited], true, 0));
        for expected in [
            "drop; tags mon-*; sets feed-*; IPv4 /24; IPv6 /48; up to 7d; 6000 adds a minute",
            "in 1d",
        ] {
            assert!(text.contains(expected), "{text}");
        }
        assert!(!text.contains("Token  "), "{text}");
        assert!(drawn(clients(&[&limited], true, 86_400)).contains("ended"));
    }
}
