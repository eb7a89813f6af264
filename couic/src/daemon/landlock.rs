//! The files that the serving process may open.
//!
//! Its own: the working directory and the log, to write; the socket, to remove it at shutdown. To read: plugins, CA
//! certificates, and the C library's files for name services and plugins. No home directories, no data of other
//! services, no devices. Owners and modes apply in addition.

use std::{env, path::Path};

use couic_privsep::files::Files;
use nix::unistd::geteuid;

use crate::config::Config;

/// Libraries for plugins and name services, time zones and certificates of the distribution.
const SYSTEM: &[&str] = &[
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
];

/// The kernel's: interfaces, processors, memory, this process. The kernel itself guards the rest.
const KERNEL: &[&str] = &["/proc", "/sys"];

/// Read in /etc by name services, TLS, the dynamic loader and peering.
const ETC: &[&str] = &[
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/machine-id",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
];

/// Targets of resolv.conf, and sockets of name services.
const NAMES: &[&str] = &[
    "/run/NetworkManager",
    "/run/connman",
    "/run/netconfig",
    "/run/nscd",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/var/run/nscd",
    "/mnt/wsl/resolv.conf",
];

/// The files of a daemon with this configuration, and what has to stay readable for it.
#[must_use]
pub fn files(config: &Config, readable: &[&Path]) -> Files {
    let mut files = Files::default()
        .write(&config.working_dir)
        .write(&config.logging.dir)
        .write("/dev/null")
        .read("/dev/urandom")
        .read(&config.plugins_dir);
    for path in readable {
        files = files.read(*path);
    }
    if let Some(dir) = config.socket.parent() {
        files = files.remove(dir);
    }
    // A rule refers to an inode, and resolv.conf is replaced by renaming. So all of /etc, where modes keep secrets from
    // this user; root is limited to the files that exist now.
    if geteuid().is_root() {
        files = all(files, ETC);
    } else {
        files = files.read("/etc");
    }
    files = all(all(all(files, SYSTEM), KERNEL), NAMES);
    for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        if let Some(path) = env::var_os(variable) {
            files = files.read(path);
        }
    }
    for authority in config.peering.peers.iter().filter_map(|p| p.ca.as_ref()) {
        files = files.read(authority);
    }
    let plugins = config.reporting.notifiers.iter().map(|n| &n.plugin);
    for plugin in plugins.filter(|plugin| plugin.starts_with('/')) {
        // The directory: a plugin may be replaced, and loaded again.
        files = files.read(Path::new(plugin).parent().unwrap_or(Path::new(plugin)));
    }
    files
}

fn all(files: Files, paths: &[&str]) -> Files {
    paths.iter().fold(files, |files, path| files.read(*path))
}
