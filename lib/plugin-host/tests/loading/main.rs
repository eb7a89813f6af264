//! Real plugins, good and bad, through the real loader: loaded and isolated.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test binary: its helpers fail the test that calls them"
)]

mod attempts;
mod authors;
mod documentation;
mod kit;
mod opening;
mod ownership;
mod privileges;
mod process;
mod refused;
mod spawner;
mod starting;
