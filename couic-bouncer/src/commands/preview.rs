//! `couic-bouncer feeds preview`: what feeds would bring, fetched and judged here, without the daemon.

use std::{io, io::Write, path::Path, process::ExitCode};

use couic_common::counted;
use couic_feeds::{FeedConfig, FeedUrl, PRESETS, Preview, preview};
use tokio::runtime::Builder;

use super::Failure;
use crate::{
    config::Config,
    run::{confine_command, settings},
};

/// Of what is named, or of all feeds of the configuration. Exits with 1 if one of them has no preview, or a list that would
/// be refused or held back.
pub(super) fn run(
    config: &Path,
    what: &[String],
    json: bool,
    out: &mut dyn Write,
) -> Result<ExitCode, Failure> {
    let config = match Config::load(config) {
        Ok(config) => config,
        // What is named may be a preset or a URL, without any configuration.
        Err(_) if !what.is_empty() => Config::empty(),
        Err(mistakes) => return Err(Failure::Usage(mistakes.to_string())),
    };
    let feeds = match what {
        [] => config.feeds.clone(),
        what => named(what, &config.feeds)?,
    };
    if feeds.is_empty() {
        return Err(Failure::Usage(
            "the configuration has no feeds: name a preset, or a URL".to_owned(),
        ));
    }
    // What is fetched is anybody's: it is read with as little rights as the service has.
    confine_command(&config).map_err(|error| Failure::Failed(error.to_string()))?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let settings = settings(&config);
    let mut code = ExitCode::SUCCESS;
    for feed in &feeds {
        match runtime.block_on(preview(feed, &settings)) {
            Ok(found) => {
                if found.held.is_some() || found.refused.is_some() {
                    code = ExitCode::FAILURE;
                }
                told(&found, json, out)?;
            }
            Err(error) => {
                eprintln!("feed {}: {error}", feed.name);
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn told(found: &Preview, json: bool, out: &mut dyn Write) -> io::Result<()> {
    if !json {
        return show(found, out);
    }
    let text = serde_json::to_string(found).map_err(io::Error::other)?;
    writeln!(out, "{text}")
}

/// Feeds of the configuration, presets and URLs.
fn named(what: &[String], configured: &[FeedConfig]) -> Result<Vec<FeedConfig>, Failure> {
    let one = |text: &String| {
        if let Some(feed) = configured.iter().find(|feed| feed.name == *text) {
            return Ok(feed.clone());
        }
        if PRESETS.iter().any(|preset| preset.name == text) {
            return Ok(FeedConfig {
                name: text.clone(),
                preset: Some(text.clone()),
                ..FeedConfig::default()
            });
        }
        if text.contains("://") {
            return Ok(FeedConfig {
                name: "preview".to_owned(),
                url: Some(FeedUrl(text.clone())),
                // It is looked at, not taken; a feed needs the key.
                allow_http: Some(true),
                ..FeedConfig::default()
            });
        }
        let presets: Vec<&str> = PRESETS.iter().map(|preset| preset.name).collect();
        Err(Failure::Usage(format!(
            "{text:?} is neither a feed of the configuration, nor a URL, nor one of the presets {}",
            presets.join(", ")
        )))
    };
    what.iter().map(one).collect()
}

fn show(found: &Preview, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "feed {} from {}", found.name, found.source)?;
    writeln!(
        out,
        "  {}, {} in {}: {}, {} IPv6 /64",
        counted(found.entries, "entry", "entries"),
        counted(found.networks, "network", "networks"),
        found.policy,
        counted(found.v4_addresses, "IPv4 address", "IPv4 addresses"),
        found.v6_subnets
    )?;
    let dropped = found.dropped.told();
    if !dropped.is_empty() {
        writeln!(out, "  left out: {dropped}")?;
    }
    if let Some(change) = &found.change {
        writeln!(
            out,
            "  since the last good list: {} lost, {} gained, {:.1} % at most",
            counted(change.lost, "network", "networks"),
            change.gained,
            change.share * 100.0
        )?;
    }
    let notes = [
        ("unreadable: ", &found.first_unreadable),
        ("would be HELD BACK: ", &found.held),
        ("would be REFUSED: ", &found.refused),
    ];
    for (what, why) in notes {
        if let Some(why) = why {
            writeln!(out, "  {what}{}", why.replace(char::is_control, " "))?;
        }
    }
    let sample: Vec<String> = found.sample.iter().map(ToString::to_string).collect();
    writeln!(out, "  such as {}", sample.join(" "))
}
