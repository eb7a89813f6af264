//! Bans from a Rust program, with couic-client.
//!
//! `program ban CIDR SECONDS REASON | batch SECONDS < LIST | list | why ADDRESS | unban CIDR | follow`
//!
//! The token is in a file: `couicctl clients add -n example -g clientrw --policy drop --tag example --token-file FILE`

use std::{env, error::Error, io, time::Duration};

use couic_client::{
    Client, ClientError, Event, EventsQuery, ListQuery, Release, Token,
    common::{BatchJob, BatchRule, EntryRequest, Metadata, PeerAction, Policy, RuleOwner},
};
use futures_util::{TryStreamExt, stream};

const TAG: &str = "example";

type Done = Result<(), Box<dyn Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Done {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let couic = connect()?;
    match args[..] {
        ["ban", cidr, seconds, reason] => ban(&couic, cidr, seconds.parse()?, reason).await,
        ["batch", seconds] => batch(&couic, seconds.parse()?).await,
        ["list"] => list(&couic).await,
        ["why", address] => why(&couic, address).await,
        ["unban", cidr] => unban(&couic, cidr).await,
        ["follow"] => follow(&couic).await,
        _ => Err("ban CIDR SECONDS REASON | batch SECONDS < LIST | list | why ADDRESS | unban CIDR | follow".into()),
    }
}

fn connect() -> Result<Client, Box<dyn Error>> {
    let setting = |name, otherwise: &str| env::var(name).unwrap_or_else(|_| otherwise.to_owned());
    let file = setting("COUIC_TOKEN_FILE", "/etc/example/couic.token");
    let token: Token = std::fs::read_to_string(file)?.trim().parse()?;
    let socket = setting("COUIC_SOCKET", "/var/run/couic/couic.sock");
    Ok(Client::unix(socket, token)?)
}

/// Calls again if the daemon has too much to do (503), or this client adds too much a minute (429).
async fn patiently<T>(
    couic: &Client,
    call: impl AsyncFn() -> Result<T, ClientError>,
) -> Result<T, ClientError> {
    for _ in 0..4 {
        match call().await {
            Err(ClientError::Refused {
                status: 429 | 503, ..
            }) => {
                let wait = couic.retry_after().unwrap_or(Duration::from_secs(1));
                tokio::time::sleep(wait).await;
            }
            other => return other,
        }
    }
    call().await
}

/// Bans a network for some time. One that is banned already (409) is no failure.
async fn ban(couic: &Client, cidr: &str, seconds: u64, reason: &str) -> Done {
    let request = EntryRequest {
        cidr: cidr.to_owned(),
        ttl: Some(seconds),
        expiration: 0,
        tag: Some(TAG.to_owned()),
        metadata: Some(Metadata {
            kind: "example".to_owned(),
            detail: reason.to_owned(),
            extra: None,
        }),
        force: false,
        guard: None,
        longer: false,
    };
    match patiently(couic, async || couic.add(Policy::Drop, &request).await).await {
        Ok(entry) => println!("{} is dropped", entry.cidr),
        Err(ClientError::Refused { status: 409, .. }) => println!("{cidr} is there already"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Bans or renews what standard input lists: one request for any number of networks.
async fn batch(couic: &Client, seconds: u64) -> Done {
    let job = |line: String| BatchJob {
        action: PeerAction::Add,
        entry: BatchRule {
            cidr: line.trim().to_owned(),
            ttl: Some(seconds),
            expiration: 0,
            tag: Some(TAG.to_owned()),
            metadata: None,
            force: false,
            guard: None,
            longer: false,
        },
    };
    let lines: Vec<String> = io::stdin().lines().collect::<Result<_, _>>()?;
    let jobs: Vec<_> = lines
        .into_iter()
        .filter(|line| !line.trim().is_empty())
        .map(job)
        .collect();
    let send = async || {
        couic
            .batch_stream(Policy::Drop, stream::iter(jobs.clone()))
            .await
    };
    let outcome = patiently(couic, send).await?;
    println!(
        "{} added, {} updated, {} failed",
        outcome.added, outcome.updated, outcome.failed
    );
    for failure in outcome.failures {
        println!("{}: {}", failure.cidr.unwrap_or_default(), failure.message);
    }
    Ok(())
}

/// Lists the rules of this program, each as it arrives.
async fn list(couic: &Client) -> Done {
    let query = ListQuery {
        tag: Some(TAG.to_owned()),
        ..ListQuery::default()
    };
    let mut entries = couic.stream_entries(Policy::Drop, &query).await?;
    while let Some(entry) = entries.try_next().await? {
        println!("{}", entry.cidr);
    }
    Ok(())
}

/// The verdict for an address, and the rule that decides.
async fn why(couic: &Client, address: &str) -> Done {
    let lookup = couic.lookup(address.parse()?).await?;
    let verdict = serde_json::to_value(lookup.verdict)?;
    let verdict = verdict.as_str().unwrap_or_default();
    match lookup.decided_by {
        Some(rule) => println!("{verdict}: {} {}", rule.policy, rule.entry.cidr),
        None => println!("{verdict}"),
    }
    Ok(())
}

/// Releases this program's claim. Others may hold the rule, too.
async fn unban(couic: &Client, cidr: &str) -> Done {
    let which = Release {
        tag: Some(TAG.to_owned()),
        ..Release::default()
    };
    match couic.release(Policy::Drop, cidr.parse()?, &which).await {
        Ok(held) if held.is_empty() => println!("{cidr} is released"),
        Ok(held) => println!("{cidr} is still held: {}", RuleOwner::list(&held, 0)),
        Err(ClientError::Refused { status: 404, .. }) => println!("{cidr} is not there"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Prints changes as they happen, over restarts of the daemon.
async fn follow(couic: &Client) -> Done {
    let query = EventsQuery {
        tag: Some(TAG.to_owned()),
        ..EventsQuery::default()
    };
    let mut events = couic.events(query).await?;
    loop {
        match events.next().await {
            Ok(Some(Event::Change(change))) => {
                println!(
                    "{} {} {}",
                    change.action.as_str(),
                    change.policy,
                    change.cidr
                );
            }
            Ok(Some(Event::Gap(_))) => println!("some changes were missed: read the list again"),
            Ok(None) => return Ok(()),
            Err(error @ ClientError::Refused { .. }) => return Err(error.into()),
            // The daemon restarts; the stream goes on behind the last event.
            Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
        }
    }
}
