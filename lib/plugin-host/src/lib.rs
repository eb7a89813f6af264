//! Runs notifiers: the host's side of the plugin ABI.
//!
//! A [`Loader`] turns a table `[[notifiers]]` of a configuration ([`NotifierConfig`]) into a notifier: built in,
//! [loaded](LoadedNotifier) into this process, or, as files are by default, [isolated](IsolatedNotifier) in one of its
//! own. That is the same program again: its `main` begins with [`run_if_child`].
//!
//! ```no_run
//! use couic_plugin_api::{Kind, Notification, Notifier, Severity};
//! use couic_plugin_host::{ChildCommand, Isolation, Loader};
//!
//! # async fn sample() -> Result<(), Box<dyn std::error::Error>> {
//! let isolation = Isolation::new(ChildCommand::itself());
//! let loader = Loader::new("/usr/lib/couic/plugins", isolation);
//! let config = serde_json::from_str(r#"{"plugin":"slack","config":{"webhook_url":"https://…"}}"#)?;
//! let notifier = loader.open(&config).await?;
//! notifier.notify(&Notification::new(Kind::Test, Severity::Green, "fw1")).await?;
//! # Ok(()) }
//! ```

mod any;
mod attempts;
mod builtin;
mod elf;
mod error;
mod file;
mod isolated;
mod loaded;
mod log;
mod members;
mod open;
mod plugin;
mod spawner;
mod text;

pub use any::AnyNotifier;
pub use builtin::BuiltIn;
pub use error::{LoadError, Reason};
pub use file::PluginFile;
pub use isolated::{ChildCommand, IsolatedNotifier, Isolation, PLUGIN_HOST, PluginState, RunAs};
pub use loaded::LoadedNotifier;
pub use members::{Failed, Opened};
pub use open::{Loader, NotifierConfig};
pub use plugin::{PluginInfo, PluginOptions, PluginStats};
pub use spawner::{PLUGIN_SPAWNER, Spawner};

use couic_plugin_api::{Notification, NotifyError};

/// Runs this process if it was started for isolated plugins, and does not return then. Must be the first call in `main`.
/// A program with roles of its own calls [`couic_privsep::run_if_child`] with all of them instead.
pub fn run_if_child() {
    couic_privsep::run_if_child(&[PLUGIN_HOST, PLUGIN_SPAWNER]);
}

/// The JSON for a plugin.
fn encode(notification: &Notification) -> Result<Vec<u8>, NotifyError> {
    serde_json::to_vec(notification)
        .map_err(|error| NotifyError::permanent(format!("cannot be written as JSON: {error}")))
}
