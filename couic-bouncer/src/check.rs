//! `couic-bouncer --check-config`: what a valid configuration does, in a few lines.

use std::{path::Path, process::ExitCode};

use couic_common::time_left;

use crate::config::Config;

/// Prints it.
pub(crate) fn print(path: &Path, config: &Config) -> ExitCode {
    for warning in config.warnings() {
        eprintln!("warning: {warning}");
    }
    for file in config.files() {
        if let Err(error) = std::fs::File::open(&file) {
            eprintln!(
                "note: {}: {error}; couic-bouncer's user has to be able to read it",
                file.display()
            );
        }
    }
    println!("{}: valid", path.display());
    if let Some(crowdsec) = &config.crowdsec {
        let every = time_left(crowdsec.interval.as_secs());
        println!("crowdsec            {}, every {every}", crowdsec.url);
    }
    for feed in config.checked() {
        let shadow = if feed.shadow { ", in shadow" } else { "" };
        let every = time_left(feed.every.as_secs());
        println!(
            "feed {:<14} {}, every {every}, {}{shadow}",
            feed.name, feed.source, feed.policy
        );
    }
    match config.metrics {
        Some(address) => println!("metrics             http://{address}/metrics"),
        None => println!("metrics             off"),
    }
    ExitCode::SUCCESS
}
