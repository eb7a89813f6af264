//! The commands of the command line.

use std::{fs, os::unix::fs::MetadataExt, path::Path, process::ExitCode, time::Duration};

use couic_report::{config::Config, notify, page};
use uuid::Uuid;

/// How long pending deliveries may take.
const DRAIN: Duration = Duration::from_secs(2);

/// The secret of the example configuration, which everybody knows.
const EXAMPLE_SECRET: Uuid = Uuid::from_u128(0x550e_8400_e29b_41d4_a716_4466_5544_0000);

/// What is valid and yet no secret: anyone could send reports, or read the tokens.
pub(crate) fn warnings(path: &Path, config: &Config) -> Vec<String> {
    const READ_OTHERS: u32 = 0o004;
    let shown = path.display();
    let mut warnings = Vec::new();
    if *config.server.secret.expose() == EXAMPLE_SECRET {
        warnings.push(format!(
            "{shown}: server.secret is that of the example, so anyone can send reports: make one with uuidgen, and change it in the webhook of each Couic"
        ));
    }
    if fs::metadata(path).is_ok_and(|found| found.mode() & READ_OTHERS != 0) {
        warnings.push(format!(
            "any user on this machine can read the secrets in {shown}: run chmod o-r {shown}, and make sure that the user of couic-report can still read it"
        ));
    }
    warnings
}

/// Prints a summary of the configuration.
pub(crate) async fn check(path: &Path, config: &Config) -> ExitCode {
    let (dispatcher, failed) = match notify::start(config, None).await {
        Ok(started) => started,
        Err(error) => return refused(&error),
    };
    for failed in &failed {
        eprintln!("notifier {}: {}", failed.name, failed.reason);
    }
    if !failed.is_empty() {
        return ExitCode::FAILURE;
    }
    let names: Vec<String> = dispatcher
        .list()
        .iter()
        .map(|n| n.name.to_string())
        .collect();
    let names = match names.as_slice() {
        [] => "none configured".to_owned(),
        names => names.join(", "),
    };
    for warning in warnings(path, config) {
        eprintln!("warning: {warning}");
    }
    if let Some(Err(error)) = config.page.as_ref().map(page::check) {
        return refused(&error);
    }
    println!("{}: valid", path.display());
    println!("listens on  {}", config.server.addr);
    println!("interval    {} s", config.interval.as_secs());
    println!("notifiers   {names}");
    match &config.page {
        Some(page) => println!("page        {}", page.addr),
        None => println!("page        off"),
    }
    dispatcher.drain(DRAIN).await;
    ExitCode::SUCCESS
}

/// Sends a sample to every notifier. Nothing is spooled: a running service is not affected.
pub(crate) async fn test(config: &Config) -> ExitCode {
    let (dispatcher, failed) = match notify::start(config, None).await {
        Ok(started) => started,
        Err(error) => return refused(&error),
    };
    let list = dispatcher.list();
    if list.is_empty() {
        eprintln!("no notifier is configured: add [discord], [slack] or [[notifiers]]");
        return ExitCode::FAILURE;
    }
    let mut all_well = true;
    for name in list.into_iter().map(|n| n.name) {
        if let Some(failed) = failed.iter().find(|failed| failed.name == name.as_str()) {
            all_well = false;
            println!("{name}: not started: {}", failed.reason);
            continue;
        }
        match dispatcher.test(name.as_str()).await {
            Ok(receipt) => match receipt.http_status {
                Some(status) => println!("{name}: delivered (HTTP {status})"),
                None => println!("{name}: delivered"),
            },
            Err(error) => {
                all_well = false;
                println!("{name}: not delivered: {error}");
            }
        }
    }
    dispatcher.drain(DRAIN).await;
    if all_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn refused(error: &impl std::fmt::Display) -> ExitCode {
    eprintln!("couic-report: {error}");
    ExitCode::FAILURE
}
