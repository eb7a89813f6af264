//! What the wall needs of the kernel, as a trait: the real one, and a model in tests.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use couic_common::XdpMode;

use super::Interface;
use couic_firewall::dataplane::{LinkInfo, Role, link, program_names};
use couic_netlink as netlink;

/// Interfaces, and links between them and our programs.
pub(crate) trait Kernel {
    /// A link, which goes when it is dropped unless it is kept somewhere.
    type Link;

    /// All interfaces of this network namespace.
    fn interfaces(&self) -> io::Result<Vec<Interface>>;

    /// Attaches our program of that role.
    fn attach(&self, index: u32, mode: XdpMode, role: Role) -> io::Result<Self::Link>;

    /// Puts our program of that role in the place of the one that the link has.
    fn swap(&self, link: &Self::Link, role: Role) -> io::Result<()>;

    /// What a link is of.
    fn info(&self, link: &Self::Link) -> io::Result<LinkInfo>;

    /// Takes the link's program off its interface.
    fn detach(&self, link: &Self::Link) -> io::Result<()>;

    /// The kernel's number for our program of that role; None where this kernel has no place for it.
    fn program(&self, role: Role) -> Option<u32>;

    /// A program's name, as far as this process may know it.
    fn name_of(&self, program: u32) -> Option<String>;

    /// The programs that an interface has by TCX, ours and others'.
    fn tcx_programs(&self, index: u32) -> Vec<u32>;
}

/// The kernel that this runs on.
#[derive(Debug)]
pub(crate) struct Linux {
    /// What is to be attached, and its number.
    programs: BTreeMap<Role, (OwnedFd, u32)>,
    /// Of programs that were there while this process could ask.
    names: HashMap<u32, String>,
}

impl Linux {
    /// Without a program yet.
    pub(crate) const fn new(names: HashMap<u32, String>) -> Self {
        Self {
            programs: BTreeMap::new(),
            names,
        }
    }

    /// With a program that is to be attached, and its number.
    pub(crate) fn give(&mut self, role: Role, program: OwnedFd, id: u32) {
        self.programs.insert(role, (program, id));
    }

    fn descriptor(&self, role: Role) -> io::Result<BorrowedFd<'_>> {
        let program = self.programs.get(&role);
        let (program, _) = program.ok_or_else(|| io::Error::other("there is no program yet"))?;
        Ok(program.as_fd())
    }
}

impl Kernel for Linux {
    type Link = OwnedFd;

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        netlink::interfaces()
    }

    fn attach(&self, index: u32, mode: XdpMode, role: Role) -> io::Result<OwnedFd> {
        link::create(self.descriptor(role)?, index, mode)
    }

    fn swap(&self, link: &OwnedFd, role: Role) -> io::Result<()> {
        link::update(link.as_fd(), self.descriptor(role)?)
    }

    fn info(&self, link: &OwnedFd) -> io::Result<LinkInfo> {
        link::info(link.as_fd())
    }

    fn detach(&self, link: &OwnedFd) -> io::Result<()> {
        link::detach(link.as_fd())
    }

    fn program(&self, role: Role) -> Option<u32> {
        self.programs.get(&role).map(|(_, id)| *id)
    }

    fn name_of(&self, program: u32) -> Option<String> {
        let known = self.names.get(&program).cloned();
        known.or_else(|| program_names().remove(&program))
    }

    fn tcx_programs(&self, index: u32) -> Vec<u32> {
        if self.program(Role::Tcx).is_none() {
            return Vec::new();
        }
        // Fails where the interface is gone meanwhile.
        link::tcx_programs(index).unwrap_or_default()
    }
}
