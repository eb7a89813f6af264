//! End-to-end tests: the real daemon, the real `couicctl`, real frames. One binary, so that it links once.

mod attach;
mod audit;
mod bpffs;
mod counters;
mod demo;
mod expiry;
mod guard;
mod hostile;
mod interfaces;
mod lab;
mod lifecycle;
mod memory;
mod old_kernel;
mod owners;
mod privileges;
mod reporting;
mod sets;
mod state;
mod static_build;
mod stay;
mod switch;
mod systemd;
mod tcx;
mod tunnels;
mod verdicts;
mod withstand;
