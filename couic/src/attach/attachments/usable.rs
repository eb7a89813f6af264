//! The modes that are usable on an interface, beside the programs that it runs already.

use std::io;

use couic_common::XdpMode;

use super::{Attachments, Interface};
use crate::attach::{kernel::Kernel, modes::candidate_modes};
use couic_firewall::dataplane::{AttachError, ENTRIES, Hook, OperationMode, Role};
use couic_netlink::OnInterface;

impl<K: Kernel> Attachments<K> {
    /// The modes that other programs on the interface leave. Another Couic leaves none, since both would drop and
    /// count. `auto` does not attach beside an XDP program without a name: it may be our own, with old rules.
    pub(super) fn usable_modes(
        &self,
        interface: &Interface,
    ) -> Result<&'static [XdpMode], AttachError> {
        let Interface { index, name, .. } = interface;
        let modes = self.modes(interface)?;
        let xdp = self.foreign_xdp(interface);
        let here = self.kernel.tcx_programs(*index).into_iter();
        let here = here.chain(xdp.map(|on| on.id));
        for id in here.filter(|id| !self.is_ours(*id)) {
            let program = self.kernel.name_of(id);
            if program.is_some_and(|program| ENTRIES.contains(&program.as_str())) {
                let name = name.clone();
                return Err(AttachError::OtherCouic { name, id });
            }
        }
        match xdp {
            Some(on) if !modes.contains(&XdpMode::Tcx) => Err(self.foreign(name, on)),
            Some(OnInterface { id, .. })
                if self.mode == OperationMode::Auto && self.kernel.name_of(id).is_none() =>
            {
                let name = name.clone();
                Err(AttachError::Unnamed { name, id })
            }
            _ => Ok(modes),
        }
    }

    pub(super) fn modes(&self, interface: &Interface) -> Result<&'static [XdpMode], AttachError> {
        candidate_modes(self.mode, interface, self.has_tcx())
    }

    fn has_tcx(&self) -> bool {
        self.kernel.program(Role::Tcx).is_some()
    }

    /// The mode and program of a link on an interface; `None` if it is not attached there, such as after a detach from
    /// outside.
    pub(super) fn mode_of(&self, link: &K::Link, interface: &Interface) -> Option<(XdpMode, u32)> {
        let info = self.kernel.info(link).ok()?;
        if info.index != interface.index {
            return None;
        }
        let mode = match info.hook {
            Hook::Tcx => XdpMode::Tcx,
            Hook::Xdp => interface.xdp.filter(|on| on.id == info.program)?.mode,
        };
        Some((mode, info.program))
    }

    pub(super) fn is_ours(&self, program: u32) -> bool {
        let roles = [Role::Ethernet, Role::Ip, Role::Tcx];
        let mut ours = roles
            .into_iter()
            .filter_map(|role| self.kernel.program(role));
        ours.any(|id| id == program) || self.before.contains(&program)
    }

    /// The XDP program on an interface, if it is not one of ours.
    pub(super) fn foreign_xdp(&self, interface: &Interface) -> Option<OnInterface> {
        interface.xdp.filter(|on| !self.is_ours(on.id))
    }

    pub(super) fn foreign(&self, name: &str, on: OnInterface) -> AttachError {
        AttachError::foreign(name, on.id, self.kernel.name_of(on.id), self.has_tcx())
    }

    pub(super) fn refused(&self, name: &str, source: io::Error) -> AttachError {
        AttachError::Refused {
            name: name.to_owned(),
            mode: self.mode,
            source,
        }
    }
}
