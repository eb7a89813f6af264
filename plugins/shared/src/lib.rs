//! Code shared by Couic's own notifiers.
//!
//! - [`Endpoint`]: a POST with bounded time and response size, without redirects; its errors never contain the URL,
//!   since the URL of a webhook is a secret;
//! - [`text`]: tags are chosen by attackers, so they are shown without control and bidi characters and truncated
//!   between graphemes;
//! - [`ChatConfig`]: the configuration of a chat notifier;
//! - [`Message`]: a notification as title and fields, for chats.

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

/// The `User-Agent` of every request.
pub const USER_AGENT: &str = concat!("couic/", env!("CARGO_PKG_VERSION"));
