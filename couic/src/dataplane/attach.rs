//! How a program may be attached, and why it is not.

use std::{collections::HashMap, fmt, io, str::FromStr};

use aya::programs::{ProgramInfo, loaded_programs};
use couic_common::XdpMode;
use serde::{Deserialize, Serialize};

use super::program::ENTRIES;

/// How the configuration wants the program attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationMode {
    /// Native where the driver can, else generic.
    #[default]
    Auto,
    /// In the driver or not at all.
    Native,
    /// In the network stack.
    Generic,
    /// In the network card or not at all.
    Offloaded,
}

/// Not the name of a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be auto, native, generic or offloaded")]
pub struct ModeError;

impl FromStr for OperationMode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        match text {
            "auto" => Ok(Self::Auto),
            "native" => Ok(Self::Native),
            "generic" => Ok(Self::Generic),
            "offloaded" => Ok(Self::Offloaded),
            _ => Err(ModeError),
        }
    }
}

impl fmt::Display for OperationMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Offloaded => "offloaded",
        })
    }
}

impl OperationMode {
    /// What to try, in turn.
    pub(crate) fn attempts(self) -> &'static [XdpMode] {
        match self {
            Self::Auto => &[XdpMode::Native, XdpMode::Generic],
            Self::Native => &[XdpMode::Native],
            Self::Generic => &[XdpMode::Generic],
            Self::Offloaded => &[XdpMode::Offloaded],
        }
    }

    /// Whether an interface that is filtered in `mode` is as the configuration wants it. What `auto` chose once stays:
    /// only by opening the wall for a moment could one see what else the driver can.
    pub(crate) fn allows(self, mode: XdpMode) -> bool {
        self.attempts().contains(&mode)
    }
}

/// Why nothing is attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is no such interface.
    #[error("there is no interface {name}: see `ip link`, and `ifaces` in the configuration")]
    NoInterface {
        /// As configured.
        name: String,
    },
    /// Somebody else's program is there.
    #[error(
        "interface {name} already runs the XDP program \"{program}\" (id {id}), which is not Couic's: see `bpftool net` and `bpftool prog show id {id}`; stop its owner, or detach it with `ip link set dev {name} xdp off`, then start Couic again"
    )]
    Foreign {
        /// The interface.
        name: String,
        /// The kernel's number for the program.
        id: u32,
        /// Its name, as far as the kernel tells.
        program: String,
    },
    /// Another Couic's program is there.
    #[error(
        "interface {name} already runs the XDP program of another Couic (id {id}), one with another working_dir: take {name} out of the ifaces of one of them, and open that one's wall with `couic detach -c FILE`"
    )]
    OtherCouic {
        /// The interface.
        name: String,
        /// The kernel's number for the program.
        id: u32,
    },
    /// The kernel cannot be asked.
    #[error("cannot ask the kernel for its interfaces: {0}")]
    List(io::Error),
    /// The kernel or the driver refused.
    #[error(
        "the XDP program cannot be attached to {name} in mode {mode}: {source}; `operation_mode = \"auto\"` takes what works, and the kernel's log may say more"
    )]
    Refused {
        /// The interface.
        name: String,
        /// As configured.
        mode: OperationMode,
        /// Of the last attempt.
        source: io::Error,
    },
}

impl AttachError {
    /// Somebody else has the interface. A program's name tells whether that is a Couic.
    pub(crate) fn foreign(name: &str, id: u32, program: Option<String>) -> Self {
        let name = name.to_owned();
        match program {
            Some(program) if ENTRIES.contains(&program.as_str()) => Self::OtherCouic { name, id },
            program => Self::Foreign {
                name,
                id,
                program: program.unwrap_or_else(|| "?".to_owned()),
            },
        }
    }
}

/// The names of the programs in the kernel, as far as it tells: only who may administrate the whole system may ask for other
/// programs than one's own.
pub(crate) fn program_names() -> HashMap<u32, String> {
    let programs = loaded_programs().filter_map(Result::ok);
    let name = |program: ProgramInfo| Some((program.id(), program.name_as_str()?.to_owned()));
    programs.filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_what_they_write() {
        use OperationMode::{Auto, Generic, Native, Offloaded};
        for mode in [Auto, Native, Generic, Offloaded] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert_eq!("Native".parse::<OperationMode>(), Err(ModeError));
    }
}
