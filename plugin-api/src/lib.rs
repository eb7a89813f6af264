//! Notifiers of Couic: they report to operators what their firewall does.
//!
//! A notifier receives a [`Notification`] and makes **one** attempt to deliver it. Queues, retries, pacing and a spool
//! that survives crashes are the host's. A plugin is this, in a crate of type `cdylib`:
//!
//! ```
//! use couic_plugin_api::{Kind, Notification, Notifier, NotifyError, Plugin, Receipt, async_trait, serde};
//!
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields, crate = "couic_plugin_api::serde")]
//! struct Config {
//!     path: std::path::PathBuf,
//! }
//!
//! struct FileNotifier(Config);
//!
//! impl Plugin for FileNotifier {
//!     type Config = Config;
//!
//!     fn create(config: Config) -> Result<Self, NotifyError> {
//!         if !config.path.is_absolute() {
//!             return Err(NotifyError::bad_config("path: must be absolute"));
//!         }
//!         Ok(Self(config))
//!     }
//! }
//!
//! #[async_trait]
//! impl Notifier for FileNotifier {
//!     fn name(&self) -> &str {
//!         "file"
//!     }
//!
//!     async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
//!         let text = match &notification.kind {
//!             Kind::Reports(reports) => format!("{} changes of the rules", reports.len()),
//!             _ => notification.text(),
//!         };
//!         std::fs::write(&self.0.path, text)
//!             .map_err(|error| NotifyError::retry(error.to_string()))?;
//!         Ok(Receipt::default())
//!     }
//! }
//!
//! couic_plugin_api::export_notifier!(FileNotifier, name = "file");
//! # fn main() {}
//! ```
//!
//! A package to copy is in `examples/rust`, one in C in `examples/c`; the header is `include/couic_notifier.h`, and
//! `docs/plugins.md` has the rest. The program `couic-plugin` (crate `couic-plugin-host`) checks a plugin as Couic does,
//! and delivers a sample through it.

pub mod abi;
pub mod export;
mod notification;
mod notifier;
pub mod outcome;
pub mod panics;
mod traffic;
mod wire;

pub use async_trait::async_trait;
pub use couic_common::Report;
pub use export::{Level, log};
pub use notification::{Digest, Kind, Notice, Notification, Severity, Summary, TagCount};
pub use notifier::{Notifier, NotifyError, Plugin, Receipt};
pub use serde;
pub use serde_json;
pub use traffic::{InterfaceState, OTHER_TAGS, PacketCount, RuleCount, TagTraffic, Traffic};
pub use uuid::Uuid;
