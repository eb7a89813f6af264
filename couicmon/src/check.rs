//! `couicmon --check-config`: what a valid configuration does, in a few lines.

use std::{path::Path, process::ExitCode};

use couic_tail::Source;

use crate::config::Config;

/// Prints it.
pub(crate) fn print(path: &Path, config: &Config) -> ExitCode {
    for warning in config.warnings() {
        eprintln!("warning: {warning}");
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
        let ban = humantime::format_duration(jail.ban);
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
