//! Notifiers of Couic: one trait, whatever stands behind it.

pub mod abi;
pub mod export;
#[cfg(feature = "host")]
pub mod host;
mod notification;
mod notifier;
mod outcome;
mod panics;
mod wire;

pub use async_trait::async_trait;
pub use couic_common::Report;
pub use export::{Level, log};
pub use notification::{Digest, Kind, Notice, Notification, Severity, Summary, TagCount};
pub use notifier::{Notifier, NotifyError, Plugin, Receipt};
pub use serde;
pub use serde_json;
pub use uuid::Uuid;
