//! What setup finds on the machine. Reads only. What cannot be read counts as absent, except the configuration: that would
//! be replaced by the example.

use std::{
    collections::BTreeSet,
    fs, io,
    net::IpAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use couic_common::Cidr;
use nix::{ifaddrs::getifaddrs, unistd::User};

use crate::{connect, installed::Installed, session};

/// `RTF_UP` and `RTF_REJECT` of `linux/route.h`.
const UP: u32 = 0x1;
const REJECT: u32 = 0x200;

/// What `systemctl enable couic` makes.
const WANTED_AT_BOOT: &str = "/etc/systemd/system/multi-user.target.wants/couic.service";

/// The facts.
#[derive(Clone, Debug, Default)]
pub(super) struct Host {
    /// The daemon's configuration file, its text if it exists, and why it cannot be read if it does.
    pub(super) config: PathBuf,
    pub(super) config_text: Option<String>,
    pub(super) config_error: Option<String>,
    /// Interfaces with a default route, the preferred one first.
    pub(super) default_interfaces: Vec<String>,
    pub(super) interfaces: Vec<String>,
    /// Addresses of this host that others can reach, and sources of the SSH sessions that this process runs in.
    pub(super) own: Vec<IpAddr>,
    pub(super) sessions: Vec<IpAddr>,
    /// What the configuration says, by default the example's.
    pub(super) daemon: Daemon,
    /// systemd runs and has the unit, which may be started at boot.
    pub(super) unit: bool,
    pub(super) enabled: bool,
    pub(super) fail2ban: Fail2ban,
}

/// The daemon's account and places.
#[derive(Clone, Debug, Default)]
pub(super) struct Daemon {
    pub(super) installed: Installed,
    pub(super) user_exists: bool,
    /// Something accepts connections on the socket.
    pub(super) runs: bool,
    /// The directories that hold set files and exist.
    pub(super) directories: BTreeSet<PathBuf>,
    /// The set of protected sources, if it exists.
    pub(super) protected: Option<String>,
    pub(super) has_monitoring: bool,
}

/// fail2ban's files.
#[derive(Clone, Debug, Default)]
pub(super) struct Fail2ban {
    pub(super) dir: PathBuf,
    pub(super) installed: bool,
    /// The action that starts couicctl, and the one in Python.
    pub(super) has_action: bool,
    pub(super) has_python: bool,
    /// The file for its token, whether it is there, and whether there is a client of that name.
    pub(super) token: PathBuf,
    pub(super) has_token: bool,
    pub(super) has_client: bool,
    /// The daemon refuses the token.
    pub(super) is_refused: bool,
    pub(super) jail: Option<String>,
    pub(super) runs: bool,
}

impl Daemon {
    /// The file of a client and its token.
    pub(super) fn client_file(&self, name: &str) -> PathBuf {
        let clients = self.installed.working_dir.join("rbac/clients");
        clients.join(format!("{name}.toml"))
    }

    /// The set file of protected sources.
    pub(super) fn protect_file(&self) -> PathBuf {
        self.installed.working_dir.join("sets/ignore/setup.couic")
    }

    /// The directories above it, outermost first.
    pub(super) fn set_directories(&self) -> [PathBuf; 3] {
        ["", "sets", "sets/ignore"].map(|below| match below {
            "" => self.installed.working_dir.clone(),
            below => self.installed.working_dir.join(below),
        })
    }
}

/// Looks at this machine.
pub(super) fn look(config: &Path) -> Host {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut default_interfaces = default_v4(&read("/proc/net/route"));
    for name in default_v6(&read("/proc/net/ipv6_route")) {
        if !default_interfaces.contains(&name) {
            default_interfaces.push(name);
        }
    }
    let all = couic_netlink::interfaces().unwrap_or_default();
    let units = [
        "/etc/systemd/system",
        "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ];
    let unit = units
        .iter()
        .any(|dir| Path::new(dir).join("couic.service").exists());
    let (config_text, config_error) = match fs::read_to_string(config) {
        Ok(text) => (Some(text), None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (None, None),
        Err(error) => (None, Some(error.to_string())),
    };
    let daemon = daemon(config_text.as_deref().unwrap_or_default());
    let mut fail2ban = fail2ban(
        Path::new("/etc/fail2ban"),
        in_search_path("fail2ban-client"),
    );
    fail2ban.token = config.with_file_name("fail2ban.token");
    fail2ban.has_token = fail2ban.token.exists();
    fail2ban.has_client = daemon.client_file("fail2ban").exists();
    Host {
        config: config.to_owned(),
        daemon,
        config_text,
        config_error,
        default_interfaces,
        interfaces: all.into_iter().map(|interface| interface.name).collect(),
        own: own_addresses(),
        sessions: session::addresses()
            .into_iter()
            // Frames of the same link do come from link-local addresses.
            .filter(|ip| !ip.is_loopback())
            .collect(),
        unit: unit && Path::new("/run/systemd/system").is_dir(),
        // A link, which may point to what is not there yet.
        enabled: fs::symlink_metadata(WANTED_AT_BOOT).is_ok(),
        fail2ban,
    }
}

/// The daemon that a configuration describes, and what of it exists. A text that is not TOML counts as empty.
fn daemon(text: &str) -> Daemon {
    let installed = Installed::of(&toml::from_str(text).unwrap_or_default());
    let mut daemon = Daemon {
        user_exists: matches!(User::from_name(&installed.user), Ok(Some(_))),
        runs: UnixStream::connect(&installed.socket).is_ok(),
        installed,
        ..Daemon::default()
    };
    let directories = daemon.set_directories().into_iter();
    daemon.directories = directories.filter(|dir| dir.is_dir()).collect();
    daemon.protected = fs::read_to_string(daemon.protect_file()).ok();
    daemon.has_monitoring = daemon.client_file("monitoring").exists();
    daemon
}

/// Its program says that it is installed: the action in `action.d` comes with Couic.
fn fail2ban(dir: &Path, installed: bool) -> Fail2ban {
    Fail2ban {
        dir: dir.to_owned(),
        installed,
        has_action: dir.join("action.d/couic.conf").exists(),
        has_python: dir.join("action.d/couic.py").exists(),
        jail: fs::read_to_string(dir.join("jail.d/couic.local")).ok(),
        runs: UnixStream::connect("/run/fail2ban/fail2ban.sock").is_ok(),
        ..Fail2ban::default()
    }
}

fn in_search_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Interfaces of default routes in `/proc/net/route`, by metric.
fn default_v4(table: &str) -> Vec<String> {
    let mut found: Vec<(u32, &str)> = table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            let [name, "00000000", _, flags, _, _, metric, "00000000", ..] = fields[..] else {
                return None;
            };
            usable(flags).then_some((metric.parse().ok()?, name))
        })
        .collect();
    found.sort_unstable();
    distinct(&found)
}

/// Interfaces of default routes in `/proc/net/ipv6_route`, by metric. Unreachable default routes are those of `lo`.
fn default_v6(table: &str) -> Vec<String> {
    let mut found: Vec<(u32, &str)> = table
        .lines()
        .filter_map(|line| {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            let [to, "00", _, _, _, metric, _, _, flags, name] = fields[..] else {
                return None;
            };
            let any = to.bytes().all(|b| b == b'0');
            let metric = u32::from_str_radix(metric, 16).ok()?;
            (any && name != "lo" && usable(flags)).then_some((metric, name))
        })
        .collect();
    found.sort_unstable();
    distinct(&found)
}

fn usable(flags: &str) -> bool {
    u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & UP != 0 && flags & REJECT == 0)
}

fn distinct(found: &[(u32, &str)]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for (_, name) in found {
        if !names.iter().any(|known| known == name) {
            names.push((*name).to_owned());
        }
    }
    names
}

fn own_addresses() -> Vec<IpAddr> {
    let Ok(all) = getifaddrs() else {
        return Vec::new();
    };
    let found: BTreeSet<IpAddr> = all
        .filter_map(|interface| {
            let address = interface.address?;
            let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
        })
        .filter(|ip| is_reachable(*ip))
        .collect();
    found.into_iter().collect()
}

/// Neither loopback nor link-local: an address that frames from elsewhere can have as their source.
fn is_reachable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_link_local() || v4.is_unspecified()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified()),
    }
}

impl Host {
    /// Tries the token for fail2ban. One that cannot be tried counts as good.
    pub(super) async fn try_tokens(&mut self) {
        let found = &mut self.fail2ban;
        if found.has_token {
            let refused = connect::refuses(&self.daemon.installed.socket, &found.token).await;
            found.is_refused = refused == Some(true);
        }
    }

    /// Whether there is this interface. A pattern may match those that come later.
    pub(super) fn has_interface(&self, name: &str) -> bool {
        name.contains(['*', '?']) || self.interfaces.iter().any(|known| known == name)
    }

    /// Addresses that must never be dropped, without `--protect`.
    pub(super) fn protected(&self) -> impl Iterator<Item = Cidr> {
        self.own
            .iter()
            .chain(&self.sessions)
            .map(|ip| Cidr::host(*ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_with_the_lowest_metric_comes_first() {
        let table = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
            wlan0\t00000000\t010011AC\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
            eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            eth0\t00000000\t0200A8C0\t0003\t0\t0\t200\t00000000\t0\t0\t0\n\
            dead0\t00000000\t00000000\t0200\t0\t0\t1\t00000000\t0\t0\t0\n\
            half0\t00000000\t00000000\t0001\t0\t0\t1\t00000080\t0\t0\t0\n\
            eth1\t0000A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(default_v4(table), ["eth0", "wlan0"]);
        assert!(default_v4("").is_empty() && default_v4("x\ny z\n").is_empty());
    }

    #[test]
    fn unreachable_default_routes_of_ipv6_do_not_count() {
        let zero = "0".repeat(32);
        let table = format!(
            "{zero} 00 {zero} 00 fe800000000000000000000000000001 00000400 00000004 00000000 00450003     eth0\n\
             {zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n\
             20010db8000000000000000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     eth1\n"
        );
        assert_eq!(default_v6(&table), ["eth0"]);
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let host = look(Path::new("/no/such/couic.toml"));
        assert_eq!(host.config_text, None);
        assert!(
            host.interfaces.iter().any(|name| name == "lo"),
            "{:?}",
            host.interfaces
        );
        assert!(host.own.iter().all(|ip| !ip.is_loopback()));
        assert_eq!(
            host.daemon.installed.working_dir,
            Path::new("/var/lib/couic")
        );
    }

    #[test]
    fn fail2ban_is_not_installed_by_the_action_of_couic() {
        let dir = std::env::temp_dir().join(format!("couicctl-fail2ban-{}", std::process::id()));
        fs::create_dir_all(dir.join("action.d")).unwrap();
        fs::write(dir.join("action.d/couic.conf"), "").unwrap();
        let found = fail2ban(&dir, in_search_path("no-such-program"));
        fs::remove_dir_all(&dir).unwrap();
        assert!(!found.installed && found.has_action, "{found:?}");
        assert!(in_search_path("sh"));
    }

    #[test]
    fn a_configuration_that_cannot_be_read_is_not_an_absent_one() {
        let host = look(&std::env::temp_dir());
        assert!(host.config_text.is_none() && host.config_error.is_some());
    }

    #[test]
    fn account_and_places_come_from_the_configuration() {
        let found =
            daemon("user = \"root\"\nworking_dir = \"/no/w\"\n[server]\nsocket = \"/no/s\"\n");
        assert!(found.user_exists && !found.runs && found.directories.is_empty());
        assert_eq!(
            (
                found.installed.group.as_str(),
                found.installed.socket.as_path()
            ),
            ("couic", Path::new("/no/s"))
        );
        assert_eq!(
            found.protect_file(),
            Path::new("/no/w/sets/ignore/setup.couic")
        );
    }
}
