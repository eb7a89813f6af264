//! How a program may be attached, and why it is not.

use std::{collections::HashMap, fmt, io, str::FromStr};

use aya::programs::{ProgramInfo, loaded_programs};
use couic_netlink::LinkLayer;
use serde::{Deserialize, Serialize};

use super::program::ENTRIES;

/// How the configuration wants the program attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationMode {
    /// Native if the driver can, else generic; by TCX if XDP is taken or there is no Ethernet header.
    #[default]
    Auto,
    /// In the driver or not at all.
    Native,
    /// In the network stack.
    Generic,
    /// In the network card or not at all.
    Offloaded,
    /// By TCX, behind XDP.
    Tcx,
}

/// Not the name of a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be auto, native, generic, offloaded or tcx")]
pub struct ModeError;

impl FromStr for OperationMode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        match text {
            "auto" => Ok(Self::Auto),
            "native" => Ok(Self::Native),
            "generic" => Ok(Self::Generic),
            "offloaded" => Ok(Self::Offloaded),
            "tcx" => Ok(Self::Tcx),
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
            Self::Tcx => "tcx",
        })
    }
}

/// Why nothing is attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// There is no such interface.
    #[error(
        "there is no interface {name}: {}see `ip link`, and `ifaces` in the configuration",
        real.as_ref().map_or(String::new(), |real| format!("that is an alternative name (altname) of {real}, write {real} instead; "))
    )]
    NoInterface {
        /// As configured.
        name: String,
        /// The name of the interface that has it as an alternative name.
        real: Option<String>,
    },
    /// Another program is attached.
    #[error(
        "interface {name} already runs the XDP program \"{program}\" (id {id}), which is not Couic's: see `bpftool net` and `bpftool prog show id {id}`; stop its owner, or detach it with `ip link set dev {name} xdp off`, then start Couic again{}",
        if *.tcx { "; or set operation_mode = \"auto\" or \"tcx\", which filter behind it, by TCX" } else { "" }
    )]
    Foreign {
        /// The interface.
        name: String,
        /// The kernel's number for the program.
        id: u32,
        /// Its name, as far as the kernel tells.
        program: String,
        /// Whether this kernel has TCX, which goes together with it.
        tcx: bool,
    },
    /// A program is there whose name this process may not ask for, so that it may be one of Couic's own.
    #[error(
        "interface {name} already runs an XDP program (id {id}) whose name couic may not ask for without CAP_SYS_ADMIN: it may be a filter of couic's own, kept in a bpf filesystem that this process cannot see or read. See `bpftool prog show id {id}`, as root: if it is couic's, run `couic detach -c FILE`; if it is not, set operation_mode = \"tcx\", which filters behind it"
    )]
    Unnamed {
        /// The interface.
        name: String,
        /// The kernel's number for the program.
        id: u32,
    },
    /// Another Couic's program is there.
    #[error(
        "interface {name} already runs the program of another Couic (id {id}), one with another working_dir: take {name} out of the ifaces of one of them, and detach that one's filter with `couic detach -c FILE`"
    )]
    OtherCouic {
        /// The interface.
        name: String,
        /// The kernel's number for the program.
        id: u32,
    },
    /// No IP packets in a form that is known.
    #[error(
        "interface {name} cannot be filtered: what it carries is {layer}, in which Couic does not find source addresses; take {name} out of ifaces, and filter the interface below or above it, where packets have an Ethernet header or begin with the IP header"
    )]
    Layer {
        /// The interface.
        name: String,
        /// The link's type.
        layer: LinkLayer,
    },
    /// Without an Ethernet header, some modes cannot be had.
    #[error(
        "interface {name} cannot be filtered in mode {mode}: it has no Ethernet header (a tunnel or a point-to-point link), and {}; {}",
        match .mode {
            OperationMode::Generic => "on links of this kind generic XDP sees the header of the tunnel, not the packet's",
            _ => "no driver and no card runs XDP for such links",
        },
        match (.auto, .tcx) {
            (_, true) => "set operation_mode = \"auto\" or \"tcx\"",
            (true, false) => "set operation_mode = \"auto\"",
            (false, false) => "filtering it by TCX, with operation_mode = \"auto\", needs Linux 6.6: until then filter the interface below it",
        }
    )]
    NoHeader {
        /// The interface.
        name: String,
        /// As configured.
        mode: OperationMode,
        /// Whether `auto` finds a way on this kernel.
        auto: bool,
        /// Whether this kernel has TCX.
        tcx: bool,
    },
    /// The required kernel.
    #[error(
        "interface {name} cannot be filtered{}: that takes TCX, which needs Linux 6.6 and is not in this kernel; {}",
        match .layer {
            LinkLayer::Ip { generic: false } => ", since it has no Ethernet header and generic XDP sees the header of the tunnel, not the packet's",
            _ => " in mode tcx",
        },
        match .layer {
            LinkLayer::Ip { generic: false } => "filter the interface below it",
            LinkLayer::Ip { generic: true } => "set operation_mode = \"auto\" or \"generic\"",
            _ => "set operation_mode = \"auto\"",
        }
    )]
    NoTcx {
        /// The interface.
        name: String,
        /// The link's type.
        layer: LinkLayer,
    },
    /// The kernel cannot be asked.
    #[error("cannot ask the kernel for its interfaces: {0}")]
    List(io::Error),
    /// The kernel or the driver refused.
    #[error(
        "the filter cannot be attached to {name} in mode {mode}: {source}; `operation_mode = \"auto\"` takes what works, and the kernel's log may say more"
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
    /// Another program has the interface. Its name shows whether it is a Couic.
    pub fn foreign(name: &str, id: u32, program: Option<String>, tcx: bool) -> Self {
        let name = name.to_owned();
        match program {
            Some(program) if ENTRIES.contains(&program.as_str()) => Self::OtherCouic { name, id },
            program => Self::Foreign {
                name,
                id,
                program: program.unwrap_or_else(|| "?".to_owned()),
                tcx,
            },
        }
    }
}

/// The names of the programs in the kernel, as far as it tells: only who may administrate the whole system may ask for other
/// programs than one's own.
pub fn program_names() -> HashMap<u32, String> {
    let programs = loaded_programs().filter_map(Result::ok);
    let name = |program: ProgramInfo| Some((program.id(), program.name_as_str()?.to_owned()));
    programs.filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_read_what_they_write() {
        use OperationMode::{Auto, Generic, Native, Offloaded, Tcx};
        for mode in [Auto, Native, Generic, Offloaded, Tcx] {
            assert_eq!(mode.to_string().parse(), Ok(mode));
        }
        assert_eq!("Native".parse::<OperationMode>(), Err(ModeError));
    }
}
