//! What a key makes the daemon do: guard rails are asked for and protect the operator's SSH session, and rules are
//! changed on probation, so that nobody is locked out by a key.

use std::net::IpAddr;

use couic_client::{Client, ClientError, Release, ToConfirm};
use couic_common::{
    Cidr, ConfirmId, Entry, EntryRequest, GuardRequest, PanicRequest, Policy, RuleOwner, UNTAGGED,
};

use super::{rows::brief, why};
use crate::{
    duration::{Lifetime, now, now_at, remaining},
    failure::Failure,
    session,
};

/// A request of the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Add {
        policy: Policy,
        cidr: Cidr,
        lifetime: Lifetime,
        tag: Option<String>,
    },
    Delete {
        policy: Policy,
        cidr: Cidr,
    },
    Panic(bool),
    Confirm(Vec<ConfirmId>),
    Undo(ConfirmId),
    Why(IpAddr),
}

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// What happened, in a sentence; or the words of the refusal.
    pub(super) said: Option<Result<String, String>>,
    /// Changes that now await confirmation.
    pub(super) awaits: Vec<(ConfirmId, String)>,
    /// Changes that do not any more.
    pub(super) settled: Vec<ConfirmId>,
    /// A rule that is there now.
    pub(super) added: Option<(Policy, Entry)>,
    /// A rule that is gone.
    pub(super) removed: Option<(Policy, Cidr)>,
    /// A text to read.
    pub(super) shown: Option<(String, Vec<String>)>,
}

/// Makes requests.
#[derive(Clone)]
pub(super) struct Actor {
    /// For what is not undone: confirmations, and the switch.
    plain: Client,
    /// For changes of rules.
    careful: Client,
    /// Seconds until they are undone.
    within: u64,
    guard: GuardRequest,
}

impl Actor {
    pub(super) fn new(client: &Client, within: u64) -> Self {
        let guard = GuardRequest {
            protect: session::addresses(),
            lift: Vec::new(),
        };
        Self {
            plain: client.clone(),
            careful: client.confirm_within(within).guarded(guard.clone(), false),
            within,
            guard,
        }
    }

    /// Never fails: a refusal is an outcome.
    pub(super) async fn perform(&self, action: Action) -> Outcome {
        let done = match action {
            Action::Add {
                policy,
                cidr,
                lifetime,
                tag,
            } => self.add(policy, cidr, lifetime, tag).await,
            Action::Delete { policy, cidr } => self.delete(policy, cidr).await,
            Action::Panic(on) => self.panic(on).await,
            Action::Confirm(ids) => self.confirm(ids).await,
            Action::Undo(id) => self.undo(id).await,
            Action::Why(ip) => self.why(ip).await,
        };
        done.unwrap_or_else(|error| {
            let denied = error.status() == Some(401);
            let denied = denied.then_some("the group of this token has no right to do this");
            let text = Failure::from(error).or_refused_with(denied).text();
            Outcome {
                said: Some(Err(text.replace(
                    "use --force",
                    "to go over this guard rail, use couicctl with --force",
                ))),
                ..Outcome::default()
            }
        })
    }

    async fn add(
        &self,
        policy: Policy,
        cidr: Cidr,
        lifetime: Lifetime,
        tag: Option<String>,
    ) -> Result<Outcome, ClientError> {
        let ttl = lifetime.map(|lifetime| lifetime.as_secs());
        let request = EntryRequest {
            cidr: cidr.to_string(),
            // For daemons that do not know `ttl`.
            expiration: ttl.map_or(0, |ttl| now() + ttl),
            tag,
            metadata: None,
            force: false,
            guard: Some(self.guard.clone()),
            ttl,
            longer: false,
        };
        let entry = self.careful.add(policy, &request).await?;
        let span = ttl.map_or_else(
            || "without end".to_owned(),
            |ttl| format!("for {}", remaining(ttl, 0)),
        );
        let verb = match policy {
            Policy::Drop => "Banned",
            Policy::Ignore => "Allowed",
        };
        let what = format!("{verb} {} {span}", brief(cidr));
        Ok(Outcome {
            added: Some((policy, entry)),
            ..self.changed(&what)
        })
    }

    async fn delete(&self, policy: Policy, cidr: Cidr) -> Result<Outcome, ClientError> {
        let left = self
            .careful
            .release(policy, cidr, &Release::default())
            .await?;
        let name = format!("{policy} {}", brief(cidr));
        if left.is_empty() {
            return Ok(Outcome {
                removed: Some((policy, cidr)),
                ..self.changed(&format!("Deleted {name}"))
            });
        }
        let at = now_at(&self.careful);
        let owners = RuleOwner::list(&left, at);
        Ok(self.changed(&format!(
            "Released {name}, still in force: held by {owners}"
        )))
    }

    /// A change that was made: on probation, if the daemon is able to undo it.
    fn changed(&self, what: &str) -> Outcome {
        let awaits: Vec<ToConfirm> = self.careful.to_confirm();
        let hint = match awaits.is_empty() {
            false => format!("undone in {} s unless you press c", self.within),
            true => "this daemon cannot undo it by itself".to_owned(),
        };
        Outcome {
            said: Some(Ok(format!("{what}; {hint}."))),
            awaits: awaits.iter().map(|c| (c.id, what.to_owned())).collect(),
            ..Outcome::default()
        }
    }

    async fn panic(&self, on: bool) -> Result<Outcome, ClientError> {
        let reason = on.then(|| "switched on in couicctl top".to_owned());
        let status = self.plain.set_panic(&PanicRequest { on, reason }).await?;
        let said = match status.problem {
            Some(problem) => Err(format!(
                "Done, but a restart of the daemon would undo it: {problem}"
            )),
            None if status.on => {
                Ok("PANIC IS ON: every packet passes, regardless of the rules.".to_owned())
            }
            None => Ok("Panic is off: the rules are in force.".to_owned()),
        };
        Ok(Outcome {
            said: Some(said),
            ..Outcome::default()
        })
    }

    async fn confirm(&self, ids: Vec<ConfirmId>) -> Result<Outcome, ClientError> {
        for id in &ids {
            self.plain.confirm(*id).await?;
        }
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        Ok(Outcome {
            said: Some(Ok(format!("Confirmed: {}.", names.join(", ")))),
            settled: ids,
            ..Outcome::default()
        })
    }

    async fn undo(&self, id: ConfirmId) -> Result<Outcome, ClientError> {
        let undone = self.plain.undo(id).await?;
        Ok(Outcome {
            said: Some(Ok(format!("Undone: {}.", undone.summary))),
            settled: vec![id],
            ..Outcome::default()
        })
    }

    async fn why(&self, ip: IpAddr) -> Result<Outcome, ClientError> {
        let lookup = self.plain.lookup(ip).await?;
        let at = now_at(&self.plain);
        Ok(Outcome {
            shown: Some((format!("Why {ip}"), why::lines(&lookup, at))),
            ..Outcome::default()
        })
    }
}

/// The tag of a request: none for the name of entries without one.
pub(super) fn tag_of(text: &str) -> Option<String> {
    (!text.is_empty() && text != UNTAGGED).then(|| text.to_owned())
}
