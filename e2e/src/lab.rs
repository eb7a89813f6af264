//! A protected host and the outside, connected by a veth pair.

use std::{fs, net::TcpListener, path::PathBuf};

use couic_common::XdpMode;
use couic_testkit::{Collector, Netns, Reply, StandIn};

use crate::{DaemonBuilder, Monitor, Wire};

/// The filtered interface of the host.
pub const HOST_IFACE: &str = "eth0";
/// The other end of the pair.
pub const OUTSIDE_IFACE: &str = "wire0";
/// Addresses of both ends in a lab made by [`Lab::addressed`].
pub const HOST_V4: &str = "192.0.2.1";
/// The host's IPv6 address.
pub const HOST_V6: &str = "2001:db8::1";
/// The outside's IPv4 address.
pub const OUTSIDE_V4: &str = "192.0.2.2";
/// The outside's IPv6 address.
pub const OUTSIDE_V6: &str = "2001:db8::2";

/// Two namespaces connected by a veth pair.
#[derive(Debug)]
pub struct Lab {
    /// The namespace of the daemon.
    pub host: Netns,
    /// The namespace that sends packets.
    pub outside: Netns,
    bin_dir: PathBuf,
}

impl Lab {
    /// A lab without traffic but that of the test: no addresses, IPv6 off. For exact counters. None, with the reason
    /// printed, if this process may not create one.
    #[must_use]
    pub fn quiet() -> Option<Self> {
        let bin_dir = match usable() {
            Ok(dir) => dir,
            Err(why) => {
                println!("skipped: {why}");
                return None;
            }
        };
        let (host, outside) = match (Netns::new(), Netns::new()) {
            (Ok(host), Ok(outside)) => (host, outside),
            (Err(why), _) | (_, Err(why)) => {
                println!("skipped: {why}");
                return None;
            }
        };
        let lab = Self {
            host,
            outside,
            bin_dir,
        };
        lab.host.enter(disable_ipv6);
        lab.outside.enter(disable_ipv6);
        lab.join(HOST_IFACE, OUTSIDE_IFACE);
        Some(lab)
    }

    /// A lab whose ends have IPv4 and IPv6 addresses and can ping each other.
    #[must_use]
    pub fn addressed() -> Option<Self> {
        let lab = Self::quiet()?;
        for (netns, iface, v4, v6) in [
            (&lab.host, HOST_IFACE, HOST_V4, HOST_V6),
            (&lab.outside, OUTSIDE_IFACE, OUTSIDE_V4, OUTSIDE_V6),
        ] {
            netns.enter(enable_ipv6);
            netns.run("ip", &["addr", "add", &format!("{v4}/24"), "dev", iface]);
            let v6 = format!("{v6}/64");
            netns.run("ip", &["-6", "addr", "add", &v6, "dev", iface, "nodad"]);
        }
        Some(lab)
    }

    /// Adds another veth pair between the two namespaces, both ends up.
    pub fn join(&self, host_iface: &str, outside_iface: &str) {
        let outside = self.outside.path();
        self.host.run(
            "ip",
            &[
                "link",
                "add",
                host_iface,
                "type",
                "veth",
                "peer",
                "name",
                outside_iface,
                "netns",
                &outside,
            ],
        );
        self.host.run("ip", &["link", "set", host_iface, "up"]);
        self.outside
            .run("ip", &["link", "set", outside_iface, "up"]);
    }

    /// Creates a bridge over an interface of the host, and returns its name. A packet socket on it receives frames after
    /// XDP and TCX; on the interface itself it receives them before TCX.
    #[must_use]
    pub fn bridge_over(&self, iface: &str) -> String {
        let bridge = format!("b{iface}");
        let set = |what: &[&str]| self.host.run("ip", &[&["link", "set"], what].concat());
        self.host
            .run("ip", &["link", "add", &bridge, "type", "bridge"]);
        set(&[iface, "master", &bridge]);
        // So it receives frames for other addresses, too.
        set(&[&bridge, "up", "promisc", "on"]);
        bridge
    }

    /// Whether the outside gets an answer to one ping within a second.
    #[must_use]
    pub fn ping(&self, address: &str) -> bool {
        self.ping_from(address, None)
    }

    /// The same, from one of the outside's addresses or interfaces.
    #[must_use]
    pub fn ping_from(&self, address: &str, source: Option<&str>) -> bool {
        let mut args = vec!["-n", "-q", "-c", "1", "-W", "1"];
        args.extend(source.iter().flat_map(|s| ["-I", *s]));
        args.push(address);
        self.outside.output("ping", &args).status.success()
    }

    /// The mode of the XDP program on an interface of the host, as reported by the kernel.
    #[must_use]
    pub fn kernel_mode(&self, iface: &str) -> Option<XdpMode> {
        let shown = self.host.run("ip", &["-j", "-d", "link", "show", iface]);
        let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON of ip");
        // XDP_ATTACHED_* of linux/if_link.h.
        match shown[0]["xdp"]["mode"].as_u64()? {
            1 => Some(XdpMode::Native),
            2 => Some(XdpMode::Generic),
            3 => Some(XdpMode::Offloaded),
            other => panic!("attached in an unknown mode: {other}"),
        }
    }

    /// A chat server on the host that accepts every message.
    #[must_use]
    pub fn chat(&self) -> StandIn {
        let listener = self.host.enter(|| TcpListener::bind("127.0.0.1:0"));
        StandIn::on(listener.expect("a free port"), |_| Reply::status(204))
    }

    /// A `couic-report` on the host, not yet started. `more` are further tables of its configuration.
    #[must_use]
    pub fn collector(&self, interval_secs: u64, more: &str) -> Collector {
        Collector::inside(&self.host, self.binary("couic-report"), interval_secs, more)
    }

    /// A daemon for the host's side, not yet started.
    #[must_use]
    pub fn daemon(&self) -> DaemonBuilder<'_> {
        DaemonBuilder::new(self)
    }

    /// The same, for couicmon beside it.
    #[must_use]
    pub fn monitored_daemon(&self) -> DaemonBuilder<'_> {
        self.daemon().user("root", Monitor::GROUP)
    }

    /// Sends frames from the outside and counts those that pass the filter.
    #[must_use]
    pub fn wire(&self) -> Wire {
        self.wire_between(HOST_IFACE, OUTSIDE_IFACE)
    }

    /// The same over another veth pair.
    #[must_use]
    pub fn wire_between(&self, host_iface: &str, outside_iface: &str) -> Wire {
        Wire::new(&self.host, host_iface, &self.outside, outside_iface)
    }

    /// A binary of this workspace.
    #[must_use]
    pub fn binary(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }
}

/// The directory of the binaries, or why no lab can be created.
fn usable() -> Result<PathBuf, String> {
    if !nix::unistd::geteuid().is_root() {
        return Err("needs root, for network namespaces and XDP".into());
    }
    let dir = match std::env::var_os("COUIC_BIN_DIR") {
        Some(dir) => PathBuf::from(dir),
        // target/PROFILE/deps/TEST-HASH: the binaries are one level up.
        None => std::env::current_exe()
            .ok()
            .and_then(|exe| Some(exe.parent()?.parent()?.to_path_buf()))
            .ok_or("the path of this test binary is unknown")?,
    };
    for name in ["couic", "couicctl"] {
        assert!(
            dir.join(name).is_file(),
            "{} is missing: build it (make test does), or set COUIC_BIN_DIR",
            dir.join(name).display()
        );
    }
    Ok(dir)
}

fn disable_ipv6() {
    write_sysctl("1");
}

fn enable_ipv6() {
    write_sysctl("0");
}

/// `/proc/sys/net` shows the namespace of the thread that opens it. Without IPv6 in the kernel there is nothing to do.
fn write_sysctl(value: &str) {
    for which in ["all", "default"] {
        let path = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
        if let Err(e) = fs::write(&path, value) {
            assert_eq!(e.kind(), std::io::ErrorKind::NotFound, "{path}: {e}");
        }
    }
}
