//! Checks of the daemon through its API, local or remote.

mod status;

use couic_client::ClientError;
use couic_common::{
    Area, Health, HealthStatus, InterfaceHealth, NotifierInfo, NotifierState, PeerInfo, PeerState,
    Problem, counted,
};

use self::status::check_status;
use super::Check;
use crate::{commands::Context, duration::now, failure::Failure};

/// Clock offset that is worth a warning, in milliseconds.
const CLOCK_APART: u64 = 60_000;

/// Results that other checks need.
#[derive(Debug, Default)]
pub(super) struct DaemonFacts {
    pub(super) interfaces: Vec<InterfaceHealth>,
    /// Whether the daemon reported its clock and disks.
    pub(super) has_host_status: bool,
}

pub(super) async fn look(cx: &Context, checks: &mut Vec<Check>) -> DaemonFacts {
    let health = match cx.client.health().await {
        Ok(health) => health,
        Err(error) => {
            checks.push(Check::error("daemon", &Failure::from(error).text()));
            return DaemonFacts::default();
        }
    };
    checks.push(version(&health.version));
    checks.push(filter(&health));
    checks.extend(confinement(&health));
    checks.push(features(&health));
    if cx.client.panic_seen() || health.panic_since.is_some() {
        let check = Check::fail("panic", "the panic switch is on: every packet passes");
        checks.push(check.advise("see couicctl panic for who and why; couicctl panic off ends it"));
    } else if health.panic_problem.is_none() {
        checks.push(Check::ok("panic", "off"));
    }
    checks.extend(problems(&health));
    let has_host_status = match cx.client.status().await {
        Ok(status) => {
            check_status(&status, now(), checks);
            true
        }
        Err(error) => {
            checks.push(unknown("status", &error));
            false
        }
    };
    match cx.client.peers().await {
        Ok(all) if all.is_empty() => checks.push(Check::ok("peers", "rules are not shared")),
        Ok(all) => checks.extend(all.iter().map(peer)),
        Err(error) => checks.push(unknown("peers", &error)),
    }
    match cx.client.notifiers().await {
        Ok(all) if all.is_empty() => checks.push(Check::ok("notifiers", "none are configured")),
        Ok(all) => checks.extend(all.iter().map(notifier)),
        Err(error) => checks.push(unknown("notifiers", &error)),
    }
    DaemonFacts {
        interfaces: health.interfaces,
        has_host_status,
    }
}

/// The problems that no other check covers.
fn problems(health: &Health) -> impl Iterator<Item = Check> {
    let degraded = |problem: &Problem| problem.severity == HealthStatus::Degraded;
    health
        .problems()
        .into_iter()
        .filter(degraded)
        .filter_map(|problem| {
            let name = match problem.area {
                // These have checks of their own, and notes are no problems.
                Area::Interface | Area::Notifier | Area::Peer | Area::Kernel => return None,
                area => area.as_str(),
            };
            let found = problem.to_string();
            let check = match problem.area {
                Area::Sets => Check::fail(name, found),
                _ => Check::warn(name, found),
            };
            Some(Check {
                advice: problem.advice.map(str::to_owned),
                ..check
            })
        })
}

fn unknown(check: &str, error: &ClientError) -> Check {
    match error.status() {
        Some(401) => Check::skip(check, "the token has no right to read it")
            .advise("use one of group admin or monitoring"),
        Some(404) => Check::skip(check, "the daemon is too old to report it").advise("update it"),
        _ => Check::error(check, &error.to_string()),
    }
}

fn version(daemon: &str) -> Check {
    let ours = env!("CARGO_PKG_VERSION");
    if daemon == ours {
        return Check::ok("daemon", format!("responds, version {daemon}"));
    }
    Check::warn(
        "daemon",
        format!("responds, version {daemon}, but couicctl is {ours}"),
    )
    .advise("install the same version of both, and restart the daemon after an update")
}

/// Missing kernel support is not a failure, but reported.
fn confinement(health: &Health) -> Vec<Check> {
    if health.notes.is_empty() {
        return vec![Check::ok(
            "confinement",
            "the daemon has every feature it can use",
        )];
    }
    let notes = health.notes.iter();
    notes
        .map(|note| {
            Check::warn("confinement", note)
                .advise("newer kernels have it; everything works without")
        })
        .collect()
}

/// One line for all missing features, as ok: only a newer kernel would provide them, and none is required.
fn features(health: &Health) -> Check {
    match health.missing_features.as_slice() {
        [] => Check::ok("kernel features", "the daemon has every feature it can use"),
        missing => Check::ok(
            "kernel features",
            format!("left out: {}", missing.join("; ")),
        ),
    }
}

/// The filter as a whole; interfaces have checks of their own.
fn filter(health: &Health) -> Check {
    let missing: Vec<&str> = health
        .interfaces
        .iter()
        .filter(|i| !i.attached)
        .map(|i| i.name.as_str())
        .collect();
    if !missing.is_empty() || health.interfaces.is_empty() {
        return Check::fail("filter", format!("NOT filtering on {}", missing.join(", ")))
            .advise("see couicctl health");
    }
    let attached = format!(
        "is attached to {}",
        counted(health.interfaces.len() as u64, "interface", "interfaces")
    );
    if health.panic_since.is_some() {
        let found = format!("{attached}, but lets every packet pass");
        return Check::warn("filter", found).advise("see the check of panic");
    }
    match health.status {
        HealthStatus::Ok => Check::ok("filter", attached),
        _ => Check::warn("filter", format!("{attached}, but needs attention"))
            .advise("see the other checks and couicctl health"),
    }
}

fn peer(peer: &PeerInfo) -> Check {
    let name = format!("peer {}", peer.name);
    let problem = peer.last_error.as_ref().map_or("", |e| e.message.as_str());
    let apart = peer.clock_ahead_ms.unwrap_or(0).unsigned_abs();
    match peer.state {
        PeerState::Failing => Check::error(name, &format!("does not respond: {problem}"))
            .advise("see couicctl peers; check address, port, token and the proxy in front of it"),
        PeerState::NotEnabled => Check::warn(name, "responds, but peering is not enabled there")
            .advise("enable it there as well: couicctl peers invite prints what to add"),
        PeerState::Connecting => {
            Check::warn(name, "has not responded yet").advise("check again in a minute")
        }
        _ if apart > CLOCK_APART => {
            let seconds = apart / 1_000;
            Check::warn(name, format!("its clock differs by {seconds} s")).advise("set the clocks")
        }
        _ if peer.refused_ranges > 0 => Check::warn(
            name,
            "some rules differ permanently, because one side rejects them",
        )
        .advise("compare the limits in [peering] on both sides"),
        _ if peer.lag_ms > 10_000 => Check::warn(
            name,
            format!(
                "{}, the oldest for {} s",
                counted(peer.queue, "change is queued", "changes are queued"),
                peer.lag_ms / 1_000
            ),
        )
        .advise("check its load and the network path"),
        PeerState::Syncing => Check::ok(
            name,
            format!(
                "{} being exchanged",
                counted(
                    peer.differing,
                    "rule differs and is",
                    "rules differ and are"
                )
            ),
        ),
        _ => Check::ok(name, "responds"),
    }
}

fn notifier(info: &NotifierInfo) -> Check {
    let name = format!("notifier {}", info.name);
    if !info.problems.is_empty() {
        return Check::fail(name, info.problems.join("; ")).advise(format!(
            "couicctl notifiers test {0}, then couicctl notifiers resume {0}",
            info.name
        ));
    }
    if info.state == NotifierState::Retrying {
        let why = info
            .last_error
            .as_ref()
            .map_or("unknown reason", |e| e.message.as_str());
        let next = info.next_attempt_secs.unwrap_or(0);
        let found = format!("the last attempt failed ({why}), the next one is in {next} s");
        return Check::warn(name, found).advise(format!(
            "notifications are kept; couicctl notifiers test {} tries at once and shows what to correct",
            info.name
        ));
    }
    if info.dead_letters > 0 {
        let dead = "notification was given up and is kept as a dead letter";
        let more = "notifications were given up and are kept as dead letters";
        let found = counted(info.dead_letters, dead, more);
        return Check::warn(name, found).advise(format!("couicctl notifiers dead {}", info.name));
    }
    if info.queue_events > 0 && info.oldest_age_secs > 60 {
        let found = format!(
            "{}, the oldest for {} s",
            counted(
                info.queue_events,
                "notification is queued",
                "notifications are queued"
            ),
            info.oldest_age_secs
        );
        return Check::warn(name, found).advise("see couicctl notifiers list");
    }
    Check::ok(
        name,
        match info.state {
            NotifierState::RateLimited => {
                "the receiver asked for a pause, delivery continues by itself"
            }
            NotifierState::Stopped => "is stopped: the daemon is shutting down",
            state => state.as_str(),
        },
    )
}

#[cfg(test)]
mod tests;
