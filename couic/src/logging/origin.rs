//! Where a request came from, in words.

use std::{collections::HashMap, fs, sync::LazyLock};

use couic_firewall::rules::Request;
use parking_lot::Mutex;

/// Users whose names are remembered.
const MOST: usize = 1_024;

static NAMES: LazyLock<Mutex<HashMap<u32, Option<String>>>> = LazyLock::new(Mutex::default);

/// `uid 1000 (alice), pid 4711`; with a proxy in front of it, `203.0.113.7 via uid 33 (www-data), pid 812`.
pub(super) fn describe(request: &Request) -> Option<String> {
    let (uid, pid) = request.peer?;
    let name = user(uid).map(|name| format!(" ({name})"));
    let pid = pid.map(|pid| format!(", pid {pid}"));
    let forwarded = request.forwarded.map(|address| format!("{address} via "));
    let [forwarded, name, pid] = [forwarded, name, pid].map(Option::unwrap_or_default);
    Some(format!("{forwarded}uid {uid}{name}{pid}"))
}

/// The name of a local user. Others, as of a directory service, would have to be asked for over the network.
fn user(uid: u32) -> Option<String> {
    let mut names = NAMES.lock();
    if let Some(name) = names.get(&uid) {
        return name.clone();
    }
    let name = local_user(&fs::read_to_string("/etc/passwd").unwrap_or_default(), uid);
    if names.len() < MOST {
        names.insert(uid, name.clone());
    }
    name
}

fn local_user(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        let is_plain = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.$".contains(&b));
        (number.parse() == Ok(uid) && is_plain).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names_and_proxies_forward_addresses() {
        let passwd = "root:x:0:0::/:/bin/sh\n\nbad\nx\"y:x:7:7::/:/\nalice:x:1000:1000::/:/\n";
        assert_eq!(local_user(passwd, 1000).as_deref(), Some("alice"));
        assert_eq!((local_user(passwd, 7), local_user(passwd, 8)), (None, None));
        let request = |forwarded| Request::new("x".to_owned(), Some((0, Some(7))), forwarded);
        assert_eq!(describe(&request(None)).unwrap(), "uid 0 (root), pid 7");
        let address = "203.0.113.7".parse().ok();
        let text = describe(&request(address)).unwrap();
        assert_eq!(text, "203.0.113.7 via uid 0 (root), pid 7");
        assert_eq!(describe(&Request::new("x".to_owned(), None, None)), None);
    }
}
