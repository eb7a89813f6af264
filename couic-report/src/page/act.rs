//! Changes: ban, unban, allow for an hour, confirm, undo.
//!
//! Every change asks the daemon to undo it after [`WITHIN`] unless it is confirmed, and to refuse what would cut off the
//! viewer. Who did it is in the log here, and in the reason that the daemon keeps.

use std::{borrow::Cow, net::IpAddr};

use couic_client::{Client, ClientError, Release};
use couic_common::{Cidr, ConfirmId, EntryRequest, GuardRequest, Metadata, Policy, unix_seconds};
use tracing::{info, warn};

use super::{
    access::User,
    daemon::{Daemon, in_words},
    form::{self, Form},
};

/// Seconds until a change that was not confirmed is undone.
pub(super) const WITHIN: u64 = 60;

/// How long `allow` lets an address pass.
const HOUR: u64 = 3600;

/// The tag of rules that the page adds.
pub(super) const TAG: &str = "couic-report";

/// The kind in the metadata of rules that the page adds.
const KIND: &str = "couic-report";

/// The longest reason that is taken from a form, in characters.
const LONGEST_REASON: usize = 200;

/// How long a ban may last: the values of the form, in seconds, with their names. 0 is without end.
pub(super) const LASTS: [(u64, &str); 5] = [
    (HOUR, "1 hour"),
    (24 * HOUR, "1 day"),
    (7 * 24 * HOUR, "7 days"),
    (30 * 24 * HOUR, "30 days"),
    (0, "without end"),
];

/// A change that a form asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Ban,
    Unban,
    Allow,
    Confirm,
    Undo,
}

impl Action {
    /// By the last segment of its path.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "ban" => Self::Ban,
            "unban" => Self::Unban,
            "allow" => Self::Allow,
            "confirm" => Self::Confirm,
            "undo" => Self::Undo,
            _ => return None,
        })
    }
}

/// Who asks, and from where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Actor<'a> {
    pub(super) user: &'a User,
    pub(super) ip: IpAddr,
}

/// Does what the form asks for. The result is a sentence for the user; so is the error.
pub(super) async fn run(
    action: Action,
    form: &Form,
    daemon: &Daemon,
    actor: Actor<'_>,
) -> Result<String, String> {
    let client = daemon.client();
    let name = &daemon.name;
    let (what, done) = match action {
        Action::Confirm | Action::Undo => settle(action, form, client).await?,
        Action::Ban => add(Policy::Drop, form, client, actor).await?,
        Action::Allow => add(Policy::Ignore, form, client, actor).await?,
        Action::Unban => unban(form, client, actor).await?,
    };
    daemon.forget().await;
    let (user, ip) = (&actor.user.name, actor.ip);
    match done {
        Ok(text) => {
            info!("page: {user} from {ip}: firewall {name}: {what}: done");
            Ok(format!("{name}: {text}"))
        }
        Err(error) => {
            let text = in_words(&error);
            warn!("page: {user} from {ip}: firewall {name}: {what}: {text}");
            Err(format!("{name}: {what}: {text}"))
        }
    }
}

/// What was tried, and how it ended.
type Tried = (Cow<'static, str>, Result<String, ClientError>);

async fn settle(action: Action, form: &Form, client: &Client) -> Result<Tried, String> {
    let id = form.get("id").and_then(|id| id.parse::<ConfirmId>().ok());
    let id = id.ok_or("the change to confirm is not named")?;
    Ok(if action == Action::Confirm {
        let done = client.confirm(id).await;
        let text = "the change is confirmed, and stays.".to_owned();
        (format!("confirm {id}").into(), done.map(|_| text))
    } else {
        let done = client.undo(id).await;
        let text = |undone: couic_common::RevertedChange| format!("undone: {}.", undone.summary);
        (format!("undo {id}").into(), done.map(text))
    })
}

async fn add(
    policy: Policy,
    form: &Form,
    client: &Client,
    actor: Actor<'_>,
) -> Result<Tried, String> {
    let cidr = address(form).map(Cidr::host)?;
    let (what, detail, ttl) = if policy == Policy::Ignore {
        (format!("allow {cidr} for an hour"), "allowed", HOUR)
    } else {
        let lasts = form.get("lasts").and_then(|lasts| lasts.parse().ok());
        let known = |lasts: &u64| LASTS.iter().any(|(known, _)| known == lasts);
        let lasts = lasts.filter(known).ok_or("choose how long the ban lasts")?;
        (format!("ban {cidr}"), "banned", lasts)
    };
    let reason: String = form
        .get("reason")
        .map(|reason| format!(": {}", clean(reason)))
        .unwrap_or_default();
    let entry = EntryRequest {
        cidr: cidr.to_string(),
        expiration: if ttl == 0 { 0 } else { unix_seconds() + ttl },
        tag: Some(TAG.to_owned()),
        metadata: Some(Metadata {
            kind: KIND.to_owned(),
            detail: format!("{detail} by {}{reason}", actor.user.name),
            extra: None,
        }),
        force: false,
        guard: Some(guard(actor)),
        ttl: (ttl > 0).then_some(ttl),
        longer: false,
    };
    let done = client.confirm_within(WITHIN).add(policy, &entry).await;
    let text = match policy {
        Policy::Ignore => format!("{cidr} passes for an hour, whatever other rules say."),
        Policy::Drop => format!("{cidr} is banned."),
    };
    Ok((what.into(), done.map(|_| text)))
}

async fn unban(form: &Form, client: &Client, actor: Actor<'_>) -> Result<Tried, String> {
    let policy: Policy = match form.get("policy") {
        Some("ignore") => Policy::Ignore,
        _ => Policy::Drop,
    };
    let cidr: Cidr = form
        .get("cidr")
        .and_then(|cidr| cidr.parse().ok())
        .ok_or("the rule to delete is not named")?;
    let which = Release {
        tag: None,
        all_owners: form.get("all_owners").is_some(),
        reason: Some(format!("deleted by {}", actor.user.name)),
    };
    let careful = client.confirm_within(WITHIN).guarded(guard(actor), false);
    let what = format!("delete {policy} {cidr}");
    let text = |holders: Vec<couic_common::RuleOwner>| match holders.as_slice() {
        [] => format!("{policy} {cidr} is deleted."),
        holders => {
            let who = couic_common::RuleOwner::list(holders, unix_seconds());
            format!("{policy} {cidr} is released, but stays: it is still held by {who}.")
        }
    };
    let done = careful.release(policy, cidr, &which).await;
    Ok((what.into(), done.map(text)))
}

/// The viewer must stay able to reach the firewall, and so this page.
fn guard(actor: Actor<'_>) -> GuardRequest {
    GuardRequest {
        protect: vec![actor.ip],
        lift: Vec::new(),
    }
}

fn address(form: &Form) -> Result<IpAddr, String> {
    form::address(form.get("ip").unwrap_or_default())
}

/// A reason in one line, without control characters.
fn clean(reason: &str) -> String {
    let printable = reason.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(LONGEST_REASON).collect()
}
