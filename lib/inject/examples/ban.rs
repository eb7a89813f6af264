//! Bans the addresses that standard input names, one a line, for an hour each: `ban SOCKET TOKEN_FILE STATE_FILE`.

use std::{env, error::Error, io, net::IpAddr, path::PathBuf, time::Duration};

use couic_inject::{Config, Injector, Limits, Pending, Rule};

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [socket, token_file, state] = paths.as_slice() else {
        return Err("usage: ban SOCKET TOKEN_FILE STATE_FILE".into());
    };
    let limits = Limits::default();
    // The daemon need not be there yet: what is banned waits for it.
    let injector = Injector::start(Config::unix(socket, token_file), limits)?;
    // What a former run could not send comes first.
    injector.restore(Pending::load(state, limits)?.pending);

    for line in io::stdin().lines() {
        let address: IpAddr = line?.trim().parse()?;
        injector.ban(Rule {
            cidr: address.into(),
            tag: "example".to_owned(),
            until: couic_common::unix_seconds() + 3_600,
            kind: "example".to_owned(),
            detail: "named on standard input".to_owned(),
            extra: serde_json::Map::new(),
        });
    }

    // Sends what waits for up to five seconds, and keeps the rest for the next run.
    let rest = injector.stop(Duration::from_secs(5));
    println!("{} not sent yet", rest.len());
    rest.save(state)?;
    Ok(())
}
