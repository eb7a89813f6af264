//! Detects interfaces that are no longer filtered, or are filtered again.

use std::collections::BTreeMap;

use couic_common::InterfaceHealth;

/// Whether each interface was filtered at the last check.
#[derive(Debug, Default)]
pub(super) struct InterfaceWatch {
    attached: BTreeMap<String, bool>,
}

/// A change of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    /// It is no longer filtered, and why.
    Lost(String, String),
    /// It is filtered again.
    Back(String),
}

impl InterfaceWatch {
    /// The changes since the last call.
    pub(super) fn transitions(&mut self, interfaces: &[InterfaceHealth]) -> Vec<Transition> {
        let mut transitions = Vec::new();
        // An interface that only matched a pattern is dropped once it is gone, which is no loss.
        self.attached
            .retain(|name, _| interfaces.iter().any(|i| i.name == *name));
        for interface in interfaces {
            let InterfaceHealth {
                name,
                attached,
                problem,
                mode: _,
                note: _,
            } = interface;
            let before = self.attached.insert(name.clone(), *attached);
            match (before.unwrap_or(true), attached) {
                (true, false) => {
                    let why = problem
                        .clone()
                        .unwrap_or_else(|| "unknown reason".to_owned());
                    transitions.push(Transition::Lost(name.clone(), why));
                }
                (false, true) => transitions.push(Transition::Back(name.clone())),
                _ => {}
            }
        }
        transitions
    }
}

impl Transition {
    pub(super) fn log(&self) {
        match self {
            Self::Lost(name, why) => {
                tracing::error!(target: "couic::audit", action = "detached", "NOT filtering on {name} any more: {why}");
            }
            Self::Back(name) => {
                tracing::info!(target: "couic::audit", action = "attached", "filtering on {name} again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(name: &str, attached: bool) -> InterfaceHealth {
        InterfaceHealth {
            name: name.to_owned(),
            attached,
            mode: None,
            problem: (!attached).then(|| "it is gone".to_owned()),
            note: None,
        }
    }

    #[test]
    fn each_transition_is_noticed_once() {
        let mut watch = InterfaceWatch::default();
        assert_eq!(
            watch.transitions(&[interface("a", true), interface("b", true)]),
            []
        );
        let lost = Transition::Lost("b".to_owned(), "it is gone".to_owned());
        assert_eq!(
            watch.transitions(&[interface("a", true), interface("b", false)]),
            [lost]
        );
        assert_eq!(
            watch.transitions(&[interface("a", true), interface("b", false)]),
            []
        );
        let back = Transition::Back("b".to_owned());
        assert_eq!(
            watch.transitions(&[interface("a", true), interface("b", true)]),
            [back]
        );
    }
}
