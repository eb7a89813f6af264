//! What a program needs that loads plugins and delivers through them.

mod any;
mod attempts;
mod builtin;
pub mod dispatcher;
mod elf;
mod error;
mod file;
mod isolated;
mod loaded;
mod log;
mod open;
mod plugin;
pub mod spool;
mod text;

pub use any::AnyNotifier;
pub use builtin::BuiltIn;
pub use error::{LoadError, Reason};
pub use file::PluginFile;
pub use isolated::{ChildCommand, IsolatedNotifier, Isolation, PluginState, RunAs, child_main};
pub use loaded::LoadedNotifier;
pub use open::{Loader, NotifierConfig};
pub use plugin::{PluginInfo, PluginOptions, PluginStats};

use crate::{Notification, NotifyError};

/// The JSON that a plugin is given.
fn encode(notification: &Notification) -> Result<Vec<u8>, NotifyError> {
    serde_json::to_vec(notification)
        .map_err(|error| NotifyError::permanent(format!("cannot be written as JSON: {error}")))
}
