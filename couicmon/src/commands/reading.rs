//! What replay and explain read lines with: the configuration or presets, one of its sources, and a format.

use std::path::Path;

use couic_detect::{Event, Format};
use couic_settings::Part;

use super::Failure;
use crate::{
    args::Reading,
    config::{Config, Proxies, SourceConfig},
    presets,
    run::Judge,
};

/// The source of presets that read all sources, such as `scanners`.
const ANY_SOURCE: &str = "log";

/// The configuration of the arguments: presets, else the file.
pub(super) fn config(args: &Reading, path: &Path) -> Result<Config, Failure> {
    if args.presets.is_empty() {
        return Config::load(path).map_err(|mistakes| {
            let missing = if path.exists() {
                ""
            } else {
                "\nWithout a configuration, name presets, as in --preset nginx."
            };
            Failure::Usage(format!("{mistakes}{missing}"))
        });
    }
    let mut text = format!("presets = {:?}\n", args.presets);
    let known = args.presets.iter().filter_map(|name| presets::get(name));
    if !known.clone().any(|preset| preset.contains("\n[source.")) && known.count() > 0 {
        let format = args.format.as_deref().unwrap_or("combined");
        let source = args.source.as_deref().unwrap_or(ANY_SOURCE);
        text += &format!("[source.{source:?}]\nstdin = true\nformat = {format:?}\n");
    }
    let part = Part {
        path: "--preset".into(),
        text,
    };
    Config::of(&[part]).map_err(|mistakes| Failure::Usage(mistakes.to_string()))
}

/// A source with the format that its lines are read with.
#[derive(Clone)]
pub(super) struct Candidate<'c> {
    pub(super) source: &'c SourceConfig,
    pub(super) format: Format,
    /// Of the source, or as the user named it.
    pub(super) format_name: String,
}

/// The sources whose lines these may be.
pub(super) fn candidates<'c>(
    args: &Reading,
    config: &'c Config,
) -> Result<Vec<Candidate<'c>>, Failure> {
    let named =
        |source: &&SourceConfig| args.source.as_ref().is_none_or(|name| *name == source.name);
    let sources: Vec<&SourceConfig> = config.sources.iter().filter(named).collect();
    let names = || {
        config
            .sources
            .iter()
            .map(|s| s.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    if sources.is_empty() {
        let name = args.source.as_deref().unwrap_or_default();
        return Err(Failure::Usage(format!(
            "there is no source {name:?}; there are: {}",
            names()
        )));
    }
    let Some(name) = &args.format else {
        let of = |source: &'c SourceConfig| Candidate {
            source,
            format: source.format.clone(),
            format_name: source.format_text.clone(),
        };
        return Ok(sources.into_iter().map(of).collect());
    };
    let format = format(name)?;
    match sources.as_slice() {
        [source] => Ok(vec![Candidate {
            source,
            format,
            format_name: name.clone(),
        }]),
        _ => Err(Failure::Usage(format!(
            "--format needs --source: name one of {}",
            names()
        ))),
    }
}

/// Who the client is, by the networks that the configuration names: only the running couicmon knows the sets of the daemon.
pub(super) fn judge(source: &SourceConfig) -> Option<Judge> {
    let mut known = source.clone();
    known
        .proxies
        .retain(|proxies| !matches!(proxies, Proxies::Feed(_)));
    Judge::of(&known, None)
}

/// `feed:NAME` of each set that a source trusts; None without any.
pub(super) fn feeds(source: &SourceConfig) -> Option<String> {
    let feeds: Vec<String> = source.feeds().map(|name| format!("feed:{name}")).collect();
    (!feeds.is_empty()).then(|| feeds.join(", "))
}

/// A format by its name, or the layout of nginx's log_format.
pub(super) fn format(name: &str) -> Result<Format, Failure> {
    if name.contains('$') {
        return Format::fields(name).map_err(|e| Failure::Usage(format!("--format: {e}")));
    }
    Format::named(name).ok_or_else(|| {
        let known = couic_detect::FORMATS.join(", ");
        Failure::Usage(format!(
            "--format {name:?} is none of: {known}; or give nginx's log_format, as in '$remote_addr [$time_local] \"$request\" $status'"
        ))
    })
}

/// How well a line fits a format: the client's address counts most, and formats without fields take any line.
pub(super) fn fit(format: &mut Format, line: &[u8]) -> u32 {
    match format.parse(line) {
        Ok(Event { peer: Some(_), .. }) => 4,
        Ok(Event {
            time_ms: Some(_), ..
        }) => 2,
        Ok(_) => 1,
        Err(couic_detect::Unparsed::Irrelevant | couic_detect::Unparsed::NoAddress) => 1,
        Err(_) => 0,
    }
}
