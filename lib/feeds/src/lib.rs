//! Lists from the net and from files: fetched on a schedule, judged, and written as sets of the daemon.
//!
//! A list on the net may be late, cut off, empty, a login page, or in the hands of an attacker. Guarantees:
//! - What is in force is always a list that was whole and passed the guards; a list that does not pass changes nothing. The
//!   last good one is on the disk with its checksum, and is put in force at a start without the network.
//! - A change of more than half of a list, of networks or of addresses, is held back until the operator accepts exactly it.
//! - Neither bogons nor this host's own addresses, nor networks wider than the feed may have, get into a set; all that is
//!   left out is counted by its reason. Merging changes no address.
//! - A request is bounded in bytes, packed and unpacked, and in time. All feeds together are bounded in number, in memory
//!   (one list is taken apart at a time) and on the disk.
//! - A list that is not confirmed for three intervals raises an alarm, in the log and in [`FeedStatus`].
//! - No secret of a URL or a header gets into a log, an error or a status.
//!
//! The set of a feed that is not configured any more is removed at the next start, and the log tells it: nothing would keep
//! it current. An operator's own sets are not touched, as only sets are removed that this library has written.

pub mod asn;
mod config;
mod error;
mod examine;
mod feeds;
mod fetch;
mod format;
mod judge;
mod live;
mod obtain;
mod preset;
mod preview;
mod settings;
mod sieve;
mod sink;
mod slot;
mod status;
mod store;

pub use config::{Column, Feed, FeedConfig, FeedMistake, FeedUrl, OneOrMore, SET_PREFIX, Source};
pub use error::{FeedError, SetupError};
pub use feeds::{Feeds, MOST_FEEDS};
pub use fetch::Timing;
pub use format::Format;
pub use judge::Change;
pub use preset::{PRESETS, Preset};
pub use preview::{Preview, PreviewError, preview};
pub use settings::Settings;
pub use sieve::Dropped;
pub use sink::{Put, SetSink, SinkError};
pub use slot::Refreshed;
pub use status::{FeedState, FeedStatus, Held};
