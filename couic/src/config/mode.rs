//! The values of `operation_mode`.

use couic_firewall::dataplane::OperationMode;

pub(super) const CHOICES: &[(&str, OperationMode)] = &[
    ("auto", OperationMode::Auto),
    ("native", OperationMode::Native),
    ("generic", OperationMode::Generic),
    ("offloaded", OperationMode::Offloaded),
    ("tcx", OperationMode::Tcx),
];
