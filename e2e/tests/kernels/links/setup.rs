//! The commands that create the devices: `ip`, `wg` and `pppd`, in the namespaces of a lab.

use std::{fs, process::Stdio, time::Duration};

use couic_e2e::{
    HOST_IFACE, HOST_V4, HOST_V6, Lab, Netns, OUTSIDE_IFACE, OUTSIDE_V4, OUTSIDE_V6, until,
};

use super::devices::{Host, Kind, Links};

/// pppd has to negotiate, on a slow emulated processor.
const PATIENCE: Duration = Duration::from_secs(60);

impl Links {
    pub(super) fn add(&mut self, lab: &Lab, kind: &Kind, number: u8) -> Result<(), String> {
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
            let path = self.keys.path().join(file);
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

pub(super) fn addresses(lab: &Lab, kind: &Kind, number: u8) -> Vec<Host> {
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
