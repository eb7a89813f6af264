//! How the XDP program is attached: the names in the file.

/// How to attach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationMode {
    /// Native where the driver can, else generic.
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the network stack.
    Generic,
    /// In the network card.
    Offloaded,
}

pub(super) const CHOICES: &[(&str, OperationMode)] = &[
    ("auto", OperationMode::Auto),
    ("native", OperationMode::Native),
    ("generic", OperationMode::Generic),
    ("offloaded", OperationMode::Offloaded),
];
