//! End-to-end tests: the real daemon, the real `couicctl`, real frames. One binary, so that linking is paid once.

mod attach;
mod counters;
mod demo;
mod expiry;
mod guard;
mod hostile;
mod lab;
mod lifecycle;
mod memory;
mod reporting;
mod sets;
mod state;
mod switch;
mod verdicts;
