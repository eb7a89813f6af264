//! What Couic's own notifiers share.
//!
//! - [`Endpoint`]: a POST that cannot hang, cannot be redirected, cannot be fed a gigabyte, and whose errors never
//!   show the URL, since the URL of a webhook is a password;
//! - [`text`]: attackers choose tags. What is shown of them has no control and no bidi characters, and is cut between
//!   graphemes;
//! - [`ChatConfig`]: how a notifier is configured that posts to a chat;
//! - [`Message`]: what a notification says, in a title and some fields, for [`Endpoint`]s that people read.

mod chat;
mod endpoint;
mod message;
#[cfg(feature = "sample")]
pub mod sample;
pub mod text;

pub use chat::ChatConfig;
pub use endpoint::{Answer, Endpoint, EndpointConfig};
pub use message::{Field, Message};
pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

/// What every request says it comes from.
pub const USER_AGENT: &str = concat!("couic/", env!("CARGO_PKG_VERSION"));
