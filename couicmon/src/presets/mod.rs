//! Presets: sources and jails that are in the binary, as texts that anyone can read and put into a file of their own.

/// Their names, in the order in which they are listed.
pub(crate) const NAMES: &[&str] = &[
    "sshd",
    "sshd-file",
    "nginx",
    "apache",
    "haproxy",
    "caddy",
    "traefik",
    "scanners",
    "wordpress",
    "http-flood",
];

/// The text of a preset.
pub(crate) fn get(name: &str) -> Option<&'static str> {
    Some(match name {
        "sshd" => include_str!("sshd.toml"),
        "sshd-file" => include_str!("sshd-file.toml"),
        "nginx" => include_str!("nginx.toml"),
        "apache" => include_str!("apache.toml"),
        "haproxy" => include_str!("haproxy.toml"),
        "caddy" => include_str!("caddy.toml"),
        "traefik" => include_str!("traefik.toml"),
        "scanners" => include_str!("scanners.toml"),
        "wordpress" => include_str!("wordpress.toml"),
        "http-flood" => include_str!("http-flood.toml"),
        _ => return None,
    })
}

/// What a preset is for: what its first line says behind its name.
pub(crate) fn purpose(name: &str) -> &'static str {
    let first = get(name).and_then(|text| text.lines().next());
    let rest = first.and_then(|line| line.split_once(": "));
    rest.map_or("", |(_, purpose)| purpose)
}

#[cfg(test)]
mod tests;
