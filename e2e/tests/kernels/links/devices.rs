//! Devices of many kinds between the two namespaces of a lab, over its veth pairs, with addresses at both ends.

use std::{
    fs,
    process::{Child, Stdio},
    time::Duration,
};

use couic_e2e::{
    HOST_IFACE, HOST_V4, HOST_V6, Lab, Netns, OUTSIDE_IFACE, OUTSIDE_V4, OUTSIDE_V6, until,
};
use tempfile::TempDir;

/// pppd has to negotiate, on a slow emulated processor.
const PATIENCE: Duration = Duration::from_secs(60);

/// A kind of device, and how its two ends are created.
struct Kind {
    name: &'static str,
    v4: bool,
    v6: bool,
    /// The arguments of `ip link add NAME`, for a device whose ends differ only in the addresses `LOCAL` and `REMOTE`.
    tunnel: &'static str,
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
    pppd: Vec<Child>,
    _keys: TempDir,
}

impl Links {
    /// Prints unsupported devices; panics instead if `COUIC_ALL_LINKS` is set.
    pub(super) fn make(lab: &Lab) -> Self {
        let keys = tempfile::tempdir().expect("a temporary directory");
        let mut links = Self {
            devices: Vec::new(),
            pppd: Vec::new(),
            _keys: keys,
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

    fn add(&mut self, lab: &Lab, kind: &Kind, number: u8) -> Result<(), String> {
        let name = kind.name;
        match name {
            "l2vlan" => {
                let tag = |parent| format!("link add link {parent} name {name} type vlan id 5");
                on(&lab.host, &tag(HOST_IFACE))?;
                on(&lab.outside, &tag(OUTSIDE_IFACE))?;
            }
            "l2macvlan" | "l2bridge" | "l2bond" => over_a_pair(lab, name, number)?,
            "l3wg" => self.wireguard(lab)?,
            "l3ppp" => self.ppp(lab)?,
            _ => {
                for (netns, [v4, v6], [peer4, peer6]) in [
                    (&lab.host, [HOST_V4, HOST_V6], [OUTSIDE_V4, OUTSIDE_V6]),
                    (&lab.outside, [OUTSIDE_V4, OUTSIDE_V6], [HOST_V4, HOST_V6]),
                ] {
                    let ends = kind.tunnel.replace("LOCAL6", v6).replace("REMOTE6", peer6);
                    let ends = ends.replace("LOCAL", v4).replace("REMOTE", peer4);
                    on(netns, &format!("link add {name} {ends}"))?;
                }
            }
        }
        for netns in [&lab.host, &lab.outside] {
            on(netns, &format!("link set {name} up"))?;
        }
        Ok(())
    }

    fn wireguard(&self, lab: &Lab) -> Result<(), String> {
        let key = |netns: &Netns, file: &str| {
            on(netns, "link add l3wg type wireguard")?;
            let private = output(netns, "wg", "genkey")?;
            let path = self._keys.path().join(file);
            fs::write(&path, &private).map_err(|e| e.to_string())?;
            let set = format!("set l3wg private-key {} listen-port 51820", path.display());
            output(netns, "wg", &set)?;
            Ok::<_, String>(
                output(netns, "wg", "show l3wg public-key")?
                    .trim()
                    .to_owned(),
            )
        };
        let (ours, theirs) = (key(&lab.host, "host")?, key(&lab.outside, "outside")?);
        for (netns, peer, address) in [
            (&lab.host, theirs, OUTSIDE_V4),
            (&lab.outside, ours, HOST_V4),
        ] {
            let peer =
                format!("set l3wg peer {peer} endpoint {address}:51820 allowed-ips 0.0.0.0/0,::/0");
            output(netns, "wg", &peer)?;
        }
        Ok(())
    }

    /// A PPPoE session over the veth pair. Session and address of the other end are configured on both, so that no
    /// discovery of an access concentrator is needed.
    fn ppp(&mut self, lab: &Lab) -> Result<(), String> {
        let ends = [
            (
                &lab.host,
                HOST_IFACE,
                (&lab.outside, OUTSIDE_IFACE),
                "10.99.0.1:10.99.0.2",
            ),
            (
                &lab.outside,
                OUTSIDE_IFACE,
                (&lab.host, HOST_IFACE),
                "10.99.0.2:10.99.0.1",
            ),
        ];
        for (netns, device, (there, other), addresses) in ends {
            let path = format!("/sys/class/net/{other}/address");
            let mac = there.run("ip", &["-br", "link", "show", other]);
            let mac = mac.split_whitespace().nth(2).ok_or(path)?.to_owned();
            let session = format!("1:{mac}");
            let mut pppd = netns.command("pppd");
            pppd.args(["plugin", "pppoe.so", device, "rp_pppoe_sess", &session]);
            pppd.args([
                "noauth",
                "nodetach",
                "nodefaultroute",
                "ifname",
                "l3ppp",
                addresses,
            ]);
            pppd.args(["lcp-restart", "1", "+ipv6"]);
            pppd.stdin(Stdio::null());
            self.pppd
                .push(pppd.spawn().map_err(|e| format!("pppd: {e}"))?);
        }
        for netns in [&lab.host, &lab.outside] {
            let mut ended = None;
            until("the PPP session is up", PATIENCE, || {
                ended = self
                    .pppd
                    .iter_mut()
                    .find_map(|pppd| pppd.try_wait().ok().flatten());
                let shown = netns.output("ip", &["-br", "addr", "show", "l3ppp"]);
                let up = String::from_utf8_lossy(&shown.stdout).contains("10.99.0.");
                (up || ended.is_some()).then_some(())
            });
            if let Some(status) = ended {
                return Err(format!("pppd ended: {status}"));
            }
        }
        Ok(())
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

/// A device over the host's end of a separate veth pair, whose other end gets the device's name outside.
fn over_a_pair(lab: &Lab, name: &str, number: u8) -> Result<(), String> {
    let under = format!("under{number}");
    match name {
        "l2macvlan" => {
            lab.join(&under, name);
            // Otherwise the host would answer ARP for the device's address there, too.
            on(&lab.host, &format!("link set {under} arp off"))?;
            on(
                &lab.host,
                &format!("link add link {under} name {name} type macvlan mode bridge"),
            )
        }
        "l2bridge" => {
            on(&lab.host, &format!("link add {name} type bridge"))?;
            lab.join(&under, name);
            on(&lab.host, &format!("link set {under} master {name}"))
        }
        _ => {
            on(
                &lab.host,
                &format!("link add {name} type bond mode active-backup miimon 50"),
            )?;
            lab.join(&under, name);
            on(&lab.host, &format!("link set {under} down"))?;
            on(&lab.host, &format!("link set {under} master {name}"))
        }
    }
}

fn addresses(lab: &Lab, kind: &Kind, number: u8) -> Vec<Host> {
    let mut hosts = Vec::new();
    let families = [
        (kind.v4, format!("10.98.{number}."), 24),
        (kind.v6, format!("fd98:{number}::"), 64),
    ];
    for (_, prefix, length) in families.into_iter().filter(|(carried, ..)| *carried) {
        let [here, banned, innocent] = ["1", "66", "2"].map(|last| format!("{prefix}{last}"));
        for (netns, address) in [
            (&lab.host, &here),
            (&lab.outside, &innocent),
            (&lab.outside, &banned),
        ] {
            let nodad = if length == 64 { " nodad" } else { "" };
            let add = format!("addr add {address}/{length} dev {}{nodad}", kind.name);
            on(netns, &add).unwrap_or_else(|why| panic!("{add}: {why}"));
        }
        hosts.push(Host {
            here,
            banned,
            innocent,
        });
    }
    hosts
}

/// Runs `ip` with these arguments.
fn on(netns: &Netns, arguments: &str) -> Result<(), String> {
    output(netns, "ip", arguments).map(drop)
}

fn output(netns: &Netns, program: &str, arguments: &str) -> Result<String, String> {
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let done = netns.command(program).args(&arguments).output();
    let done = done.map_err(|e| format!("{program}: {e}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    Err(format!(
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&done.stderr).trim()
    ))
}
