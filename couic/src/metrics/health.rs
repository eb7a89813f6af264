//! Health, as metric families: alert rules need no second source.

use couic_common::{Area, Health, HealthStatus};
use couic_httpd::{Family, Kind};

pub(super) fn families(health: &Health) -> [Family; 3] {
    [status(health), problems(health), interfaces(health)]
}

fn status(health: &Health) -> Family {
    let help = "1 for the current status of health, as in GET /v1/health.";
    let family = Family::new(Kind::Gauge, "couic_health", help);
    HealthStatus::ALL.iter().fold(family, |family, status| {
        let labels = [("status", status.as_str())];
        family.with(&labels, u64::from(*status == health.status))
    })
}

fn problems(health: &Health) -> Family {
    let help = "Problems in health, by area; couicctl health names them.";
    let family = Family::new(Kind::Gauge, "couic_health_problems", help);
    let found = health.problems();
    let is_problem = |severity| severity > HealthStatus::Ok;
    Area::WITH_PROBLEMS.iter().fold(family, |family, area| {
        let of_area = found.iter().filter(|p| p.area == *area);
        let count = of_area.filter(|p| is_problem(p.severity)).count();
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        family.with(&[("area", area.as_str())], count)
    })
}

/// The mode of an interface that is not attached, or is not there, is `none`.
fn interfaces(health: &Health) -> Family {
    let help = "Whether the filter is attached to a configured interface; 1 = yes.";
    let family = Family::new(Kind::Gauge, "couic_interface_attached", help);
    health.interfaces.iter().fold(family, |family, interface| {
        let mode = interface.mode.filter(|_| interface.attached);
        let labels = [
            ("interface", interface.name.as_str()),
            ("mode", mode.map_or("none", |mode| mode.as_str())),
        ];
        family.with(&labels, u64::from(interface.attached))
    })
}
