//! The kernel interface of [`attachments`](super::attachments), as a trait: the real one, and a model in tests.

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
    /// A link, detached when dropped unless it is stored elsewhere.
    type Link;

    /// All interfaces of this network namespace.
    fn interfaces(&self) -> io::Result<Vec<Interface>>;

    /// Attaches our program for that role.
    fn attach(&self, index: u32, mode: XdpMode, role: Role) -> io::Result<Self::Link>;

    /// Replaces the link's program, atomically, by ours for that role.
    fn swap(&self, link: &Self::Link, role: Role) -> io::Result<()>;

    /// The interface, program and hook of a link.
    fn info(&self, link: &Self::Link) -> io::Result<LinkInfo>;

    /// Detaches the link from its interface.
    fn detach(&self, link: &Self::Link) -> io::Result<()>;

    /// The ID of our program for that role; `None` if this kernel does not support it.
    fn program(&self, role: Role) -> Option<u32>;

    /// A program's name, if this process may read it.
    fn name_of(&self, program: u32) -> Option<String>;

    /// The TCX programs of an interface, ours and foreign ones.
    fn tcx_programs(&self, index: u32) -> Vec<u32>;
}

/// The running kernel.
#[derive(Debug)]
pub(crate) struct Linux {
    /// Our programs and their IDs.
    programs: BTreeMap<Role, (OwnedFd, u32)>,
    /// Names of programs, read before `CAP_SYS_ADMIN` was dropped.
    names: HashMap<u32, String>,
}

impl Linux {
    pub(crate) const fn new(names: HashMap<u32, String>) -> Self {
        Self {
            programs: BTreeMap::new(),
            names,
        }
    }

    /// Adds our program for `role`, with its ID.
    pub(crate) fn add_program(&mut self, role: Role, program: OwnedFd, id: u32) {
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
        // Fails if the interface is gone meanwhile.
        link::tcx_programs(index).unwrap_or_default()
    }
}
