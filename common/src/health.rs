//! Whether the filter stands.

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
    /// In the driver, before the kernel allocates anything for the frame.
    Native,
    /// In the network stack (SKB mode): works everywhere, costs more.
    Generic,
    /// In the network card.
    Offloaded,
    /// By TCX at the ingress of the traffic control layer, behind XDP (Linux 6.6): works beside another XDP program and
    /// on every link that carries IP, costs what generic XDP costs.
    Tcx,
}

impl XdpMode {
    /// Its name, as in the API.
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

/// The state as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum HealthStatus {
    /// All is well.
    Ok,
    /// Filtering, but something wants attention.
    Degraded,
    /// An interface is not filtered, or the panic switch is on.
    Down,
}

/// Answer of `GET /v1/health`: status 200, or 503 where an interface is not filtered or the panic switch is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// The state as a whole.
    pub status: HealthStatus,
    /// Of the daemon.
    pub version: String,
    /// Every interface that is to be filtered.
    pub interfaces: Vec<InterfaceHealth>,
    /// What else is wrong with the filter: patterns that match nothing, a filter that cannot stay.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter_problems: Vec<String>,
    /// Set files that were not loaded.
    pub set_problems: Vec<SetProblem>,
    /// Notifiers that somebody must look at. They never make the state worse than degraded.
    #[serde(default)]
    pub notifier_problems: Vec<NotifierProblem>,
    /// Peers that do not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peer_problems: Vec<PeerHealth>,
    /// Since when the panic switch lets everything pass, Unix seconds; nothing where it is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic_since: Option<u64>,
    /// What keeps the panic switch from staying as it is over a restart; nothing where all is well. It never makes the
    /// state worse than degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic_problem: Option<String>,
    /// What somebody must look at of changes that were to be undone: what could not be, and what was left alone. They
    /// never make the state worse than degraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirm_problems: Vec<String>,
    /// What may keep rules from outliving the daemon. They never make the state worse than degraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub state_problems: Vec<StateProblem>,
    /// What is good to know and no fault: protections that this kernel does not have. The state is the same with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What the running kernel lacks of what Couic uses where it is there, and what is different without. The state is
    /// the same with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing_features: Vec<String>,
}

impl Health {
    /// Of a daemon of this version with nothing to complain of, and no interface yet.
    #[must_use]
    pub fn well(version: impl Into<String>) -> Self {
        Self {
            status: HealthStatus::Ok,
            version: version.into(),
            interfaces: Vec::new(),
            filter_problems: Vec::new(),
            set_problems: Vec::new(),
            notifier_problems: Vec::new(),
            peer_problems: Vec::new(),
            panic_since: None,
            panic_problem: None,
            confirm_problems: Vec::new(),
            state_problems: Vec::new(),
            notes: Vec::new(),
            missing_features: Vec::new(),
        }
    }

    /// Something wants attention. What is down stays so.
    pub const fn degrade(&mut self) {
        if matches!(self.status, HealthStatus::Ok) {
            self.status = HealthStatus::Degraded;
        }
    }
}

/// One interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InterfaceHealth {
    /// Its name.
    pub name: String,
    /// Whether our program is attached.
    pub attached: bool,
    /// How.
    #[serde(default, deserialize_with = "known_mode")]
    pub mode: Option<XdpMode>,
    /// Why it is not attached.
    pub problem: Option<String>,
    /// Why it is attached in this mode, and what that costs, where the mode is not what most interfaces have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A mode that only another version knows counts as none: the rest of the document is worth reading all the same.
fn known_mode<'de, D: Deserializer<'de>>(document: D) -> Result<Option<XdpMode>, D::Error> {
    let Some(text) = Option::<String>::deserialize(document)? else {
        return Ok(None);
    };
    let mode: StrDeserializer<'_, serde::de::value::Error> = text.as_str().into_deserializer();
    Ok(XdpMode::deserialize(mode).ok())
}

/// A set file that was not loaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SetProblem {
    /// The policy whose folder it lies in.
    pub policy: Policy,
    /// The file's name.
    pub file: String,
    /// The first bad line, counted from 1, where one is to blame.
    pub line: Option<u64>,
    /// What is wrong.
    pub message: String,
}

/// A notifier that does not do what it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NotifierProblem {
    /// Its name.
    pub notifier: String,
    /// What is wrong, as what follows the name in a sentence.
    pub message: String,
}

/// The rules on disk are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StateProblem {
    /// The file in the daemon's state directory, where one is to blame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What is wrong; where there is a file, as what follows its name in a sentence.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_they_are_called() {
        use XdpMode::{Generic, Native, Offloaded, Tcx};
        for mode in [Native, Generic, Offloaded, Tcx] {
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.as_str());
        }
    }

    #[test]
    fn a_mode_of_another_version_spoils_nothing_else() {
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
