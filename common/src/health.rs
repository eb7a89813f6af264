//! Health: whether traffic is filtered, and known problems.

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IntoDeserializer, value::StrDeserializer},
};

use crate::{PeerHealth, Policy};

/// How the filter is attached to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// In the driver, before an skb is allocated.
    Native,
    /// In the network stack (SKB mode): works with every driver, at a higher cost.
    Generic,
    /// On the NIC.
    Offloaded,
    /// At the TCX ingress hook of the traffic control layer, after XDP (Linux 6.6): works next to another XDP program
    /// and on every link that carries IP, at the cost of generic XDP.
    Tcx,
}

impl XdpMode {
    /// The name, as in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Offloaded => "offloaded",
            Self::Tcx => "tcx",
        }
    }
}

/// The overall state; the greater, the worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// No problems.
    Ok,
    /// Filtering, with problems that need attention.
    Degraded,
    /// An interface is not filtered, or the panic switch is on.
    Down,
}

impl HealthStatus {
    /// Every status, the best first.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Degraded, Self::Down];

    /// The name, as in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// Response of `GET /v1/health`: status 200, or 503 if an interface is not filtered or the panic switch is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// The overall state.
    pub status: HealthStatus,
    /// Version of the daemon.
    pub version: String,
    /// Every configured interface.
    pub interfaces: Vec<InterfaceHealth>,
    /// Other problems of the filter: patterns without a match, a filter that would not persist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter_problems: Vec<String>,
    /// Set files that were not loaded.
    pub set_problems: Vec<SetProblem>,
    /// Rules that cut off what this host needs, or cover a large part of the address space. They never make the state
    /// worse than degraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rule_problems: Vec<String>,
    /// Set files that were loaded, but look cut off. They do not affect the state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set_notes: Vec<String>,
    /// Notifiers that need attention. They never make the state worse than degraded.
    #[serde(default)]
    pub notifier_problems: Vec<NotifierProblem>,
    /// Peers that do not respond.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peer_problems: Vec<PeerHealth>,
    /// When the panic switch was turned on, Unix seconds; absent while it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic_since: Option<u64>,
    /// Why the position of the panic switch would not survive a restart; absent if it would. It never makes the state
    /// worse than degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic_problem: Option<String>,
    /// Problems with changes that were due to be undone: those that could not be undone, and what was not restored.
    /// They never make the state worse than degraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirm_problems: Vec<String>,
    /// Why rules may not survive a restart of the daemon. They never make the state worse than degraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state_problems: Vec<StateProblem>,
    /// Why metrics are not served on the address in `[metrics]`. It never makes the state worse than degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_problem: Option<String>,
    /// Why the last reload did not take over the configuration file, or the set files. It never makes the state worse than
    /// degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_problem: Option<String>,
    /// Notes that are not problems: protections that this kernel lacks. They do not affect the state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Optional features that the running kernel lacks, and the effect of each. They do not affect the state.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_features: Vec<String>,
}

impl Health {
    /// The health of a daemon of this version without problems or interfaces.
    #[must_use]
    pub fn well(version: impl Into<String>) -> Self {
        Self {
            status: HealthStatus::Ok,
            version: version.into(),
            interfaces: Vec::new(),
            filter_problems: Vec::new(),
            set_problems: Vec::new(),
            rule_problems: Vec::new(),
            set_notes: Vec::new(),
            notifier_problems: Vec::new(),
            peer_problems: Vec::new(),
            panic_since: None,
            panic_problem: None,
            confirm_problems: Vec::new(),
            state_problems: Vec::new(),
            metrics_problem: None,
            config_problem: None,
            notes: Vec::new(),
            missing_features: Vec::new(),
        }
    }
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InterfaceHealth {
    /// Its name.
    pub name: String,
    /// Whether Couic's program is attached.
    pub attached: bool,
    /// The mode of attachment.
    #[serde(default, deserialize_with = "known_mode")]
    pub mode: Option<XdpMode>,
    /// The reason why it is not attached.
    pub problem: Option<String>,
    /// For unusual modes: the reason for the mode, and its cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// An unknown mode of another version reads as none, so that the rest of the document is still parsed.
fn known_mode<'de, D: Deserializer<'de>>(document: D) -> Result<Option<XdpMode>, D::Error> {
    let Some(text) = Option::<String>::deserialize(document)? else {
        return Ok(None);
    };
    let mode: StrDeserializer<'_, serde::de::value::Error> = text.as_str().into_deserializer();
    Ok(XdpMode::deserialize(mode).ok())
}

/// Response of a daemon whose API answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Live {
    /// Always true.
    pub live: bool,
}

/// A set file that was not loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetProblem {
    /// The policy of its folder.
    pub policy: Policy,
    /// The file's name.
    pub file: String,
    /// The first invalid line, counted from 1, if a line caused the problem.
    pub line: Option<u64>,
    /// A description of the problem.
    pub message: String,
}

impl SetProblem {
    /// Whether the file is called as sets are, or nearly: others in their folders are no reason to worry.
    #[must_use]
    pub fn is_of_set(&self) -> bool {
        self.file.to_ascii_lowercase().ends_with(".couic")
    }
}

/// A notifier that does not work as it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotifierProblem {
    /// Its name.
    pub notifier: String,
    /// The problem, phrased to follow the name in a sentence.
    pub message: String,
}

/// A problem of the rules on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StateProblem {
    /// The file in the daemon's state directory, if one caused the problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The problem; if a file is given, phrased to follow its name in a sentence.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_serialize_as_their_names() {
        use XdpMode::{Generic, Native, Offloaded, Tcx};
        for mode in [Native, Generic, Offloaded, Tcx] {
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.as_str());
        }
    }

    #[test]
    fn an_unknown_mode_does_not_fail_the_document() {
        let read = |mode: &str| {
            let text = format!(r#"{{"name":"eth0","attached":true,{mode}"problem":null}}"#);
            serde_json::from_str::<InterfaceHealth>(&text).map(|i| i.mode)
        };
        assert_eq!(read(r#""mode":"tcx","#).unwrap(), Some(XdpMode::Tcx));
        assert_eq!(read(r#""mode":"levitating","#).unwrap(), None);
        assert_eq!(read(r#""mode":null,"#).unwrap(), None);
        assert_eq!(read("").unwrap(), None);
        assert!(read(r#""mode":7,"#).is_err());
    }
}
