//! Real plugins, good and bad, through the real loader: in this process and in one of their own.

mod attempts;
mod authors;
mod kit;
mod opening;
mod process;
mod refused;
mod starting;
