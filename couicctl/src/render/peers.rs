//! Peers: state and problems.

use std::io::{self, Write};

use couic_common::{PeerInfo, PeerState};

use super::{Table, notifiers::ago};
use crate::failure::printable;

/// A table, and a line for each problem.
pub(crate) fn peers(all: &[PeerInfo], now: u64, out: &mut dyn Write) -> io::Result<()> {
    if all.is_empty() {
        return writeln!(
            out,
            "There are no peers: [peering] in couic.toml is not enabled, or names none."
        );
    }
    let mut table = Table::new(&[
        "Name",
        "Address",
        "State",
        ">Rules",
        ">Waiting",
        ">Lag",
        ">Differing",
        ">Sent",
        ">Received",
        ">Refused",
        "Same rules",
    ]);
    for peer in all {
        let address = peer.endpoint.as_deref().unwrap_or("not configured here");
        let lag = format!("{} ms", peer.lag_ms);
        let refused = peer.refused + peer.not_accepted;
        let equal = match (peer.last_equal, peer.state) {
            (_, PeerState::Plain | PeerState::Inbound) => "not compared".to_owned(),
            (0, _) => "not yet".to_owned(),
            (at, _) => ago(at, now),
        };
        table.row(&[
            &peer.name,
            &address,
            &state(peer.state),
            &peer.rules,
            &peer.queue,
            &lag,
            &peer.differing,
            &peer.sent,
            &peer.received,
            &refused,
            &equal,
        ]);
    }
    table.write(out)?;
    for line in all.iter().flat_map(|peer| remarks(peer, now)) {
        writeln!(out, "{}", printable(&line))?;
    }
    Ok(())
}

const fn state(state: PeerState) -> &'static str {
    match state {
        PeerState::Connecting => "connecting",
        PeerState::Syncing => "syncing",
        PeerState::InSync => "in sync",
        PeerState::Plain => "Couic 1.0",
        PeerState::Failing => "FAILING",
        PeerState::NotEnabled => "not enabled there",
        PeerState::Inbound => "inbound only",
    }
}

fn remarks(peer: &PeerInfo, now: u64) -> Vec<String> {
    let name = &peer.name;
    let mut lines = Vec::new();
    if let Some(error) = &peer.last_error {
        lines.push(format!("{name}, {}: {}", ago(error.at, now), error.message));
    }
    if peer.refused_ranges > 0 {
        lines.push(format!(
            "{name}: some rules differ permanently, because one side rejects them (see the limits in [peering])"
        ));
    }
    let ahead = peer.clock_ahead_ms.unwrap_or(0) / 1_000;
    if ahead.unsigned_abs() >= 60 {
        let way = if ahead > 0 { "ahead of" } else { "behind" };
        let seconds = ahead.unsigned_abs();
        lines.push(format!(
            "{name}: its clock is {seconds} s {way} this host's; rules still expire at the right time, but correct the clock"
        ));
    }
    lines
}

#[cfg(test)]
mod tests {
    use couic_common::PeerProblem;

    use super::*;

    fn peer() -> PeerInfo {
        PeerInfo {
            name: "b".parse().unwrap(),
            endpoint: Some("b.tld:2900".to_owned()),
            state: PeerState::InSync,
            rules: 7,
            queue: 0,
            lag_ms: 0,
            differing: 0,
            refused_ranges: 0,
            sent: 12,
            refused: 1,
            received: 30,
            not_accepted: 2,
            clock_ahead_ms: Some(3),
            last_answer: 990,
            last_equal: 990,
            last_error: None,
        }
    }

    fn drawn(peers_: &[PeerInfo]) -> String {
        let mut out = Vec::new();
        peers(peers_, 1_000, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_row_per_peer_and_a_line_per_problem() {
        let failing = PeerInfo {
            name: "c".parse().unwrap(),
            state: PeerState::Failing,
            refused_ranges: 2,
            clock_ahead_ms: Some(-120_000),
            last_error: Some(PeerProblem {
                at: 940,
                message: "connection\u{1b}refused".to_owned(),
            }),
            ..peer()
        };
        let text = drawn(&[peer(), failing]);
        assert!(
            text.contains("│ b    ┆ b.tld:2900 ┆ in sync ┆     7 ┆"),
            "{text}"
        );
        assert!(
            text.contains("┆       3 ┆"),
            "both kinds of refusals: {text}"
        );
        assert!(text.contains("FAILING"), "{text}");
        assert!(text.contains("connection?refused"), "{text}");
        assert!(text.contains("c: its clock is 120 s behind"), "{text}");
        assert!(text.contains("differ permanently"), "{text}");
        assert!(!text.contains("b: its clock"), "{text}");
        assert!(drawn(&[]).contains("[peering]"));
    }
}
