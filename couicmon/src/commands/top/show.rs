//! What is shown: figures of the sources and jails, then those who write the most lines.

use std::io::{self, Write};

use couic_common::grouped;

use super::{Answer, Jail, Source};
use crate::commands::table::Table;

/// Sources that write most lines alone: told of so many.
const DOMINANT: usize = 3;

/// For whom, and how many rows there are; None: as many as it takes.
#[derive(Clone, Copy)]
pub(super) struct Room {
    pub(super) people: bool,
    pub(super) rows: Option<usize>,
}

/// Writes it. Talkers have what the rest leaves, and half of the rows at least.
pub(super) fn show(
    answer: &Answer,
    rate: Option<u64>,
    room: Room,
    out: &mut dyn Write,
) -> io::Result<()> {
    let around = around(answer)?;
    let mut head = Vec::new();
    match (rate, room.rows) {
        (Some(rate), _) => writeln!(head, "{} lines a second\n", grouped(rate))?,
        // The next frame has it in the same place.
        (None, Some(_)) => writeln!(head, "… lines a second\n")?,
        (None, None) => {}
    }
    // Titles of the two tables, and an empty line behind each.
    let used = lines(&head) + lines(&around) + 4;
    let talkers = answer.talkers.len() + 1;
    let most = room
        .rows
        .map(|rows| (rows - talkers.min(rows.div_ceil(2))).saturating_sub(used));
    let (sources, jails) = split(answer.sources.len(), answer.jails.len(), most);
    source_table(answer, sources, room.people, &mut head)?;
    writeln!(head)?;
    jail_table(answer, jails, room.people, &mut head)?;
    writeln!(head)?;
    head.extend(around);
    out.write_all(&head)?;
    let left = room
        .rows
        .map_or(usize::MAX, |rows| rows.saturating_sub(lines(&head) + 1));
    talker_table(answer, left).print(out, room.people)
}

fn lines(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte == b'\n').count()
}

/// What there is to tell besides the tables.
fn around(answer: &Answer) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    if answer.pending_bans > 0 {
        let wait = match answer.pending_bans {
            1 => "ban waits",
            _ => "bans wait",
        };
        let count = grouped(answer.pending_bans);
        writeln!(text, "{count} {wait} for the daemon\n")?;
    }
    for told in answer.dominant.iter().take(DOMINANT) {
        writeln!(text, "{}\n", told.replace(char::is_control, "?"))?;
    }
    Ok(text)
}

/// How many rows each of two tables has, with the one that tells how many are missing.
fn split(sources: usize, jails: usize, most: Option<usize>) -> (usize, usize) {
    let Some(most) = most.filter(|most| sources + jails > *most) else {
        return (sources, jails);
    };
    let half = most / 2;
    if sources <= half {
        (sources, most - sources)
    } else if jails <= most - half {
        (most - jails, jails)
    } else {
        (half, most - half)
    }
}

/// Those with the most first if not all have room, and how many are left out.
fn first<T>(all: &[T], rows: usize, figure: impl Fn(&T) -> u64) -> (Vec<&T>, usize) {
    let mut some: Vec<&T> = all.iter().collect();
    if some.len() <= rows {
        return (some, 0);
    }
    some.sort_by_key(|one| std::cmp::Reverse(figure(one)));
    some.truncate(rows.saturating_sub(1));
    let left_out = all.len() - some.len();
    (some, left_out)
}

fn finish(
    table: &Table,
    (left_out, rows): (usize, usize),
    people: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    table.print(out, people)?;
    if left_out > 0 && rows > 0 {
        writeln!(out, "and {} more", grouped(left_out as u64))?;
    }
    Ok(())
}

fn talker_table(answer: &Answer, most: usize) -> Table {
    let mut table = Table::new(&["Address", ">Lines", ">Share"]);
    for talker in answer.talkers.iter().take(most) {
        let about = if talker.over > 0 { "~" } else { "" };
        table.row([
            talker.addr.to_string(),
            format!("{about}{}", grouped(talker.lines)),
            format!("{:.1} %", 100.0 * talker.share),
        ]);
    }
    table
}

fn jail_table(answer: &Answer, rows: usize, people: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(&["Jail", ">Hits", ">Bans", ">Shadow bans", ">Held", ">Full"]);
    let (shown, left_out) = first(&answer.jails, rows, |jail: &Jail| jail.hits);
    for jail in shown {
        let shadow = if jail.shadow { " (shadow)" } else { "" };
        table.row([
            format!("{}{shadow}", jail.jail),
            grouped(jail.hits),
            grouped(jail.bans),
            grouped(jail.shadow_bans),
            grouped(jail.held),
            format!("{:.0} %", 100.0 * jail.fill),
        ]);
    }
    finish(&table, (left_out, rows), people, out)
}

fn source_table(answer: &Answer, rows: usize, people: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut table = Table::new(&["Source", ">Lines", ">Unreadable", ">Lag", ">Bytes behind"]);
    let (shown, left_out) = first(&answer.sources, rows, |source: &Source| source.lines);
    for source in shown {
        table.row([
            source.source.clone(),
            grouped(source.lines),
            grouped(source.unparsed),
            format!("{:.1} s", source.lag_seconds),
            grouped(source.behind_bytes),
        ]);
    }
    finish(&table, (left_out, rows), people, out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn shown(counts: [usize; 3], rate: Option<u64>, room: Room) -> String {
        let [sources, jails, talkers] = counts;
        let all = |count: usize, one: &dyn Fn(usize) -> serde_json::Value| {
            (0..count).map(one).collect::<Vec<_>>()
        };
        let answer = json!({
            "sources": all(sources, &|n| json!({"source": format!("s{n}"), "lines": n, "unparsed": 0,
                "lag_seconds": 0.0, "behind_bytes": 0})),
            "jails": all(jails, &|n| json!({"jail": format!("j{n}"), "shadow": false, "hits": n, "bans": 0,
                "shadow_bans": 0, "held": 0, "fill": 0.0})),
            "talkers": all(talkers, &|n| json!({"addr": format!("192.0.2.{n}"), "lines": 1, "over": 0, "share": 0.1})),
            "pending_bans": 1,
        });
        let mut out = Vec::new();
        show(
            &serde_json::from_value(answer).unwrap(),
            rate,
            room,
            &mut out,
        )
        .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn addresses_have_half_of_the_rows_however_many_jails_there_are() {
        for rows in 0..60 {
            for counts in [
                [40, 60, 100],
                [1, 60, 100],
                [40, 1, 100],
                [3, 5, 100],
                [0, 0, 0],
            ] {
                let room = Room {
                    people: true,
                    rows: Some(rows),
                };
                let text = shown(counts, Some(1), room);
                let addresses = text
                    .lines()
                    .filter(|line| line.starts_with("192.0.2."))
                    .count();
                let is_small = rows < 18;
                assert!(
                    is_small || text.lines().count() <= rows,
                    "{rows} {counts:?}\n{text}"
                );
                let half = rows.div_ceil(2).saturating_sub(1).min(counts[2]);
                assert!(is_small || addresses >= half, "{rows} {counts:?}\n{text}");
            }
        }
        let text = shown(
            [2, 60, 100],
            Some(1),
            Room {
                people: true,
                rows: Some(40),
            },
        );
        assert!(
            text.contains("\nj59 ") && text.contains("\nand 5"),
            "{text}"
        );
        assert!(text.contains("1 ban waits"), "{text}");
    }

    #[test]
    fn people_have_titles_without_a_rate_too_and_programs_have_none() {
        let text = shown(
            [1, 1, 1],
            None,
            Room {
                people: true,
                rows: None,
            },
        );
        for title in ["Source ", "Jail ", "Address "] {
            assert!(text.contains(title) && !text.contains('\t'), "{text}");
        }
        let text = shown(
            [1, 1, 1],
            None,
            Room {
                people: false,
                rows: None,
            },
        );
        assert!(
            !text.contains("Address") && text.contains("192.0.2.0\t1\t"),
            "{text}"
        );
    }
}
