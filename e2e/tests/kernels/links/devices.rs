//! Devices of many kinds between the two namespaces of a lab, over its veth pairs, with addresses at both ends.

use std::process::Child;

use couic_e2e::Lab;
use tempfile::TempDir;

use super::setup::addresses;

/// A kind of device, and how its two ends are created.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) v4: bool,
    pub(super) v6: bool,
    /// The arguments of `ip link add NAME`, for a device whose ends differ only in the addresses `LOCAL` and `REMOTE`.
    pub(super) tunnel: &'static str,
}

const fn kind(name: &'static str, families: (bool, bool), tunnel: &'static str) -> Kind {
    Kind {
        name,
        v4: families.0,
        v6: families.1,
        tunnel,
    }
}

const BOTH: (bool, bool) = (true, true);
const V4: (bool, bool) = (true, false);
const V6: (bool, bool) = (false, true);

const KINDS: [Kind; 12] = [
    kind("l2vlan", BOTH, ""),
    kind("l2macvlan", BOTH, ""),
    kind("l2bridge", BOTH, ""),
    kind("l2bond", BOTH, ""),
    kind("l2gretap", BOTH, "type gretap local LOCAL remote REMOTE"),
    kind("l3ipip", V4, "type ipip local LOCAL remote REMOTE"),
    kind("l3sit", V6, "type sit local LOCAL remote REMOTE"),
    kind("l3gre", BOTH, "type gre local LOCAL remote REMOTE key 7"),
    kind(
        "l3ip6tnl",
        BOTH,
        "type ip6tnl mode any local LOCAL6 remote REMOTE6",
    ),
    kind("l3ip6gre", BOTH, "type ip6gre local LOCAL6 remote REMOTE6"),
    kind("l3wg", BOTH, ""),
    kind("l3ppp", BOTH, ""),
];

/// Addresses of one family: this end, and two at the other.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) here: String,
    pub(super) banned: String,
    pub(super) innocent: String,
}

/// A device that carries packets between the namespaces.
#[derive(Clone)]
pub(super) struct Device {
    name: &'static str,
    hosts: Vec<Host>,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl Device {
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    pub(super) fn ethernet(&self) -> bool {
        self.name.starts_with("l2")
    }

    /// Whether generic XDP sees the tunnel's outer header on a kernel of this version: GRE's always, the others' before
    /// 5.14 ("net: reset MAC header consistently across L3 virtual devices").
    pub(super) fn outer_header_first(&self, kernel: (u32, u32)) -> bool {
        let tunnel = ["l3ipip", "l3sit", "l3ip6tnl", "l3ip6gre"].contains(&self.name);
        self.name == "l3gre" || (tunnel && kernel < (5, 14))
    }
}

/// All devices that this kernel supports. They are deleted with the namespaces.
pub(super) struct Links {
    devices: Vec<Device>,
    pub(super) pppd: Vec<Child>,
    pub(super) keys: TempDir,
}

impl Links {
    /// Prints unsupported devices; panics instead if `COUIC_ALL_LINKS` is set.
    pub(super) fn make(lab: &Lab) -> Self {
        let keys = tempfile::tempdir().expect("a temporary directory");
        let mut links = Self {
            devices: Vec::new(),
            pppd: Vec::new(),
            keys,
        };
        for (number, kind) in (1..).zip(&KINDS) {
            match links.add(lab, kind, number) {
                Ok(()) => links.devices.push(Device {
                    name: kind.name,
                    hosts: addresses(lab, kind, number),
                }),
                Err(why) if std::env::var_os("COUIC_ALL_LINKS").is_some() => {
                    panic!("{}: {why}", kind.name)
                }
                Err(why) => println!("not on this machine: {}: {why}", kind.name),
            }
        }
        links
    }

    pub(super) fn all(&self) -> &[Device] {
        &self.devices
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        for pppd in &mut self.pppd {
            let _ = pppd.kill();
            let _ = pppd.wait();
        }
    }
}
