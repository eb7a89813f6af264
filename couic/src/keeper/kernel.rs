//! What the wall needs of the kernel, as a trait: the real one, and a model in tests.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use couic_common::XdpMode;

use super::Interface;
use crate::dataplane::{LinkInfo, link, netlink, program_names};

/// Interfaces, and links between them and our program.
pub(crate) trait Kernel {
    /// A link, which goes when it is dropped unless it is kept somewhere.
    type Link;

    /// All interfaces of this network namespace.
    fn interfaces(&self) -> io::Result<Vec<Interface>>;

    /// Attaches our program.
    fn attach(&self, index: u32, mode: XdpMode) -> io::Result<Self::Link>;

    /// Puts our program in the place of the one that the link has.
    fn swap(&self, link: &Self::Link) -> io::Result<()>;

    /// What a link is of.
    fn info(&self, link: &Self::Link) -> io::Result<LinkInfo>;

    /// Takes the link's program off its interface.
    fn detach(&self, link: &Self::Link) -> io::Result<()>;

    /// The kernel's number for our program.
    fn program(&self) -> u32;

    /// A program's name, as far as this process may know it.
    fn name_of(&self, program: u32) -> Option<String>;
}

/// The kernel that this runs on.
#[derive(Debug)]
pub(crate) struct Linux {
    /// What is to be attached, and its number.
    program: Option<(OwnedFd, u32)>,
    /// Of programs that were there while this process could ask.
    names: HashMap<u32, String>,
}

impl Linux {
    /// Without a program yet.
    pub(crate) const fn new(names: HashMap<u32, String>) -> Self {
        Self {
            program: None,
            names,
        }
    }

    /// With the program that is to be attached, and its number.
    pub(crate) fn give(&mut self, program: OwnedFd, id: u32) {
        self.program = Some((program, id));
    }

    fn descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        let program = self.program.as_ref();
        let (program, _) = program.ok_or_else(|| io::Error::other("there is no program yet"))?;
        Ok(program.as_fd())
    }
}

impl Kernel for Linux {
    type Link = OwnedFd;

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        netlink::interfaces()
    }

    fn attach(&self, index: u32, mode: XdpMode) -> io::Result<OwnedFd> {
        link::create(self.descriptor()?, index, mode)
    }

    fn swap(&self, link: &OwnedFd) -> io::Result<()> {
        link::update(link.as_fd(), self.descriptor()?)
    }

    fn info(&self, link: &OwnedFd) -> io::Result<LinkInfo> {
        link::info(link.as_fd())
    }

    fn detach(&self, link: &OwnedFd) -> io::Result<()> {
        link::detach(link.as_fd())
    }

    fn program(&self) -> u32 {
        self.program.as_ref().map_or(0, |(_, id)| *id)
    }

    fn name_of(&self, program: u32) -> Option<String> {
        let known = self.names.get(&program).cloned();
        known.or_else(|| program_names().remove(&program))
    }
}
