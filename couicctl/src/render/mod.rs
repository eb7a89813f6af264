//! Formats responses as text. Pure functions: the current time is an argument.

mod clients;
mod entries;
mod health;
mod log;
mod lookup;
mod notifiers;
mod now;
mod peers;
mod sets;
mod stats;
mod status;
mod style;
mod switch;
mod table;
mod terminal;
mod wrap;

pub(crate) use clients::{clients, limits};
pub(crate) use entries::{EntryTable, details, entries};
pub(crate) use health::health;
pub(crate) use log::audit;
pub(crate) use lookup::{lookup, overlap};
pub(crate) use notifiers::{dead_letters, delivered, not_delivered, notifiers};
pub(crate) use now::{after_add, after_delete};
pub(crate) use peers::{peers, state as peer_state};
pub(crate) use sets::{set, sets};
pub(crate) use stats::{
    Rates, TagFigures, drop_and_pass, per_second, stats, stats_line, tag_lines, tag_rates,
    tag_screen, tag_stats,
};
pub(crate) use status::status;
pub(crate) use style::{Style, is_utf8, set_style};
pub(crate) use switch::{confirmations, panic, undone};
pub(crate) use table::Table;
pub(crate) use terminal::size as terminal_size;

/// The text of a table, for tests.
#[cfg(test)]
fn drawn(table: Table) -> String {
    let mut bytes = Vec::new();
    table.write(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}
