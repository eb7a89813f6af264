//! Packets and bytes: totals, rates, figures by tag.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    io::{self, Write},
    time::{Duration, SystemTime},
};

use couic_common::{ActionStats, Counter, Stats, TagStats};

use super::Table;
use crate::failure::printable;

/// Rates per second between two samples. None without two samples, or if counters were reset by a restart of the
/// daemon.
#[derive(Default)]
pub(crate) struct Rates([Option<(f64, f64)>; 5]);

impl Rates {
    /// The rates between two samples.
    pub(crate) fn between(before: &Stats, after: &Stats, elapsed: Duration) -> Self {
        let mut rates = Self::default();
        for (rate, ((_, old), (_, new))) in rates
            .0
            .iter_mut()
            .zip(actions(&before.xdp).into_iter().zip(actions(&after.xdp)))
        {
            *rate = per_second(old, new, elapsed);
        }
        rates
    }
}

/// Packets and bytes per second. None if no time has passed, or if the counters were reset.
pub(crate) fn per_second(old: Counter, new: Counter, elapsed: Duration) -> Option<(f64, f64)> {
    let seconds = elapsed.as_secs_f64();
    let packets = new.rx_packets.checked_sub(old.rx_packets)?;
    let bytes = new.rx_bytes.checked_sub(old.rx_bytes)?;
    (seconds > 0.0).then(|| (packets as f64 / seconds, bytes as f64 / seconds))
}

/// Packets and bytes per second, dropped and passed, between two samples.
pub(crate) fn drop_and_pass(
    before: &Stats,
    after: &Stats,
    elapsed: Duration,
) -> Option<[(f64, f64); 2]> {
    let Rates([_, dropped, passed, ..]) = Rates::between(before, after, elapsed);
    Some([dropped?, passed?])
}

fn actions(stats: &ActionStats) -> [(&'static str, Counter); 5] {
    let ActionStats {
        xdp_aborted,
        xdp_drop,
        xdp_pass,
        xdp_tx,
        xdp_redirect,
    } = *stats;
    [
        ("XDP_ABORTED", xdp_aborted),
        ("XDP_DROP", xdp_drop),
        ("XDP_PASS", xdp_pass),
        ("XDP_TX", xdp_tx),
        ("XDP_REDIRECT", xdp_redirect),
    ]
}

/// Rule counts, and frames by verdict; with rates, two more columns.
pub(crate) fn stats(stats: &Stats, rates: Option<&Rates>, out: &mut dyn Write) -> io::Result<()> {
    let mut table = match rates {
        None => Table::new(&["Action", ">Packets", ">Bytes"]),
        Some(_) => Table::new(&["Action", ">Packets", ">Bytes", ">Packets/s", ">Bytes/s"]),
    };
    for (index, (name, counter)) in actions(&stats.xdp).into_iter().enumerate() {
        let size = bytes(counter.rx_bytes);
        let Some(rates) = rates else {
            table.row(&[&name, &counter.rx_packets, &size]);
            continue;
        };
        let (packets, volume) = shown_rate(rates.0[index]);
        table.row(&[&name, &counter.rx_packets, &size, &packets, &volume]);
    }
    table.write(out)?;
    let Stats {
        drop_cidr_count,
        ignore_cidr_count,
        ..
    } = stats;
    writeln!(
        out,
        "Rules: {drop_cidr_count} drop, {ignore_cidr_count} ignore"
    )?;
    let seen = stats.not_inspected.rows();
    let seen: Vec<String> = seen
        .iter()
        .filter(|(_, counter)| counter.rx_packets > 0)
        .map(|(kind, counter)| format!("{} {kind}", counter.rx_packets))
        .collect();
    if seen.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "Frames without source address inspection: {}",
        seen.join(", ")
    )
}

/// The figures on one line, for logs.
pub(crate) fn stats_line(
    stats: &Stats,
    rates: Option<&Rates>,
    now: SystemTime,
    out: &mut dyn Write,
) -> io::Result<()> {
    write!(out, "{}", humantime::format_rfc3339_seconds(now))?;
    // TX and REDIRECT, which Couic never returns, are left out.
    for (index, (name, counter)) in actions(&stats.xdp).into_iter().take(3).enumerate() {
        let label = name.trim_start_matches("XDP_").to_ascii_lowercase();
        write!(out, " {label}={}", counter.rx_packets)?;
        if let Some((packets, _)) = rates.and_then(|r| r.0[index]) {
            write!(out, " {label}/s={packets:.0}")?;
        }
    }
    writeln!(
        out,
        " drop_rules={} ignore_rules={}",
        stats.drop_cidr_count, stats.ignore_cidr_count
    )
}

/// The figures of a tag, and its rates per second; none without two samples, or if counters were reset in between.
pub(crate) struct TagFigures<'a> {
    pub(crate) tag: &'a str,
    pub(crate) counter: Counter,
    pub(crate) rate: Option<(f64, f64)>,
}

/// The tags with their rates between two samples, busiest first.
pub(crate) fn tag_rates<'a>(
    before: &BTreeMap<String, Counter>,
    after: &'a BTreeMap<String, Counter>,
    elapsed: Duration,
) -> Vec<TagFigures<'a>> {
    let of = |(tag, counter): (&'a String, &Counter)| {
        // A tag that is new has counted since.
        let old = before.get(tag).copied().unwrap_or_default();
        TagFigures {
            tag,
            counter: *counter,
            rate: per_second(old, *counter, elapsed),
        }
    };
    let mut all: Vec<TagFigures<'_>> = after.iter().map(of).collect();
    let rate = |figures: &TagFigures<'_>| figures.rate.map_or(0.0, |(packets, _)| packets);
    all.sort_by(|a, b| {
        let by_rate = rate(b).total_cmp(&rate(a));
        let by_count = b.counter.rx_packets.cmp(&a.counter.rx_packets);
        by_rate.then(by_count).then_with(|| a.tag.cmp(b.tag))
    });
    all
}

/// The busiest tags with their rates, as many as fit.
pub(crate) fn tag_screen(
    figures: &[TagFigures<'_>],
    rows: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    if figures.is_empty() {
        return writeln!(out, "There are no rules, and so no figures.");
    }
    let mut table = Table::new(&["~Tag", ">Packets", ">Bytes", ">Packets/s", ">Bytes/s"]);
    for TagFigures { tag, counter, rate } in figures.iter().take(rows) {
        let size = bytes(counter.rx_bytes);
        let (packets, volume) = shown_rate(*rate);
        table.row(&[tag, &counter.rx_packets, &size, &packets, &volume]);
    }
    table.write(out)?;
    match figures.len().saturating_sub(rows) {
        0 => Ok(()),
        more => writeln!(out, "and {more} more"),
    }
}

fn shown_rate(rate: Option<(f64, f64)>) -> (String, String) {
    match rate {
        Some((packets, volume)) => (format!("{packets:.0}"), bytes(volume as u64)),
        None => ("-".into(), "-".into()),
    }
}

/// A line for logs for each tag that had packets since the sample before.
pub(crate) fn tag_lines(
    figures: &[TagFigures<'_>],
    now: SystemTime,
    out: &mut dyn Write,
) -> io::Result<()> {
    let time = humantime::format_rfc3339_seconds(now);
    for TagFigures { tag, counter, rate } in figures {
        let Some((packets, volume)) = rate.filter(|(packets, _)| *packets > 0.0) else {
            continue;
        };
        let (total, size) = (counter.rx_packets, counter.rx_bytes);
        let tag = printable(tag);
        writeln!(
            out,
            "{time} tag={tag} packets={total} packets/s={packets:.0} bytes={size} bytes/s={volume:.0}"
        )?;
    }
    Ok(())
}

/// Figures by tag, busiest first.
pub(crate) fn tag_stats(stats: &TagStats) -> Table {
    let mut rows: Vec<(&String, &Counter)> = stats.tags.iter().collect();
    rows.sort_by_key(|(tag, counter)| (Reverse(counter.rx_packets), *tag));
    let mut table = Table::new(&["Tag", ">Packets", ">Bytes"]);
    for (tag, counter) in rows {
        table.row(&[tag, &counter.rx_packets, &bytes(counter.rx_bytes)]);
    }
    table
}

/// A number of bytes in the largest suitable unit. `--json` has exact numbers.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be rounded to 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(packets: u64, bytes: u64) -> Stats {
        let mut stats = Stats {
            drop_cidr_count: 12,
            ignore_cidr_count: 3,
            ..Stats::default()
        };
        stats.xdp.xdp_drop = Counter {
            rx_packets: packets,
            rx_bytes: bytes,
        };
        stats
    }

    fn text(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn uninspected_frames_have_a_line_if_there_are_any() {
        let mut some = sample(1, 60);
        assert!(!text(|out| stats(&some, None, out)).contains("source address"));
        some.not_inspected.arp.rx_packets = 12;
        some.not_inspected.vlan.rx_packets = 3;
        let shown = text(|out| stats(&some, None, out));
        let line = "Frames without source address inspection: 12 arp, 3 vlan\n";
        assert!(shown.ends_with(line), "{shown}");
    }

    #[test]
    fn totals() {
        let expected = "\
┌──────────────┬─────────┬─────────┐
│ Action       ┆ Packets ┆   Bytes │
╞══════════════╪═════════╪═════════╡
│ XDP_ABORTED  ┆       0 ┆     0 B │
│ XDP_DROP     ┆      25 ┆ 1.5 KiB │
│ XDP_PASS     ┆       0 ┆     0 B │
│ XDP_TX       ┆       0 ┆     0 B │
│ XDP_REDIRECT ┆       0 ┆     0 B │
└──────────────┴─────────┴─────────┘
Rules: 12 drop, 3 ignore
";
        let shown = text(|out| stats(&sample(25, 1_536), None, out));
        assert_eq!(shown, expected);
    }

    #[test]
    fn rates_and_their_absence() {
        let rates = Rates::between(&sample(5, 500), &sample(25, 2_500), Duration::from_secs(2));
        let shown = text(|out| stats(&sample(25, 2_500), Some(&rates), out));
        assert!(
            shown.contains("│ XDP_DROP     ┆      25 ┆ 2.4 KiB ┆        10 ┆  1000 B │"),
            "{shown}"
        );
        let fallen = Rates::between(&sample(25, 2_500), &sample(0, 0), Duration::from_secs(1));
        let shown = text(|out| stats(&sample(0, 0), Some(&fallen), out));
        assert!(
            shown.contains("│ XDP_DROP     ┆       0 ┆   0 B ┆         - ┆       - │"),
            "{shown}"
        );
        let at_once = Rates::between(&sample(0, 0), &sample(1, 1), Duration::ZERO);
        assert!(at_once.0.iter().all(Option::is_none));
    }

    #[test]
    fn a_line_for_logs() {
        let rates = Rates::between(&sample(5, 0), &sample(25, 0), Duration::from_secs(1));
        let shown =
            text(|out| stats_line(&sample(25, 0), Some(&rates), SystemTime::UNIX_EPOCH, out));
        assert_eq!(
            shown,
            "1970-01-01T00:00:00Z aborted=0 aborted/s=0 drop=25 drop/s=20 pass=0 pass/s=0 drop_rules=12 ignore_rules=3\n"
        );
    }

    #[test]
    fn tags_by_traffic() {
        let counter = |rx_packets| Counter {
            rx_packets,
            rx_bytes: 60 * rx_packets,
        };
        let tags = [("b", 1), ("a", 1), ("busy", 9)];
        let stats = TagStats {
            tags: tags.map(|(t, n)| (t.to_owned(), counter(n))).into(),
        };
        let expected = "\
┌──────┬─────────┬───────┐
│ Tag  ┆ Packets ┆ Bytes │
╞══════╪═════════╪═══════╡
│ busy ┆       9 ┆ 540 B │
│ a    ┆       1 ┆  60 B │
│ b    ┆       1 ┆  60 B │
└──────┴─────────┴───────┘
";
        assert_eq!(crate::render::drawn(tag_stats(&stats)), expected);
    }

    #[test]
    fn tags_by_rate() {
        let tags = |counts: &[(&str, u64)]| TagStats {
            tags: counts
                .iter()
                .map(|(tag, n)| {
                    let (rx_packets, rx_bytes) = (*n, 60 * n);
                    (
                        (*tag).to_owned(),
                        Counter {
                            rx_packets,
                            rx_bytes,
                        },
                    )
                })
                .collect(),
        };
        let before = tags(&[("idle", 90), ("reset", 9)]);
        let after = tags(&[("idle", 90), ("new", 20), ("reset", 1)]);
        let rates = tag_rates(&before.tags, &after.tags, Duration::from_secs(2));
        let shown = text(|out| tag_screen(&rates, 2, out));
        let expected = "\
┌──────┬─────────┬─────────┬───────────┬─────────┐
│ Tag  ┆ Packets ┆   Bytes ┆ Packets/s ┆ Bytes/s │
╞══════╪═════════╪═════════╪═══════════╪═════════╡
│ new  ┆      20 ┆ 1.2 KiB ┆        10 ┆   600 B │
│ idle ┆      90 ┆ 5.3 KiB ┆         0 ┆     0 B │
└──────┴─────────┴─────────┴───────────┴─────────┘
and 1 more
";
        assert_eq!(shown, expected);
        let lines = text(|out| tag_lines(&rates, SystemTime::UNIX_EPOCH, out));
        assert_eq!(
            lines,
            "1970-01-01T00:00:00Z tag=new packets=20 packets/s=10 bytes=1200 bytes/s=600\n"
        );
        assert!(
            text(|out| tag_screen(&rates, 9, out))
                .contains("│ reset ┆       1 ┆    60 B ┆         - ┆")
        );
    }

    #[test]
    fn sizes() {
        for (count, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (5 << 20, "5.0 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
