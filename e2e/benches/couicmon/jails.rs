//! Configurations of couicmon for the benches.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// No limit on bans: the bench has more attackers than visitors.
pub(crate) const UNGUARDED: &str = "[guard]\nbans_per_minute = 1000000\nshare = 1.0\n";

/// What fail2ban and fail2ban-rs are given, too.
pub(crate) const ONE: &str = "[jail.refused]\nsource = \"log\"\nstatus = [401, 403, 404]\nrate = \"10 per 100s\"\nban = \"10m\"\n";

/// Flood, scan and login.
pub(crate) const THREE: &str = "\
[jail.flood]\nsource = \"log\"\nrate = \"60 per 60s\"\nban = \"10m\"\n\
[jail.scan]\nsource = \"log\"\nstatus = [400, 403, 404]\ndistinct = \"path\"\nrate = \"10 per 100s\"\nban = \"10m\"\n\
[jail.login]\nsource = \"log\"\nmethod = \"POST\"\npath = [\"/login\", \"/wp-login.php\"]\nstatus = [401, 403]\n\
rate = \"5 per 5m\"\nban = \"1h\"\n";

pub(crate) const SSHD: &str = "[jail.ssh]\nsource = \"log\"\nlogin = [\"failed\", \"abandoned\"]\nrate = \"5 per 10m\"\nban = \"1h\"\n";

/// The three, and seventeen more with two hundred literals in all.
pub(crate) fn twenty() -> String {
    let mut text = THREE.to_owned();
    let mut rest = 200;
    for jail in 0..17 {
        let count = (rest + 16 - jail) / (17 - jail);
        let literals: Vec<_> = (0..count)
            .map(|n| format!("/exploit-{jail}-{n}.php"))
            .collect();
        rest -= count;
        let _ = write!(
            text,
            "[jail.list{jail}]\nsource = \"log\"\ncontains = {literals:?}\nrate = \"2 per 10m\"\nban = \"1h\"\n"
        );
    }
    text
}

/// A configuration for `couicmon replay`.
pub(crate) fn write_config(dir: &Path, name: &str, format: &str, jails: &str) -> PathBuf {
    let path = dir.join(name);
    let shown = dir.display();
    let text = format!(
        "state_dir = \"{shown}\"\n[source.log]\nfile = \"{shown}/none.log\"\nformat = \"{format}\"\n{jails}{UNGUARDED}"
    );
    fs::write(&path, text).expect("write a configuration");
    path
}
