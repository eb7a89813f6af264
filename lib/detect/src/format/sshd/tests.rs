use crate::{
    Format,
    Login::{self, Accepted, Failed},
    Unparsed,
};

#[track_caller]
fn check(message: &str, user: &str, login: Login) {
    for header in [
        "",
        "Dec  1 06:25:01 h sshd[4711]: ",
        "2026-12-01T06:25:01+01:00 h sshd-session[1]: ",
    ] {
        for peer in ["192.0.2.7", "2001:db8::7"] {
            let mut format = Format::named("sshd").unwrap();
            let line = format!("{header}{}", message.replace("ADDR", peer));
            let event = format
                .parse(line.as_bytes())
                .map_err(|why| format!("{why}: {line}"))
                .unwrap();
            assert_eq!(event.peer, peer.parse().ok(), "{line}");
            assert_eq!(String::from_utf8_lossy(&event.user), user, "{line}");
            assert_eq!(event.login, Some(login), "{line}");
            assert!(line.ends_with(&*String::from_utf8_lossy(&event.message)));
        }
    }
}

const ATTEMPTS: &[(&str, &str, Login)] = &[
    (
        "Failed password for root from ADDR port 4711 ssh2",
        "root",
        Failed,
    ),
    (
        "Failed password for invalid user bob from ADDR port 4711 ssh2",
        "bob",
        Failed,
    ),
    (
        "Failed password for invalid user  from ADDR port 4711 ssh2",
        "",
        Failed,
    ),
    (
        "Failed none for invalid user a b from ADDR port 1 ssh2",
        "a b",
        Failed,
    ),
    (
        "Failed keyboard-interactive/pam for invalid user x from ADDR port 1 ssh2",
        "x",
        Failed,
    ),
    (
        "Failed publickey for root from ADDR port 1 ssh2: ED25519 SHA256:abc/+",
        "root",
        Failed,
    ),
    (
        "Failed publickey for invalid user x from ADDR port 1 ssh2: RSA SHA256:a",
        "x",
        Failed,
    ),
    (
        "Failed publickey for root from ADDR port 1 ssh2: RSA-CERT SHA256:a ID k from 6.6.6.6 port 1 ssh2: (serial 0) CA RSA SHA256:b",
        "root",
        Failed,
    ),
    (
        "message repeated 2 times: [ Failed password for root from ADDR port 1 ssh2]",
        "root",
        Failed,
    ),
    (
        "Accepted publickey for ann from ADDR port 1 ssh2: RSA SHA256:a",
        "ann",
        Accepted,
    ),
    (
        "Accepted password for ann from ADDR port 1 ssh2",
        "ann",
        Accepted,
    ),
    ("Invalid user bob from ADDR port 4711", "bob", Failed),
    ("Invalid user bob from ADDR", "bob", Failed),
    ("Invalid user  from ADDR port 4711", "", Failed),
    (
        "error: maximum authentication attempts exceeded for root from ADDR port 1 ssh2 [preauth]",
        "root",
        Failed,
    ),
    (
        "error: maximum authentication attempts exceeded for invalid user a b from ADDR port 1 ssh2 [preauth]",
        "a b",
        Failed,
    ),
    (
        "error: PAM: Authentication failure for illegal user x from ADDR",
        "x",
        Failed,
    ),
    (
        "error: PAM: Authentication failure for root from ADDR",
        "root",
        Failed,
    ),
    (
        "User bob from ADDR not allowed because not listed in AllowUsers",
        "bob",
        Failed,
    ),
    ("ROOT LOGIN REFUSED FROM ADDR port 4711", "", Failed),
];

#[test]
fn attempts_are_read() {
    for &(message, user, login) in ATTEMPTS {
        check(message, user, login);
    }
}

const ABANDONED: &[(&str, &str)] = &[
    ("Connection closed by ADDR port 4711 [preauth]", ""),
    ("Connection closed by ADDR [preauth]", ""),
    (
        "Connection closed by authenticating user root ADDR port 4711 [preauth]",
        "root",
    ),
    (
        "Connection closed by invalid user a b ADDR port 4711 [preauth]",
        "a b",
    ),
    (
        "Connection closed by invalid user  ADDR port 4711 [preauth]",
        "",
    ),
    (
        "Connection reset by authenticating user root ADDR port 4711 [preauth]",
        "root",
    ),
    ("Connection reset by ADDR port 4711 [preauth]", ""),
    (
        "Disconnected from invalid user x ADDR port 4711 [preauth]",
        "x",
    ),
    (
        "Disconnected from authenticating user root ADDR port 4711 [preauth]",
        "root",
    ),
    ("Disconnected from ADDR port 4711 [preauth]", ""),
    (
        "Received disconnect from ADDR port 4711:11: Bye from 6.6.6.6 port 1 [preauth]",
        "",
    ),
    ("Received disconnect from ADDR: 11: Bye [preauth]", ""),
    (
        "error: Received disconnect from ADDR port 4711:3: com.jcraft.jsch: Auth fail [preauth]",
        "",
    ),
    (
        "Disconnecting authenticating user root ADDR port 1: Too many authentication failures [preauth]",
        "root",
    ),
    (
        "Disconnecting invalid user x ADDR port 1: Too many authentication failures [preauth]",
        "x",
    ),
    (
        "Disconnecting invalid user x ADDR port 1: Change of username or service not allowed: (x,ssh) -> (y,ssh) [preauth]",
        "x",
    ),
    (
        "Disconnecting authenticating user root ADDR port 1: Change of username or service not allowed: (root,ssh) -> (y 6.6.6.6 port 1,ssh) [preauth]",
        "root",
    ),
    (
        "fatal: Unable to negotiate with ADDR port 1: no matching host key type found. Their offer: x from 6.6.6.6 port 1 [preauth]",
        "",
    ),
    (
        "banner exchange: Connection from ADDR port 1: invalid format",
        "",
    ),
    (
        "ssh_dispatch_run_fatal: Connection from ADDR port 1: Connection corrupted [preauth]",
        "",
    ),
    ("Did not receive identification string from ADDR port 1", ""),
    ("Did not receive identification string from ADDR", ""),
    ("fatal: Timeout before authentication for ADDR port 1", ""),
    (
        "Timeout before authentication for connection from ADDR to 198.51.100.1, pid = 2",
        "",
    ),
    (
        "Bad protocol version identification 'GET / from 6.6.6.6 port 1' from ADDR port 1",
        "",
    ),
    (
        "drop connection #0 from [ADDR]:5 on [198.51.100.1]:22 penalty: failed authentication",
        "",
    ),
];

#[test]
fn connections_that_end_early_are_read() {
    for &(message, user) in ABANDONED {
        check(message, user, Login::Abandoned);
    }
}

#[test]
fn lines_about_nobody_are_irrelevant() {
    let mut format = Format::named("sshd").unwrap();
    for message in [
        "",
        "x",
        "Server listening on 0.0.0.0 port 22.",
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.7  user=root",
        "pam_unix(sshd:session): session opened for user ann(uid=1000) by (uid=0)",
        "Connection from 192.0.2.7 port 1 on 198.51.100.1 port 22 rdomain \"\"",
        "Connection closed by 192.0.2.7 port 1",
        "Disconnected from user ann 192.0.2.7 port 1",
        "Received disconnect from 192.0.2.7 port 1:11: disconnected by user",
        "error: kex_exchange_identification: Connection closed by remote host",
        "Postponed keyboard-interactive for root from 192.0.2.7 port 1 ssh2",
        "Address 192.0.2.7 maps to h.example, but this does not map back to the address.",
        "message repeated 2 times: [ x]",
        "message repeated",
        "drop connection #1 x",
        "Failed",
        "Failed x",
    ] {
        assert_eq!(
            format.parse(message.as_bytes()),
            Err(Unparsed::Irrelevant),
            "{message}"
        );
    }
    let cron = "Dec  1 06:25:01 h CRON[1]: Failed password for root from 192.0.2.7 port 1 ssh2";
    assert_eq!(format.parse(cron.as_bytes()), Err(Unparsed::Irrelevant));
}

#[test]
fn names_of_users_are_never_addresses() {
    let mut format = Format::named("sshd").unwrap();
    let forged = "x from 6.6.6.6 port 1 ssh2";
    for message in [
        format!("Failed password for invalid user {forged} from 192.0.2.7 port 2 ssh2"),
        format!("Invalid user {forged} from 192.0.2.7 port 2"),
        format!("Invalid user {forged} from 192.0.2.7"),
        "Invalid user x from 6.6.6.6 port 1 from 192.0.2.7 port 2".to_owned(),
        format!(
            "maximum authentication attempts exceeded for invalid user {forged} [preauth] from 192.0.2.7 port 2 ssh2 [preauth]"
        ),
        "Connection closed by invalid user x 6.6.6.6 port 1 [preauth] 192.0.2.7 port 2 [preauth]"
            .to_owned(),
    ] {
        let event = format.parse(message.as_bytes()).unwrap();
        assert_eq!(event.peer, "192.0.2.7".parse().ok(), "{message}");
    }
    for message in [
        format!(
            "Failed publickey for invalid user {forged}: from 192.0.2.7 port 2 ssh2: RSA SHA256:a"
        ),
        format!(
            "Failed publickey for invalid user x from 192.0.2.7 port 2 ssh2: RSA-CERT SHA256:a ID {forged}: (serial 0) CA RSA SHA256:b"
        ),
        "Disconnecting invalid user x 6.6.6.6 port 1: y 192.0.2.7 port 2: Change of username"
            .to_owned()
            + " [preauth]",
    ] {
        assert_eq!(
            format.parse(message.as_bytes()),
            Err(Unparsed::Ambiguous),
            "{message}"
        );
    }
    for message in [
        "Failed password for root from h.example port 1 ssh2",
        "User bob from h.example not allowed because x",
    ] {
        assert_eq!(
            format.parse(message.as_bytes()),
            Err(Unparsed::NoAddress),
            "{message}"
        );
    }
}

#[test]
fn repetitions_are_told_and_bounded() {
    let mut format = Format::named("sshd").unwrap();
    let failed = "Failed password for root from 192.0.2.7 port 1 ssh2";
    for (times, repeated) in [
        ("2", 1),
        ("5", 4),
        ("101", 100),
        ("999999999", 100),
        ("9999999999", 0),
        ("0", 0),
        ("x", 0),
    ] {
        let line =
            format!("Dec  1 06:25:01 h sshd[1]: message repeated {times} times: [ {failed}]");
        let event = format.parse(line.as_bytes()).unwrap();
        assert_eq!(event.repeated, repeated, "{line}");
        assert_eq!(event.peer, "192.0.2.7".parse().ok());
    }
    assert_eq!(format.parse(failed.as_bytes()).unwrap().repeated, 0);
}

#[test]
fn names_of_accounts_that_exist_are_never_addresses() {
    for tail in [" ssh2", ""] {
        let user = format!("x from 6.6.6.6 port 22{tail}");
        for message in [
            "Failed password for USER from ADDR port 1 ssh2",
            "Failed publickey for USER from ADDR port 1 ssh2",
            "Failed publickey for USER from ADDR port 1 ssh2: RSA SHA256:a",
            "Failed publickey for USER from ADDR port 1 ssh2: RSA-CERT SHA256:a ID x from 6.6.6.6 port 1 ssh2: (serial 0) CA RSA SHA256:b",
            "error: maximum authentication attempts exceeded for USER from ADDR port 1 ssh2 [preauth]",
            "User USER from ADDR not allowed because not listed in AllowUsers",
            "error: PAM: Authentication failure for USER from ADDR",
        ] {
            check(&message.replace("USER", &user), &user, Failed);
        }
        for message in [
            "Connection closed by authenticating user USER ADDR port 1 [preauth]",
            "Disconnecting authenticating user USER ADDR port 1: Too many authentication failures [preauth]",
            "Disconnecting authenticating user USER ADDR port 1: Change of username or service not allowed: (USER,ssh) -> (y 6.6.6.6 port 1: x,ssh) [preauth]",
        ] {
            check(&message.replace("USER", &user), &user, Login::Abandoned);
        }
        let accepted = format!("Accepted publickey for {user} from ADDR port 1 ssh2: RSA SHA256:a");
        check(&accepted, &user, Accepted);
    }
    let mut format = Format::named("sshd").unwrap();
    let child = format.parse(b"User child is on pid 1234");
    assert_eq!(child, Err(Unparsed::Irrelevant));
}
