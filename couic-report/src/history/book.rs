//! The figures of one firewall.

use couic_common::Policy;
use couic_plugin_api::Traffic;

use super::{
    series::{DAY, KEPT, MINUTE, Steps},
    tops::Tops,
    view::{InterfaceStatus, Point, ReportedStatus, RuleTotals, TrafficPoint},
};
use crate::codec::{Malformed, Put, Take};

/// The figures.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    pub(super) first_heard: u64,
    pub(super) last_heard: u64,
    pub(super) status: Option<ReportedStatus>,
    pub(super) steps: Steps,
    pub(super) tops: Tops,
}

impl Book {
    pub(super) fn new(now: u64) -> Self {
        Self {
            first_heard: now,
            ..Self::default()
        }
    }

    /// Counts an interval, whose lists were bounded when it was received. One that is longer than a minute, since intervals
    /// were merged, is spread over its minutes.
    pub(super) fn traffic(&mut self, traffic: Traffic, now: u64) {
        let until = traffic.until.min(now);
        if until + KEPT < now {
            return;
        }
        let minutes = until.saturating_sub(traffic.from).div_ceil(MINUTE);
        let minutes = minutes.clamp(1, DAY / MINUTE);
        let whole = TrafficPoint {
            passed_packets: traffic.passed.packets,
            passed_bytes: traffic.passed.bytes,
            dropped_packets: traffic.dropped.packets,
            dropped_bytes: traffic.dropped.bytes,
        };
        for index in 0..minutes {
            let at = until.saturating_sub(1 + index * MINUTE);
            let part = Point {
                traffic: Some(whole.part(index, minutes)),
                ..Point::default()
            };
            self.steps.add(at, now, &part);
        }
        let counts = self.tops.at(until.saturating_sub(1), now);
        let dropped = traffic.tags.iter();
        let dropped = dropped.filter(|tag| tag.policy == Policy::Drop);
        for tag in dropped {
            let count = tag.count;
            counts.traffic(&tag.tag, count.packets, count.bytes);
        }
        if self.status.as_ref().is_none_or(|have| have.at <= until) {
            self.status = Some(status(traffic, until));
        }
    }

    pub(super) fn prune(&mut self, now: u64) {
        self.steps.prune(now);
        self.tops.prune(now);
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(self.first_heard);
        out.put_u64(self.last_heard);
        out.put_u8(u8::from(self.status.is_some()));
        if let Some(status) = &self.status {
            encode_status(status, out);
        }
        self.steps.encode(out);
        self.tops.encode(out);
    }

    pub(super) fn decode(from: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            first_heard: from.u64()?,
            last_heard: from.u64()?,
            status: match from.u8()? {
                0 => None,
                _ => Some(decode_status(from)?),
            },
            steps: Steps::decode(from)?,
            tops: Tops::decode(from)?,
        })
    }
}

fn status(traffic: Traffic, at: u64) -> ReportedStatus {
    let interfaces = traffic.interfaces.into_iter();
    let rules = traffic.rules.into_iter();
    ReportedStatus {
        at,
        version: traffic.version,
        health: traffic.health,
        interfaces: interfaces
            .map(|interface| InterfaceStatus {
                name: interface.name,
                attached: interface.attached,
            })
            .collect(),
        rules: rules
            .map(|count| RuleTotals {
                policy: count.policy,
                family: count.family,
                rules: count.rules,
                limit: count.limit,
            })
            .collect(),
    }
}

fn encode_status(status: &ReportedStatus, out: &mut Vec<u8>) {
    out.put_u64(status.at);
    out.put_short(&status.version);
    out.put_short(&status.health);
    out.put_u32(u32::try_from(status.interfaces.len()).unwrap_or(u32::MAX));
    for interface in &status.interfaces {
        out.put_short(&interface.name);
        out.put_u8(u8::from(interface.attached));
    }
    out.put_u32(u32::try_from(status.rules.len()).unwrap_or(u32::MAX));
    for totals in &status.rules {
        out.put_u8(u8::from(totals.policy == Policy::Ignore));
        out.put_u8(totals.family);
        out.put_u64(totals.rules);
        out.put_u64(totals.limit);
    }
}

fn decode_status(from: &mut Take<'_>) -> Result<ReportedStatus, Malformed> {
    let mut status = ReportedStatus {
        at: from.u64()?,
        version: from.short()?.to_owned(),
        health: from.short()?.to_owned(),
        ..ReportedStatus::default()
    };
    for _ in 0..from.u32()? {
        status.interfaces.push(InterfaceStatus {
            name: from.short()?.to_owned(),
            attached: from.u8()? == 1,
        });
    }
    for _ in 0..from.u32()? {
        status.rules.push(RuleTotals {
            policy: match from.u8()? {
                0 => Policy::Drop,
                _ => Policy::Ignore,
            },
            family: from.u8()?,
            rules: from.u64()?,
            limit: from.u64()?,
        });
    }
    Ok(status)
}
