//! Code shared by Couic's own notifiers.
//!
//! - [`Endpoint`]: a POST with bounded time and response size, without redirects; its errors never contain the URL,
//!   since the URL of a webhook is a secret;
//! - [`text`]: tags are chosen by attackers, so they are shown without control and bidi characters and truncated
//!   between graphemes;
//! - [`ChatConfig`]: the configuration of a chat notifier;
//! - [`Message`]: a notification as title and fields, for chats.
//!
//! ```
//! use couic_plugin_api::{Kind, Notice, Notification, Severity};
//! use couic_plugin_shared::{ChatConfig, Message, text};
//!
//! let notice = Notice { code: "sample".to_owned(), message: "a\u{202e}b".to_owned() };
//! let message = Message::new(&Notification::new(Kind::Notice(notice), Severity::Orange, "fw1"));
//! assert_eq!(message.text.as_deref(), Some("ab"));
//! assert_eq!(text::fit(&message.title, 6, text::plain), "Couic…");
//!
//! let config = ChatConfig { webhook_url: "no URL, but secret".to_owned(), timeout_ms: 5_000 };
//! let error = config.endpoint().unwrap_err().to_string();
//! assert!(error.contains("webhook_url") && !error.contains("secret"));
//! ```

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
