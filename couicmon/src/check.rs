//! `couicmon --check-config`: what a valid configuration does, in a few lines.

use std::{path::Path, process::ExitCode};

use couic_common::time_left;
use couic_tail::Source;

use crate::config::Config;

/// Prints it.
pub(crate) fn print(path: &Path, config: &Config) -> ExitCode {
    for warning in config.warnings() {
        eprintln!("warning: {warning}");
    }
    if let Err(error) = std::fs::File::open(&config.token_file) {
        let file = config.token_file.display();
        eprintln!(
            "note: {file}: {error}: the token of the daemon's client has to be there, readable by couicmon's user"
        );
    }
    println!("{}: valid", path.display());
    for source in &config.sources {
        let input = match &source.input {
            Source::File { patterns } => format!("file {}", patterns.join(", ")),
            Source::Journal { matches } => format!("journal {}", matches.join(" ")),
            Source::Udp(address) => format!("udp {address}"),
            Source::Unix(path) => format!("unix {}", path.display()),
            Source::Stdin => "standard input".to_owned(),
        };
        println!("source {:<12} {input}", source.name);
    }
    for jail in &config.detect.jails {
        let (of, rate) = (jail.sources.join(", "), &jail.rate);
        let ban = time_left(jail.ban.as_secs());
        let shadow = if jail.shadow {
            ", shadow: bans nobody"
        } else {
            ""
        };
        println!("jail   {:<12} {rate} of {of}: {ban}{shadow}", jail.name);
    }
    match config.metrics {
        Some(address) => println!("metrics             http://{address}/metrics"),
        None => println!("metrics             off"),
    }
    ExitCode::SUCCESS
}
