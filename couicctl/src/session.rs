//! The source address of the operator's SSH session, so that a `drop` cannot cut it off.
//!
//! sudo and su clear the environment of their child but not their own, so the environments of all ancestors in `/proc`
//! are searched too. All addresses found are protected: under tmux or screen, the process and its ancestors may have
//! those of different sessions.

use std::{collections::BTreeSet, ffi::OsString, fs, net::IpAddr, path::Path};

/// Maximum number of ancestors searched. Real chains have some ten.
const DEPTH: usize = 64;

const VARIABLES: [&str; 2] = ["SSH_CONNECTION", "SSH_CLIENT"];

/// Source addresses of the SSH sessions of this process; empty if there are none.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let own = |name: &str| std::env::var_os(name);
    find(own, Path::new("/proc"), std::process::id())
}

fn find(own: impl Fn(&str) -> Option<OsString>, proc: &Path, pid: u32) -> Vec<IpAddr> {
    let mut found: BTreeSet<IpAddr> = VARIABLES
        .iter()
        .filter_map(|name| client_of(own(name)?.as_encoded_bytes()))
        .collect();
    let mut next = parent(proc, pid);
    for _ in 0..DEPTH {
        let Some(pid) = next.filter(|pid| *pid > 1) else {
            break;
        };
        let environment = fs::read(proc.join(pid.to_string()).join("environ"));
        found.extend(in_environment(&environment.unwrap_or_default()));
        next = parent(proc, pid);
    }
    found.into_iter().collect()
}

/// The parent, from `/proc/PID/stat`. The command name is enclosed in parentheses and may contain parentheses.
fn parent(proc: &Path, pid: u32) -> Option<u32> {
    let stat = fs::read(proc.join(pid.to_string()).join("stat")).ok()?;
    let text = String::from_utf8_lossy(&stat);
    let (_, fields) = text.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn in_environment(bytes: &[u8]) -> impl Iterator<Item = IpAddr> {
    bytes.split(|b| *b == 0).filter_map(|variable| {
        let equals = variable.iter().position(|b| *b == b'=')?;
        let name = str::from_utf8(&variable[..equals]).ok()?;
        VARIABLES
            .contains(&name)
            .then(|| client_of(&variable[equals + 1..]))?
    })
}

/// The first word of `CLIENT PORT SERVER PORT` or `CLIENT PORT PORT`, without an IPv6 zone.
fn client_of(value: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(value).ok()?;
    let word = text.split_ascii_whitespace().next()?;
    let address = word.split('%').next()?;
    address.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(proc: &Path, pid: u32, parent: u32, environment: &str) {
        let dir = proc.join(pid.to_string());
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("stat"), format!("{pid} (a) b) S {parent} 1 1\n")).unwrap();
        fs::write(dir.join("environ"), environment).unwrap();
    }

    fn none(_: &str) -> Option<OsString> {
        None
    }

    #[test]
    fn the_first_word_of_the_variable() {
        for (value, address) in [
            ("192.0.2.7 50000 10.0.0.1 22", Some("192.0.2.7")),
            ("2001:db8::7 1 2", Some("2001:db8::7")),
            ("fe80::1%eth0 1 2", Some("fe80::1")),
            ("::ffff:192.0.2.7 1 2", Some("192.0.2.7")),
            ("UNKNOWN 1 2", None),
            ("", None),
        ] {
            let expected = address.map(|a| a.parse().unwrap());
            assert_eq!(client_of(value.as_bytes()), expected, "{value}");
        }
        assert_eq!(client_of(&[0xff, b' ']), None);
    }

    #[test]
    fn ancestors_are_searched_behind_sudo() {
        let proc = tempfile::tempdir().unwrap();
        process(proc.path(), 50, 40, "PATH=/bin\0");
        process(
            proc.path(),
            40,
            30,
            "A=b\0SSH_CONNECTION=192.0.2.7 1 10.0.0.1 22\0",
        );
        process(
            proc.path(),
            30,
            1,
            "SSH_CLIENT=2001:db8::9 1 22\0XSSH_CLIENT=10.9.9.9 1 2",
        );
        let found = find(none, proc.path(), 50);
        let expected: Vec<IpAddr> =
            vec!["192.0.2.7".parse().unwrap(), "2001:db8::9".parse().unwrap()];
        assert_eq!(found, expected);
        let own = |name: &str| (name == "SSH_CLIENT").then(|| "198.51.100.1 5 22".into());
        assert_eq!(find(own, proc.path(), 30).len(), 1);
    }

    #[test]
    fn a_cyclic_or_empty_proc_is_handled() {
        let proc = tempfile::tempdir().unwrap();
        assert!(find(none, proc.path(), 50).is_empty());
        process(proc.path(), 50, 50, "SSH_CLIENT=192.0.2.7 1 2\0");
        assert_eq!(find(none, proc.path(), 50).len(), 1);
    }
}
