//! `couicmon explain`: what a line says, and what each jail makes of it.

use std::{
    borrow::Cow,
    io::{self, Write},
    net::IpAddr,
    os::unix::ffi::OsStrExt,
    path::Path,
    process::ExitCode,
};

use couic_detect::{Client, Detector, Event, FORMATS, Format, Login, Unparsed, Verdict};
use serde_json::{Map, Value, json};

use super::{
    Failure,
    reading::{self, Candidate, fit},
};
use crate::{
    args::Explain,
    config::{Config, SourceConfig},
    local_time,
    run::clock_ms,
};

/// What a source makes of the line.
struct Told {
    source: Option<String>,
    format: String,
    fields: Vec<(&'static str, String)>,
    client: (Option<IpAddr>, String),
    verdicts: Vec<Verdict>,
}

/// A source of whose format the line is not.
struct Misfit {
    source: String,
    format: String,
    why: Unparsed,
}

pub(super) fn run(args: &Explain, path: &Path, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let line = args.line.as_bytes();
    let given = args.reading.source.is_some() || !args.reading.presets.is_empty();
    // Without a configuration, fields can be shown.
    let config = match reading::config(&args.reading, path) {
        Err(_) if !given && !path.exists() => None,
        result => Some(result?),
    };
    let (mut told, misfits) = match &config {
        Some(config) => by_sources(args, config, line)?,
        None => Default::default(),
    };
    if told.is_empty() {
        // Formats that take any line say nothing where a format was expected.
        let least = if misfits.is_empty() { 1 } else { 2 };
        told.extend(by_formats(args.reading.format.as_deref(), line, least)?);
    }
    if args.json {
        let misfits = misfits.iter().map(Misfit::as_json);
        let all: Vec<Value> = misfits.chain(told.iter().map(as_json)).collect();
        writeln!(out, "{:#}", Value::from(all))?;
    } else {
        for Misfit {
            source,
            format,
            why,
        } in &misfits
        {
            writeln!(out, "source {source}, format {format}: does not fit: {why}")?;
        }
        for told in &told {
            as_text(told, out)?;
        }
    }
    if !told.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    out.flush()?;
    Err(Failure::Failed(if misfits.is_empty() {
        nothing(line)
    } else {
        "no other format with fields fits it, either".to_owned()
    }))
}

/// The sources that can read the line, if several fit equally well; the formats without fields only if no other does. If
/// none can, why not.
fn by_sources(
    args: &Explain,
    config: &Config,
    line: &[u8],
) -> Result<(Vec<Told>, Vec<Misfit>), Failure> {
    let rules = config
        .rules()
        .ok_or_else(|| Failure::Usage("the jails are not valid".into()))?;
    let detector = Detector::new(rules, 0);
    let mut candidates = reading::candidates(&args.reading, config)?;
    let fits: Vec<u32> = candidates
        .iter_mut()
        .map(|c| fit(clocked(&mut c.format), line))
        .collect();
    let best = fits.iter().copied().max().unwrap_or(0);
    let (mut told, mut misfits) = (Vec::new(), Vec::new());
    for (candidate, fit) in candidates.into_iter().zip(fits) {
        let (source, format) = (candidate.source.name.clone(), candidate.format_name.clone());
        match explained(&detector, candidate, line) {
            Ok(one) if fit == best => told.push(one),
            Ok(_) => {}
            Err(why) => misfits.push(Misfit {
                source,
                format,
                why,
            }),
        }
    }
    if !told.is_empty() {
        misfits.clear();
    }
    Ok((told, misfits))
}

fn explained(detector: &Detector, candidate: Candidate<'_>, line: &[u8]) -> Result<Told, Unparsed> {
    let Candidate {
        source,
        mut format,
        format_name,
    } = candidate;
    let event = format.parse(line)?;
    let client = reading::judge(source).and_then(|judge| judge.client(&event));
    let why = client_why(source, client, &event);
    let addr = client.map(|client| match client {
        Client::Known(addr) | Client::Proxy(addr) => addr,
    });
    let verdicts = detector
        .source(&source.name)
        .map(|id| detector.explain(id, &event, client));
    Ok(Told {
        source: Some(source.name.clone()),
        format: format_name,
        fields: fields(&event),
        client: (addr, why),
        verdicts: verdicts.unwrap_or_default(),
    })
}

fn client_why(source: &SourceConfig, client: Option<Client>, event: &Event<'_>) -> String {
    let why = match client {
        Some(Client::Proxy(_)) => "only trusted proxies are named: nobody is judged",
        Some(Client::Known(addr)) if Some(addr) == event.peer => "the other end of the connection",
        Some(Client::Known(_)) => "named in X-Forwarded-For by trusted proxies",
        None => "the format has none: the <HOST> of a regex gives it",
    };
    match reading::feeds(source) {
        Some(feeds) if client.is_some() => format!(
            "{why}; of {feeds} only the running couicmon knows the networks: if they have this address, the client is another"
        ),
        _ => why.to_owned(),
    }
}

/// The format of that name, or all that fit best and as well as `least`.
fn by_formats(name: Option<&str>, line: &[u8], least: u32) -> Result<Vec<Told>, Failure> {
    let mut formats: Vec<(&str, Format)> = match name {
        Some(name) => vec![(name, reading::format(name)?)],
        None => FORMATS
            .iter()
            .filter_map(|name| Some((*name, Format::named(name)?)))
            .collect(),
    };
    let fits: Vec<u32> = formats
        .iter_mut()
        .map(|(_, format)| fit(clocked(format), line))
        .collect();
    let best = fits.iter().copied().max().unwrap_or(0);
    let fitting = formats
        .into_iter()
        .zip(fits)
        .filter(|(_, fit)| *fit == best && best >= least);
    let told = fitting.filter_map(|((name, mut format), _)| {
        let event = format.parse(line).ok()?;
        Some(Told {
            source: None,
            format: name.to_owned(),
            fields: fields(&event),
            client: (event.peer, "no source reads it".into()),
            verdicts: Vec::new(),
        })
    });
    // Of formats that begin alike, the one that says more.
    let told: Vec<Told> = told.collect();
    let most = told.iter().map(|told| told.fields.len()).max();
    Ok(told
        .into_iter()
        .filter(|told| Some(told.fields.len()) == most)
        .collect())
}

fn clocked(format: &mut Format) -> &mut Format {
    let now = clock_ms();
    format.set_clock(now, local_time::offset_s(now / 1_000));
    format
}

/// Why nothing could be told.
fn nothing(line: &[u8]) -> String {
    let mut reasons = Vec::new();
    for name in FORMATS {
        if let Some(Err(why)) = Format::named(name).map(|mut f| f.parse(line).map(drop)) {
            reasons.push(format!("  format {name}: {why}"));
        }
    }
    format!("no format fits this line:\n{}", reasons.join("\n"))
}

/// Those that the line has.
fn fields(event: &Event<'_>) -> Vec<(&'static str, String)> {
    let shown = |text: &[u8]| String::from_utf8_lossy(text).replace(char::is_control, "?");
    let time = event
        .time_ms
        .and_then(|ms| u64::try_from(ms).ok())
        .map(std::time::Duration::from_millis);
    let time = time.and_then(|since| std::time::UNIX_EPOCH.checked_add(since));
    let time = time.map(|time| humantime::format_rfc3339_millis(time).to_string());
    let login = event.login.map(|login| match login {
        Login::Accepted => "accepted",
        Login::Failed => "failed",
        Login::Abandoned => "abandoned",
    });
    let status = if event.status == 0 {
        String::new()
    } else {
        event.status.to_string()
    };
    let all = [
        ("time", time.unwrap_or_default()),
        (
            "peer",
            event.peer.map(|peer| peer.to_string()).unwrap_or_default(),
        ),
        ("forwarded", shown(&event.forwarded)),
        ("method", shown(event.method)),
        ("path", shown(&event.path)),
        ("query", shown(&event.query)),
        ("status", status),
        ("host", shown(&event.host)),
        ("agent", shown(&event.agent)),
        ("user", shown(&event.user)),
        ("login", login.unwrap_or_default().to_owned()),
        ("message", shown(&event.message)),
    ];
    all.into_iter()
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

fn as_text(told: &Told, out: &mut dyn Write) -> io::Result<()> {
    let source = told.source.as_ref().map_or(Cow::from("no source"), |name| {
        format!("source {name}").into()
    });
    writeln!(out, "{source}, format {}", told.format)?;
    for (name, text) in &told.fields {
        writeln!(out, "  {name:<10} {text}")?;
    }
    let (addr, why) = &told.client;
    let addr = addr.map_or("unknown".into(), |addr| addr.to_string());
    writeln!(out, "  client     {addr}: {why}")?;
    for verdict in &told.verdicts {
        let (hit, why) = match verdict.why.strip_prefix("a hit; ") {
            Some(why) => ("hit", why),
            None => (if verdict.hit { "hit" } else { "no" }, verdict.why.as_str()),
        };
        let of = verdict.addr.filter(|of| told.client.0 != Some(*of));
        let of = of.map(|of| format!(" of {of}")).unwrap_or_default();
        writeln!(out, "  jail {:<14} {hit}{of}: {why}", verdict.jail)?;
    }
    Ok(())
}

impl Misfit {
    fn as_json(&self) -> Value {
        json!({
            "source": self.source,
            "format": self.format,
            "does_not_fit": self.why.to_string(),
        })
    }
}

fn as_json(told: &Told) -> Value {
    let fields = told
        .fields
        .iter()
        .map(|(name, text)| ((*name).to_owned(), text.as_str().into()));
    let jails = told.verdicts.iter().map(|verdict| {
        json!({
            "jail": &*verdict.jail,
            "hit": verdict.hit,
            "address": verdict.addr,
            "why": verdict.why,
        })
    });
    json!({
        "source": told.source,
        "format": told.format,
        "fields": fields.collect::<Map<_, _>>(),
        "client": told.client.0,
        "client_why": told.client.1,
        "jails": jails.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    const CONFIG: &str = r#"
[source.web]
file = "/var/log/nginx/access.log"
format = "nginx-main"
trusted_proxies = "feed:cloudflare"
client_from = "x-forwarded-for"
[jail.flood]
source = "web"
rate = "50 per 50s"
"#;

    /// Whether it succeeds, and what it prints.
    fn explain(words: &[&str], line: &str) -> (bool, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("couicmon.toml");
        fs::write(&path, CONFIG).unwrap();
        let words = ["couicmon", "explain"].iter().chain(words);
        let cli = Cli::try_parse_from(words.copied().chain([line])).unwrap();
        let Some(Command::Explain(args)) = cli.command else {
            panic!("no explain");
        };
        let mut out = Vec::new();
        let done = run(&args, &path, &mut out);
        (done.is_ok(), String::from_utf8(out).unwrap())
    }

    #[test]
    fn sources_that_a_line_does_not_fit_are_told_with_the_reason() {
        for (words, told) in [
            (
                &["--preset", "nginx"][..],
                "source nginx, format combined: does not fit: the line is not of this format",
            ),
            (
                &["--source", "web"],
                "source web, format nginx-main: does not fit: ",
            ),
        ] {
            let (fine, text) = explain(words, "foo bar");
            assert!(!fine && text.starts_with(told), "{text}");
            assert!(!text.contains("no source"), "{text}");
        }
        let (_, text) = explain(&["--json", "--source", "web"], "foo bar");
        let all: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(all[0]["does_not_fit"], "the line is not of this format");
    }

    #[test]
    fn a_set_that_only_the_service_knows_is_told_beside_the_peer() {
        let line = r#"192.0.2.1 - - [01/Dec/2026:06:25:01 +0000] "GET / HTTP/1.1" 200 1 "-" "x" "198.51.100.7""#;
        let (fine, text) = explain(&[], line);
        let told = "client     192.0.2.1: the other end of the connection; of feed:cloudflare only the running couicmon";
        assert!(fine && text.contains(told), "{text}");
        assert!(text.contains("jail flood          hit"), "{text}");
    }
}
