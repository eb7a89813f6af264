//! Which files the serving process may still open once it serves.
//!
//! Its own: the working directory and the log, to write; the socket, to remove it at the end. To read: plugins, the
//! certificates of authorities, and what the C library wants for names and plugins. Nobody's home, no other service's
//! data, no device. Below that, owners and modes count as ever.

use std::{env, path::Path};

use couic_privsep::files::Files;
use nix::unistd::geteuid;

use crate::config::Config;

/// Libraries that plugins and name services need, and the time zones and certificates of the distribution.
const SYSTEM: &[&str] = &[
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
];

/// The kernel's own: interfaces, processors, memory, this process. What belongs to others there is guarded by the
/// kernel.
const KERNEL: &[&str] = &["/proc", "/sys"];

/// What name services, TLS and the loader of libraries read in /etc.
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
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
];

/// Where resolv.conf leads to, and who answers for names.
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

/// The files of a daemon with this configuration.
#[must_use]
pub fn files(config: &Config) -> Files {
    let mut files = Files::default()
        .write(&config.working_dir)
        .write(&config.logging.dir)
        .write("/dev/null")
        .read("/dev/urandom")
        .read(&config.plugins_dir);
    if let Some(dir) = config.socket.parent() {
        files = files.remove(dir);
    }
    // Names are looked up for years, and whoever changes resolv.conf replaces it: a rule is about the file that is
    // there now. So all of /etc, where its modes keep secrets from this user; root has to do with what is there now.
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
        // The folder: a plugin may be replaced, and loaded again.
        files = files.read(Path::new(plugin).parent().unwrap_or(Path::new(plugin)));
    }
    files
}

fn all(files: Files, paths: &[&str]) -> Files {
    paths.iter().fold(files, |files, path| files.read(*path))
}
