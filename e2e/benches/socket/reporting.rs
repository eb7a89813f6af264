//! The cost of reporting per add, while its endpoint hangs.

use std::net::TcpListener;

use couic_e2e::{Daemon, Lab, StandIn};
use couic_testkit::Reply;

use crate::{
    Row,
    load::{ADDS, CONNECTIONS, IN_FLIGHT, LONE_ADDS},
    turns::{self, ROUNDS},
};

/// Allowed slowdown of adds.
const ALLOWED: f64 = 1.05;

pub(crate) fn rows(lab: &Lab) -> Vec<Row> {
    let listener = lab.host.enter(|| TcpListener::bind("127.0.0.1:0"));
    let listener = listener.unwrap_or_else(|e| panic!("cannot listen: {e}"));
    let hanging = StandIn::on(listener, |_| Reply::Hang);
    let reporting = format!(
        "[reporting]\nenabled = true\nwebhook = \"{}\"\n",
        hanging.url("/v1/reports/550e8400-e29b-41d4-a716-446655440000")
    );
    let compared = turns::compare(lab, ["", &reporting], all_counted);
    let (off, on) = (compared.one.median, compared.other.median);
    let lone = Row {
        what: "lone add with reporting, endpoint hanging",
        wanted: format!("≤ {ALLOWED} × the time without"),
        measured: format!("{:.3} ×", on / off),
        reached: Some(on / off <= ALLOWED),
        method: format!(
            "median of {LONE_ADDS} POST /v1/drop, {:.1} µs off, {:.1} µs on; medians of {ROUNDS} rounds off and on in turn",
            off * 1e6,
            on * 1e6
        ),
    };
    let (off, on) = (compared.one.rate, compared.other.rate);
    let many = Row {
        what: "adds at full load with reporting, endpoint hanging",
        wanted: "no processor is left: what writing every change to the spool takes of them".into(),
        measured: format!("{:.3} × the time without", off / on),
        reached: None,
        method: format!(
            "{ADDS} POST /v1/drop, {CONNECTIONS} connections, {IN_FLIGHT} in flight each, {off:.0}/s off, {on:.0}/s on; medians \
             of the same rounds"
        ),
    };
    vec![lone, many]
}

/// Asserts that no report was lost, which would make adds look fast.
fn all_counted(daemon: &Daemon<'_>, reporting: &str) {
    let log = daemon.log();
    assert!(!log.contains("are not reported"), "{log}");
    assert_eq!(
        log.contains("reporting rule changes"),
        !reporting.is_empty()
    );
}
