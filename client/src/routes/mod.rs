//! One method per route of the API, one file per resource.

mod batch;
mod clients;
mod entries;
mod events;
mod list;
mod log;
mod notifiers;
mod peers;
mod sets;
mod stats;
mod switch;

pub use entries::{ListQuery, Release};
pub use events::{Event, EventStream, EventsQuery};
pub use list::EntryStream;
pub use log::{LogPage, LogQuery};
