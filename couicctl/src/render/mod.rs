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
mod switch;
mod table;

pub(crate) use clients::clients;
pub(crate) use entries::{claims, entries};
pub(crate) use health::health;
pub(crate) use log::audit;
pub(crate) use lookup::{lookup, overlap};
pub(crate) use notifiers::{dead_letters, delivered, not_delivered, notifiers};
pub(crate) use now::{after_add, after_delete};
pub(crate) use peers::peers;
pub(crate) use sets::{set, sets};
pub(crate) use stats::{Rates, stats, stats_line, tag_stats};
pub(crate) use switch::{confirmations, panic, undone};
pub(crate) use table::Table;

/// The text of a table, for tests.
#[cfg(test)]
fn drawn(table: &Table) -> String {
    let mut bytes = Vec::new();
    table.write(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}
