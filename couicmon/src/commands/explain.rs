//! `couicmon explain`: what a line says, and what each jail makes of it.

use std::{
    borrow::Cow,
    io::{self, Write},
    net::IpAddr,
    os::unix::ffi::OsStrExt,
    path::Path,
    process::ExitCode,
};

use couic_detect::{Client, Detector, Event, FORMATS, Format, Login, Verdict};
use serde_json::{Map, Value, json};

use super::{
    Failure,
    reading::{self, Candidate, fit},
};
use crate::{
    args::Explain,
    config::{ClientFrom, Config},
    local_time,
    run::{Judge, clock_ms},
};

/// What a source makes of the line.
struct Told {
    source: Option<String>,
    format: String,
    fields: Vec<(&'static str, String)>,
    client: (Option<IpAddr>, String),
    verdicts: Vec<Verdict>,
}

pub(super) fn run(args: &Explain, path: &Path, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let line = args.line.as_bytes();
    let given = args.reading.source.is_some() || !args.reading.presets.is_empty();
    // Without a configuration, fields can be shown.
    let config = match reading::config(&args.reading, path) {
        Err(_) if !given && !path.exists() => None,
        result => Some(result?),
    };
    let mut told = match &config {
        Some(config) => by_sources(args, config, line)?,
        None => Vec::new(),
    };
    if told.is_empty() {
        told.extend(by_formats(args.reading.format.as_deref(), line)?);
    }
    if args.json {
        let all: Vec<Value> = told.iter().map(as_json).collect();
        writeln!(out, "{:#}", Value::from(all))?;
    } else {
        for told in &told {
            as_text(told, out)?;
        }
    }
    if told.is_empty() {
        return Err(Failure::Failed(nothing(config.as_ref(), line)));
    }
    Ok(ExitCode::SUCCESS)
}

/// The sources that can read the line, if several fit equally well; the formats without fields only if no other does.
fn by_sources(args: &Explain, config: &Config, line: &[u8]) -> Result<Vec<Told>, Failure> {
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
    let fitting = candidates
        .into_iter()
        .zip(fits)
        .filter(|(_, fit)| *fit == best && best > 0);
    Ok(fitting
        .filter_map(|(candidate, _)| explained(&detector, candidate, line))
        .collect())
}

fn explained(detector: &Detector, candidate: Candidate<'_>, line: &[u8]) -> Option<Told> {
    let Candidate {
        source,
        mut format,
        format_name,
    } = candidate;
    let event = format.parse(line).ok()?;
    let judge = Judge::of(source, None);
    let client = judge.as_ref().and_then(|judge| judge.client(&event));
    let why = match (&judge, client, source.client_from) {
        (None, ..) => {
            "nobody is judged before its feeds of trusted proxies are known; they are the daemon's"
                .into()
        }
        (_, Some(Client::Proxy(_)), _) => "only trusted proxies are named: nobody is judged".into(),
        (_, Some(Client::Known(addr)), _) if Some(addr) == event.peer => {
            "the other end of the connection".into()
        }
        (_, Some(Client::Known(_)), _) => "named in X-Forwarded-For by trusted proxies".to_owned(),
        (_, None, ClientFrom::Peer | ClientFrom::Forwarded) => {
            "the format has none: the <HOST> of a regex gives it".into()
        }
    };
    let addr = client.map(|client| match client {
        Client::Known(addr) | Client::Proxy(addr) => addr,
    });
    let verdicts = detector
        .source(&source.name)
        .map(|id| detector.explain(id, &event, client));
    Some(Told {
        source: Some(source.name.clone()),
        format: format_name,
        fields: fields(&event),
        client: (addr, why),
        verdicts: verdicts.unwrap_or_default(),
    })
}

/// The format of that name, or all that fit best.
fn by_formats(name: Option<&str>, line: &[u8]) -> Result<Vec<Told>, Failure> {
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
        .filter(|(_, fit)| *fit == best && best > 0);
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
fn nothing(config: Option<&Config>, line: &[u8]) -> String {
    let mut reasons = Vec::new();
    let sources = config.into_iter().flat_map(|config| &config.sources);
    let sources = sources.map(|source| (format!("source {}", source.name), source.format.clone()));
    let formats = FORMATS
        .iter()
        .filter_map(|name| Some((format!("format {name}"), Format::named(name)?)));
    for (name, mut format) in sources.chain(formats) {
        if let Err(why) = format.parse(line) {
            reasons.push(format!("  {name}: {why}"));
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
