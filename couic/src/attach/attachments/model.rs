//! A model of the kernel: interfaces, their attachments, and links that detach with their last reference.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::{Rc, Weak},
};

use couic_common::XdpMode;

use super::{
    super::{Interface, kernel::Kernel, pattern::Pattern},
    Attachments,
};
use couic_firewall::dataplane::{Hook, LinkInfo, OperationMode, Role};
use couic_netlink::{LinkLayer, OnInterface};

const OURS: u32 = 100;
pub(super) const FOREIGN: u32 = 7_000_000;

/// Offsets of program IDs for other roles from the ID for Ethernet.
pub(super) const IP: u32 = 1_000_000;
pub(super) const TCX: u32 = 2_000_000;
pub(super) const PLAIN: LinkLayer = LinkLayer::Ethernet;
pub(super) const TUN: LinkLayer = LinkLayer::Ip { generic: true };
pub(super) const GRE: LinkLayer = LinkLayer::Ip { generic: false };
pub(super) const CAN: LinkLayer = LinkLayer::Other(280);

#[derive(Clone, Debug)]
pub(super) struct Port {
    index: u32,
    pub(super) name: String,
    /// Whether the driver supports XDP.
    native: bool,
    pub(super) layer: LinkLayer,
    pub(super) on: Option<(OnInterface, u32)>,
    /// Programs and links.
    pub(super) tcx: Vec<(u32, u32)>,
    /// How often a suitable program was detached with none left.
    pub(super) bare: usize,
}

impl Port {
    /// Whether this program of ours parses the link layer.
    fn suits(&self, program: u32) -> bool {
        match self.layer {
            LinkLayer::Ethernet => !(IP..TCX).contains(&program),
            LinkLayer::Ip { generic } => program >= TCX || (program >= IP && generic),
            LinkLayer::Other(_) => false,
        }
    }

    /// The attached programs of ours.
    pub(super) fn ours(&self) -> Vec<u32> {
        let tcx = self.tcx.iter().map(|(id, _)| *id);
        let on = self.on.map(|(on, _)| on.id);
        tcx.chain(on).filter(|id| *id < FOREIGN).collect()
    }
}

#[derive(Debug, Default)]
pub(super) struct Net {
    pub(super) ports: Vec<Port>,
    next: u32,
    /// An interface whose links cannot be updated.
    pub(super) stubborn: Option<u32>,
    /// Whether names of programs cannot be read.
    pub(super) nameless: bool,
    /// Whether all XDP programs are detached from outside right after the next list of interfaces.
    pub(super) detached_after_list: bool,
}

impl Net {
    fn port(&mut self, index: u32) -> Option<&mut Port> {
        self.ports.iter_mut().find(|p| p.index == index)
    }

    pub(super) fn add(&mut self, name: &str, native: bool) -> u32 {
        self.next += 1;
        self.ports.push(Port {
            index: self.next,
            name: name.to_owned(),
            native,
            layer: PLAIN,
            on: None,
            tcx: Vec::new(),
            bare: 0,
        });
        self.next
    }

    fn take_off(&mut self, link: u32) {
        for port in &mut self.ports {
            let before = port.ours();
            port.on = port.on.filter(|(_, by)| *by != link);
            port.tcx.retain(|(_, by)| *by != link);
            let was_right = before.iter().any(|id| port.suits(*id));
            if was_right && port.ours().is_empty() {
                port.bare += 1;
            }
        }
    }

    pub(super) fn runs(&self) -> Vec<(&str, Option<(u32, XdpMode)>)> {
        let run = |p: &'_ Port| p.on.map(|(on, _)| (on.id, on.mode));
        self.ports
            .iter()
            .map(|p| (p.name.as_str(), run(p)))
            .collect()
    }
}

/// Detached with its last reference.
#[derive(Debug)]
pub(super) struct FakeLink {
    id: u32,
    pub(super) hook: Hook,
    /// Also of a link that was detached from outside.
    program: Cell<u32>,
    net: Weak<RefCell<Net>>,
}

impl Drop for FakeLink {
    fn drop(&mut self) {
        if let Some(net) = self.net.upgrade() {
            net.borrow_mut().take_off(self.id);
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Fake {
    pub(super) net: Rc<RefCell<Net>>,
    pub(super) program: u32,
    /// Linux 6.6.
    pub(super) has_tcx: bool,
}

impl Fake {
    pub(super) fn new(ports: &[(&str, bool)]) -> Self {
        let net = Rc::new(RefCell::new(Net::default()));
        for (name, native) in ports {
            net.borrow_mut().add(name, *native);
        }
        Self {
            net,
            program: OURS,
            has_tcx: true,
        }
    }

    pub(super) fn old(self) -> Self {
        Self {
            has_tcx: false,
            ..self
        }
    }

    pub(super) fn attachments(
        &self,
        program: u32,
        ifaces: &[&str],
        mode: OperationMode,
    ) -> Attachments<Self> {
        let patterns = ifaces.iter().map(|text| Pattern::new(text)).collect();
        let fake = Self {
            program,
            ..self.clone()
        };
        Attachments::new(fake, patterns, mode)
    }

    /// The XDP program of each interface, in order.
    pub(super) fn programs(&self) -> Vec<Option<u32>> {
        let net = self.net.borrow();
        net.runs()
            .iter()
            .map(|(_, on)| on.map(|(id, _)| id))
            .collect()
    }

    /// Our programs on each interface, in order.
    pub(super) fn ours(&self) -> Vec<Vec<u32>> {
        self.net.borrow().ports.iter().map(Port::ours).collect()
    }

    pub(super) fn bare(&self) -> usize {
        self.net.borrow().ports.iter().map(|p| p.bare).sum()
    }

    pub(super) fn occupy(&self, index: u32) {
        let on = OnInterface {
            id: FOREIGN,
            mode: XdpMode::Native,
        };
        if let Some(port) = self.net.borrow_mut().port(index) {
            port.on = Some((on, 0));
        }
    }

    pub(super) fn retype(&self, index: u32, layer: LinkLayer) {
        if let Some(port) = self.net.borrow_mut().port(index) {
            port.layer = layer;
        }
    }
}

impl Kernel for Fake {
    type Link = Rc<FakeLink>;

    fn interfaces(&self) -> io::Result<Vec<Interface>> {
        let mut net = self.net.borrow_mut();
        let ports = net.ports.clone();
        if std::mem::take(&mut net.detached_after_list) {
            net.ports.iter_mut().for_each(|port| port.on = None);
        }
        let shown = ports.into_iter().map(|port| Interface {
            index: port.index,
            loopback: port.name == "lo",
            name: port.name,
            layer: port.layer,
            xdp: port.on.map(|(on, _)| on),
        });
        Ok(shown.collect())
    }

    fn attach(&self, index: u32, mode: XdpMode, role: Role) -> io::Result<Self::Link> {
        let hook = Hook::from(mode);
        let program = self.program(role).ok_or(io::ErrorKind::InvalidInput)?;
        assert_eq!(hook == Hook::Tcx, role == Role::Tcx);
        let mut net = self.net.borrow_mut();
        net.next += 1;
        let id = net.next;
        let port = net.port(index).ok_or(io::ErrorKind::NotFound)?;
        if hook == Hook::Tcx {
            port.tcx.insert(0, (program, id));
        } else if port.on.is_some() {
            return Err(io::ErrorKind::ResourceBusy.into());
        } else if mode == XdpMode::Offloaded || (mode == XdpMode::Native && !port.native) {
            return Err(io::ErrorKind::Unsupported.into());
        } else {
            port.on = Some((OnInterface { id: program, mode }, id));
        }
        drop(net);
        Ok(Rc::new(FakeLink {
            id,
            hook,
            program: Cell::new(program),
            net: Rc::downgrade(&self.net),
        }))
    }

    fn swap(&self, link: &Self::Link, role: Role) -> io::Result<()> {
        let program = self.program(role).ok_or(io::ErrorKind::InvalidInput)?;
        let index = self.info(link)?.index;
        let mut net = self.net.borrow_mut();
        if net.stubborn == Some(index) {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let port = net.port(index).ok_or(io::ErrorKind::NotConnected)?;
        link.program.set(program);
        match (link.hook, &mut port.on) {
            (Hook::Xdp, Some((on, _))) => on.id = program,
            _ => {
                for (id, _) in port.tcx.iter_mut().filter(|(_, by)| *by == link.id) {
                    *id = program;
                }
            }
        }
        Ok(())
    }

    fn info(&self, link: &Self::Link) -> io::Result<LinkInfo> {
        let net = self.net.borrow();
        let attached = |port: &&Port| {
            let on = port.on.map(|(_, by)| by);
            let mut all = port.tcx.iter().map(|(_, by)| *by).chain(on);
            all.any(|by| by == link.id)
        };
        Ok(LinkInfo {
            index: net.ports.iter().find(attached).map_or(0, |port| port.index),
            program: link.program.get(),
            hook: link.hook,
        })
    }

    fn detach(&self, link: &Self::Link) -> io::Result<()> {
        self.net.borrow_mut().take_off(link.id);
        Ok(())
    }

    fn program(&self, role: Role) -> Option<u32> {
        match role {
            Role::Ethernet => Some(self.program),
            Role::Ip => Some(self.program + IP),
            Role::Tcx => self.has_tcx.then_some(self.program + TCX),
        }
    }

    fn name_of(&self, program: u32) -> Option<String> {
        if self.net.borrow().nameless {
            return None;
        }
        let name = match program {
            FOREIGN.. => "theirs",
            TCX.. => "couic_tcx",
            IP.. => "couic_ip",
            _ => "couic",
        };
        Some(name.to_owned())
    }

    fn tcx_programs(&self, index: u32) -> Vec<u32> {
        let mut net = self.net.borrow_mut();
        let port = net.port(index);
        port.map_or_else(Vec::new, |p| p.tcx.iter().map(|(id, _)| *id).collect())
    }
}
