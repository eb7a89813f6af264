//! The daemon's periodic work: expiry, heartbeat, self-check, interfaces.

use std::{io, sync::Arc, time::Duration};

use couic_common::counted;
use couic_firewall::rules::{Firewall, ReasonUsage};
use parking_lot::Mutex;

use super::{
    every::Repeaters,
    filter::Filter,
    rules::Rules,
    selfcheck::{Checker, Found},
    transitions::{InterfaceWatch, Transition},
    watchdog::Watchdog,
};
use crate::{api::SocketPlace, metrics::MetricsRegistry, reporting::TrafficMeter};

/// The longest delay of an expiry.
const EXPIRY: Duration = Duration::from_millis(200);

/// Between two checks of the interfaces, and two heartbeats.
const SECOND: Duration = Duration::from_secs(1);

/// Between two rounds of the self-check.
const MINUTE: Duration = Duration::from_secs(60);

/// Rounds of a second between two log lines about an unreachable API socket.
const SOCKET_REMINDER: u32 = 60;

/// The same about rules that are stored without their reason.
const REASON_REMINDER: u32 = 3_600;

/// Reports traffic each minute, and at the end what is left.
pub(super) fn report_traffic(
    repeaters: &mut Repeaters,
    meter: &Arc<Mutex<TrafficMeter>>,
) -> io::Result<()> {
    let meter = Arc::clone(meter);
    let mut is_first = true;
    repeaters.every(MINUTE, "couic-traffic", move || {
        // Now, there is nothing to report yet.
        if !std::mem::take(&mut is_first) {
            meter.lock().report();
        }
    })
}

/// Starts a thread for each.
///
/// # Errors
/// If a thread cannot be started.
pub(super) fn repeat(
    rules: &Rules,
    filter: &Arc<Filter>,
    metrics: &Arc<MetricsRegistry>,
    mut watchdog: Option<Watchdog>,
    socket: SocketPlace,
) -> io::Result<Repeaters> {
    let mut repeaters = Repeaters::default();
    let firewall = Arc::clone(&rules.firewall);
    repeaters.every(EXPIRY, "couic-expiry", move || {
        firewall.expire_due();
    })?;
    let firewall = Arc::clone(&rules.firewall);
    let often = watchdog.as_ref().map_or(SECOND, Watchdog::period);
    repeaters.every(SECOND.min(often), "couic-heart", move || {
        firewall.heartbeat();
        if let Some(watchdog) = &mut watchdog {
            watchdog.beat();
        }
    })?;
    let firewall = Arc::clone(&rules.firewall);
    let mut checker = Checker::new(firewall, Arc::clone(filter), Arc::clone(metrics));
    repeaters.every(MINUTE, "couic-check", move || checker.round())?;
    // On its own thread: the kernel may be slow to answer.
    let (firewall, sets) = (Arc::clone(&rules.firewall), Arc::clone(&rules.sets));
    let filter = Arc::clone(filter);
    let (mut watch, mut found) = (InterfaceWatch::default(), Found::default());
    let metrics = Arc::clone(metrics);
    let mut round = 0_u32;
    let mut without_reason = 0;
    repeaters.every(SECOND, "couic-watch", move || {
        filter.probe();
        let interfaces = filter.interfaces();
        // A program that is detached twice in a row shows no transition.
        let has_lost = interfaces.iter().any(|interface| interface.is_lost);
        let interfaces: Vec<_> = interfaces.into_iter().map(|i| i.health).collect();
        let transitions = watch.transitions(&interfaces);
        transitions.iter().for_each(Transition::log);
        if has_lost
            || transitions
                .iter()
                .any(|transition| matches!(transition, Transition::Lost(..)))
        {
            filter.check();
        }
        found.count(filter.differences(), &metrics);
        round = round.wrapping_add(1);
        if round.is_multiple_of(REASON_REMINDER) || without_reason == 0 {
            without_reason = log_reasons(&firewall, without_reason);
        }
        if round.is_multiple_of(5) {
            filter.review_sets(&sets, &firewall);
        }
        if round.is_multiple_of(SOCKET_REMINDER)
            && let Some(problem) = socket.problem()
        {
            tracing::error!("{problem}");
        }
    })?;
    Ok(repeaters)
}

/// Logs that reasons were not kept since there were `before` such. Returns how many there are.
fn log_reasons(firewall: &Firewall, before: u64) -> u64 {
    let ReasonUsage { kept, not_kept } = firewall.reasons();
    if not_kept > before {
        tracing::warn!(
            "{} stored without a reason: rules here have {kept} different reasons, and no more are kept. Send reasons \
             that many rules share (metadata.detail: the jail, not the address)",
            counted(not_kept - before, "rule was", "rules were")
        );
    }
    not_kept
}
