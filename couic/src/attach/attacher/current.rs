//! The state of an interface as the serving process sees it: the attacher's last report, checked against the kernel.

use couic_common::{InterfaceHealth, XdpMode};
use couic_netlink as netlink;

use crate::attach::attachments::{InterfaceState, gone};

/// An interface that should be filtered, with its current state in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentInterface {
    /// For the health document.
    pub health: InterfaceHealth,
    /// Whether it lost our program, and the attacher has reported no reason yet.
    pub is_lost: bool,
}

impl CurrentInterface {
    pub(super) fn of(state: InterfaceState, programs: &[u32]) -> Self {
        let current = Current::of(&state, programs);
        let is_lost = matches!(current, Current::Lost);
        let (mode, problem) = match current {
            Current::Filtered(mode) => (Some(mode), None),
            Current::Lost => {
                let problem = "it lost our program, which is being attached again";
                (None, Some(problem.to_owned()))
            }
            Current::Failed(problem) => (None, problem),
        };
        let health = InterfaceHealth {
            attached: mode.is_some(),
            problem,
            note: state.note.filter(|_| mode == state.mode),
            name: state.name,
            mode,
        };
        Self { health, is_lost }
    }
}

/// Whether an interface is filtered.
enum Current {
    Filtered(XdpMode),
    Lost,
    /// Not filtered, and why.
    Failed(Option<String>),
}

impl Current {
    /// Asks the kernel. Only the holder of a TCX link can read its state, so for TCX the last report of the attacher
    /// counts, which checks each second.
    fn of(state: &InterfaceState, programs: &[u32]) -> Self {
        let reported = state.problem.clone();
        if state.index == 0 {
            return Self::Failed(reported);
        }
        let interface = match netlink::interface(state.index) {
            Ok(Some(interface)) => interface,
            Ok(None) => return Self::Failed(Some(gone(&state.name))),
            Err(error) => {
                let problem = format!("its state cannot be read from the kernel: {error}");
                return Self::Failed(Some(problem));
            }
        };
        match interface.xdp {
            _ if state.mode == Some(XdpMode::Tcx) => Self::Filtered(XdpMode::Tcx),
            Some(on) if programs.contains(&on.id) => Self::Filtered(on.mode),
            Some(on) => {
                let replaced = || {
                    format!(
                        "another XDP program has replaced ours (id {}): see `bpftool net`",
                        on.id
                    )
                };
                Self::Failed(Some(reported.unwrap_or_else(replaced)))
            }
            None if reported.is_some() => Self::Failed(reported),
            None => Self::Lost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It used to wait for the check of the next minute.
    #[test]
    fn a_program_lost_while_the_attacher_reported_is_lost() {
        let state = |problem: Option<&str>| InterfaceState {
            index: 1,
            name: "lo".to_owned(),
            mode: None,
            problem: problem.map(str::to_owned),
            note: None,
        };
        assert!(CurrentInterface::of(state(None), &[]).is_lost);
        let refused = CurrentInterface::of(state(Some("refused")), &[]);
        assert!(!refused.is_lost);
        assert_eq!(refused.health.problem.as_deref(), Some("refused"));
    }
}
