//! For plugin authors: checks a plugin as Couic does, and delivers a sample through it, without a firewall.

use std::{env, path::PathBuf, process::ExitCode};

use couic_build_info::{LONG_VERSION, VERSION};
use couic_plugin_api::{Digest, Kind, Notice, Notification, Notifier, Severity, Summary, TagCount};
use couic_plugin_host::{
    ChildCommand, Isolation, Loader, NotifierConfig, PluginFile, run_if_child,
};

const USAGE: &str = "\
couic-plugin check FILE                            checks it as Couic does, without running its code
couic-plugin send FILE CONFIG [KIND] [--loaded]    starts it with CONFIG (JSON) and delivers a sample
                                                   KIND: test (default), summary, reports, digest, notice
                                                   --loaded: in this process instead of one of its own
couic-plugin --version                             the version, with commit, date and target";

fn main() -> ExitCode {
    run_if_child();
    let mut args: Vec<String> = env::args().skip(1).collect();
    let loaded = args.iter().any(|arg| arg == "--loaded");
    args.retain(|arg| arg != "--loaded");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args[..] {
        ["check", file] => check(file),
        ["send", file, config] => send(file, config, "test", loaded),
        ["send", file, config, kind] => send(file, config, kind, loaded),
        ["--version"] => Ok(format!("couic-plugin {LONG_VERSION}")),
        ["-V"] => Ok(format!("couic-plugin {VERSION}")),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn absolute(file: &str) -> Result<PathBuf> {
    Ok(std::path::absolute(file)?)
}

fn check(file: &str) -> Result<String> {
    let file = PluginFile::check(&absolute(file)?, None)?;
    let head = file.head();
    Ok(format!(
        "{}: a plugin for ABI {}.{}\nsha256 = \"{}\"",
        file.path().display(),
        head.abi_major,
        head.abi_minor,
        file.sha256(),
    ))
}

fn send(file: &str, config: &str, kind: &str, loaded: bool) -> Result<String> {
    let path = absolute(file)?;
    let path = path.to_str().ok_or("the path is not UTF-8")?;
    let mut config = NotifierConfig::new(path, serde_json::from_str(config)?);
    config.isolated = !loaded;
    let sample = Notification::new(sample(kind)?, Severity::Orange, "couic-plugin");
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build()?;
    runtime.block_on(async {
        let isolation = Isolation::new(ChildCommand::itself());
        let notifier = Loader::new("/", isolation).open(&config).await?;
        let receipt = notifier.notify(&sample).await?;
        let status = receipt
            .http_status
            .map_or_else(String::new, |status| format!(", HTTP {status}"));
        Ok(format!("delivered by {}{status}", notifier.plugin()))
    })
}

fn sample(kind: &str) -> Result<Kind> {
    let top_tags = vec![
        TagCount {
            tag: "ssh".to_owned(),
            count: 30,
        },
        TagCount {
            tag: "smtp".to_owned(),
            count: 11,
        },
    ];
    Ok(match kind {
        "test" => Kind::Test,
        "summary" => Kind::Summary(Summary {
            from: 1_700_000_000,
            until: 1_700_000_900,
            total: 42,
            distinct_cidrs: 40,
            top_tags,
            ..Summary::default()
        }),
        "digest" => Kind::Digest(Digest {
            from: 1_700_000_000,
            until: 1_700_000_900,
            merged: 3,
            added: 42,
            removed: 7,
            top_tags,
        }),
        "notice" => Kind::Notice(Notice {
            code: "sample".to_owned(),
            message: "This is a message about Couic itself.".to_owned(),
        }),
        "reports" => Kind::Reports(serde_json::from_str(
            r#"[{"action":"add","policy":"drop","timestamp":1700000000,"metadata":{"kind":"sample","detail":"from couic-plugin"},
                "entry":{"creation":1700000000,"cidr":"192.0.2.0/24","tag":"ssh","expiration":0}}]"#,
        )?),
        other => return Err(format!("there is no sample of kind {other}").into()),
    })
}
