//! Completion of names that only the daemon knows: clients, sets, tags, notifiers, peers, changes to confirm.
//!
//! A shell waits for this at each press of Tab, so the daemon has half a second. Without an answer there are no
//! candidates: never a message, which the shell would take for one.

use std::{env, ffi::OsStr, path::PathBuf, time::Duration};

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use couic_client::{Client, ClientError};
use couic_common::Policy;

use crate::{config, connect};

const TIMEOUT: Duration = Duration::from_millis(500);

/// Names of clients.
pub(crate) fn clients() -> ArgValueCompleter {
    names(async |client| {
        let all = client.clients().await?;
        Ok(all.iter().map(|c| c.name.to_string()).collect())
    })
}

/// Names of sets, of the policy on the command line.
pub(crate) fn sets() -> ArgValueCompleter {
    names(async |client| {
        let mut all = Vec::new();
        for policy in policies() {
            let sets = client.sets(policy).await?;
            all.extend(sets.iter().map(|set| set.name.to_string()));
        }
        Ok(all)
    })
}

/// Tags of rules, of the policy on the command line.
pub(crate) fn tags() -> ArgValueCompleter {
    names(async |client| {
        let mut all = Vec::new();
        for policy in policies() {
            all.extend(client.tag_stats(policy).await?.tags.into_keys());
        }
        Ok(all)
    })
}

/// Names of notifiers.
pub(crate) fn notifiers() -> ArgValueCompleter {
    names(async |client| {
        let all = client.notifiers().await?;
        Ok(all.iter().map(|n| n.name.to_string()).collect())
    })
}

/// Names of peers.
pub(crate) fn peers() -> ArgValueCompleter {
    names(async |client| {
        let all = client.peers().await?;
        Ok(all.iter().map(|p| p.name.to_string()).collect())
    })
}

/// Changes that await confirmation.
pub(crate) fn confirmations() -> ArgValueCompleter {
    names(async |client| {
        let all = client.confirmations().await?;
        Ok(all.pending.iter().map(|c| c.id.to_string()).collect())
    })
}

fn names<F>(ask: F) -> ArgValueCompleter
where
    F: AsyncFn(Client) -> Result<Vec<String>, ClientError> + Send + Sync + 'static,
{
    ArgValueCompleter::new(move |current: &OsStr| {
        let all = asked(&ask).unwrap_or_default();
        beginning(all, &current.to_string_lossy())
    })
}

/// Those that go on from what is typed, each once and in order.
fn beginning(mut all: Vec<String>, typed: &str) -> Vec<CompletionCandidate> {
    all.sort_unstable();
    all.dedup();
    all.retain(|name| name.starts_with(typed));
    all.into_iter().map(CompletionCandidate::new).collect()
}

fn asked<F>(ask: &F) -> Option<Vec<String>>
where
    F: AsyncFn(Client) -> Result<Vec<String>, ClientError>,
{
    let settings = config::load(config_file(words()).as_deref()).ok()?;
    let client = connect::within(&settings, TIMEOUT).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().ok()?;
    runtime.block_on(async {
        let answer = tokio::time::timeout(TIMEOUT, ask(client)).await;
        answer.ok()?.ok()
    })
}

/// The command line that is completed: the shell passes it after `--`.
fn words() -> impl Iterator<Item = String> {
    let all = env::args_os().skip_while(|arg| arg != "--").skip(2);
    all.map(|word| word.to_string_lossy().into_owned())
}

fn config_file(words: impl Iterator<Item = String>) -> Option<PathBuf> {
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        if word == "-c" || word == "--config" {
            return words.next().map(PathBuf::from);
        }
        if let Some(file) = word.strip_prefix("--config=") {
            return Some(file.into());
        }
    }
    None
}

/// Those that the command line names; both if it names none.
fn policies() -> Vec<Policy> {
    named(words())
}

fn named(words: impl Iterator<Item = String>) -> Vec<Policy> {
    let policy = |word: String| match word.as_str() {
        "ban" | "unban" => Some(Policy::Drop),
        other => other.parse().ok(),
    };
    let found: Vec<Policy> = words.filter_map(policy).take(1).collect();
    if found.is_empty() {
        Policy::ALL.to_vec()
    } else {
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &str) -> impl Iterator<Item = String> {
        line.split(' ').map(str::to_owned)
    }

    #[test]
    fn the_command_line_names_the_file_and_the_policy() {
        assert_eq!(config_file(typed("-c a sets")), Some("a".into()));
        assert_eq!(config_file(typed("sets --config=b")), Some("b".into()));
        assert_eq!(config_file(typed("sets inspect")), None);
        assert_eq!(named(typed("sets inspect ignore x")), [Policy::Ignore]);
        assert_eq!(named(typed("unban -t")), [Policy::Drop]);
        assert_eq!(named(typed("sets inspect")), Policy::ALL);
    }

    #[test]
    fn candidates_go_on_from_what_is_typed() {
        let all = ["sshd", "smtp", "web", "smtp"].map(str::to_owned).to_vec();
        let candidates = beginning(all, "s");
        let values: Vec<_> = candidates
            .iter()
            .map(CompletionCandidate::get_value)
            .collect();
        assert_eq!(values, ["smtp", "sshd"]);
    }
}
