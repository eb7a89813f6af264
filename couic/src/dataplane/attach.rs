//! Puts the program on interfaces, all or none, and tells afterwards whether it is still there.
//!
//! An interface that has an XDP program already is left alone: Couic never replaces what it did not attach.

use std::{collections::BTreeSet, ffi::CString, fmt, io, str::FromStr};

use aya::programs::{
    ProgramError, loaded_programs,
    xdp::{XdpLink, XdpMode as AyaMode},
};
use couic_common::{InterfaceHealth, XdpMode};

use super::{
    netlink::{OnInterface, attached},
    program::XdpProgram,
};

/// How the configuration wants the program attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
    fn attempts(self) -> &'static [(AyaMode, XdpMode)] {
        match self {
            Self::Auto => &[
                (AyaMode::Driver, XdpMode::Native),
                (AyaMode::Skb, XdpMode::Generic),
            ],
            Self::Native => &[(AyaMode::Driver, XdpMode::Native)],
            Self::Generic => &[(AyaMode::Skb, XdpMode::Generic)],
            Self::Offloaded => &[(AyaMode::Hardware, XdpMode::Offloaded)],
        }
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
    /// The kernel cannot be asked.
    #[error("cannot ask the kernel about interface {name}: {source}")]
    Query {
        /// The interface.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The kernel or the driver refused.
    #[error(
        "the XDP program cannot be attached to {name} in mode {mode}: {}; `operation_mode = \"auto\"` takes what works, and the kernel's log may say more", chain(.source)
    )]
    Refused {
        /// The interface.
        name: String,
        /// As configured.
        mode: OperationMode,
        /// Of the last attempt.
        source: ProgramError,
    },
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

#[derive(Debug)]
struct Attached {
    name: String,
    index: u32,
    mode: XdpMode,
    _link: XdpLink,
}

/// The program on its interfaces. Dropping it detaches.
#[derive(Debug)]
pub struct Attachments {
    // First, so that links go before the program does.
    interfaces: Vec<Attached>,
    program: XdpProgram,
}

impl XdpProgram {
    /// Attaches to every interface, or to none.
    ///
    /// # Errors
    /// [`AttachError`]; no interface has the program then.
    pub fn attach_all(
        mut self,
        ifaces: &[String],
        mode: OperationMode,
    ) -> Result<Attachments, AttachError> {
        let mut seen = BTreeSet::new();
        let mut wanted = Vec::new();
        for name in ifaces {
            let index =
                index_of(name).ok_or_else(|| AttachError::NoInterface { name: name.clone() })?;
            if seen.insert(index) {
                check_free(name, index)?;
                wanted.push((name, index));
            }
        }
        let mut interfaces = Vec::new();
        for (name, index) in wanted {
            interfaces.push(self.attach(name, index, mode)?);
        }
        Ok(Attachments {
            interfaces,
            program: self,
        })
    }

    fn attach(
        &mut self,
        name: &str,
        index: u32,
        mode: OperationMode,
    ) -> Result<Attached, AttachError> {
        let mut refused = ProgramError::NotLoaded;
        for (attempt, shown) in mode.attempts() {
            let link = self.xdp().and_then(|xdp| {
                let id = xdp.attach_to_if_index(index, *attempt)?;
                xdp.take_link(id)
            });
            match link {
                Ok(link) => {
                    tracing::info!("filtering on {name} in mode {}", shown_as(*shown));
                    return Ok(Attached {
                        name: name.to_owned(),
                        index,
                        mode: *shown,
                        _link: link,
                    });
                }
                Err(error) => {
                    tracing::debug!(
                        "{name}: no XDP in mode {}: {}",
                        shown_as(*shown),
                        chain(&error)
                    );
                    refused = error;
                }
            }
        }
        // It may have come between our look and our try.
        check_free(name, index)?;
        Err(AttachError::Refused {
            name: name.to_owned(),
            mode,
            source: refused,
        })
    }
}

fn shown_as(mode: XdpMode) -> &'static str {
    match mode {
        XdpMode::Native => "native",
        XdpMode::Generic => "generic",
        XdpMode::Offloaded => "offloaded",
    }
}

/// The index of an interface in this network namespace.
fn index_of(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a string that ends in a zero.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    (index != 0).then_some(index)
}

fn check_free(name: &str, index: u32) -> Result<(), AttachError> {
    match attached(index) {
        Ok(None) => Ok(()),
        Ok(Some(OnInterface { id, .. })) => Err(AttachError::Foreign {
            name: name.to_owned(),
            id,
            program: program_name(id),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(AttachError::NoInterface {
            name: name.to_owned(),
        }),
        Err(source) => Err(AttachError::Query {
            name: name.to_owned(),
            source,
        }),
    }
}

fn program_name(id: u32) -> String {
    let programs = loaded_programs().filter_map(Result::ok);
    let found = programs.into_iter().find(|program| program.id() == id);
    let name = found.and_then(|program| program.name_as_str().map(str::to_owned));
    name.unwrap_or_else(|| "?".to_owned())
}

impl Attachments {
    /// Asks the kernel, for every interface, whether it runs our program now.
    #[must_use]
    pub fn health(&self) -> Vec<InterfaceHealth> {
        self.interfaces
            .iter()
            .map(|interface| self.health_of(interface))
            .collect()
    }

    fn health_of(&self, interface: &Attached) -> InterfaceHealth {
        let (mode, problem) = match index_of(&interface.name) {
            None => (
                None,
                Some(format!(
                    "interface {} is gone: restart Couic when it is back",
                    interface.name
                )),
            ),
            Some(index) if index != interface.index => (
                None,
                Some(format!(
                    "interface {} was made anew and is not filtered: restart Couic",
                    interface.name
                )),
            ),
            Some(index) => self.on(index),
        };
        InterfaceHealth {
            name: interface.name.clone(),
            attached: mode.is_some(),
            mode,
            problem,
        }
    }

    fn on(&self, index: u32) -> (Option<XdpMode>, Option<String>) {
        match attached(index) {
            Ok(Some(OnInterface { id, mode })) if id == self.program.id => (Some(mode), None),
            Ok(Some(OnInterface { id, .. })) => {
                let name = program_name(id);
                (
                    None,
                    Some(format!(
                        "another XDP program took our place: \"{name}\" (id {id}); see `bpftool net`"
                    )),
                )
            }
            Ok(None) => (
                None,
                Some("somebody detached our XDP program: restart Couic".to_owned()),
            ),
            Err(error) => (None, Some(format!("the kernel does not answer: {error}"))),
        }
    }

    /// How each interface was attached.
    pub fn modes(&self) -> impl Iterator<Item = (&str, XdpMode)> {
        self.interfaces
            .iter()
            .map(|interface| (interface.name.as_str(), interface.mode))
    }

    /// The kernel's number for the program, as in `bpftool prog`.
    #[must_use]
    pub fn program_id(&self) -> u32 {
        self.program.id
    }

    /// Takes the program off every interface: packets pass unfiltered from then on.
    pub fn detach(self) {
        for (name, _) in self.modes() {
            tracing::info!("no longer filtering on {name}");
        }
    }
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

    #[test]
    fn names_with_zeros_are_no_interfaces() {
        assert_eq!(index_of("lo\0"), None);
        assert_eq!(index_of("lo"), Some(1));
    }
}
