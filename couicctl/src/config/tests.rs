use couic_settings::Mistake;

use super::*;

const TOKEN: &str = "bbfa1388-3218-463c-9722-6805507c14bb";

fn parse(text: &str) -> Result<Settings, Vec<Mistake>> {
    couic_settings::parse(text, read)
}

/// In the order of detection; those of a file are sorted by line.
fn mistakes(text: &str) -> Vec<String> {
    let Err(mistakes) = parse(text) else {
        panic!("accepted: {text}");
    };
    let shown = mistakes.into_iter().map(|mistake| {
        let line = mistake.line.map(|line| format!("{line}: "));
        let key = mistake.key.map(|key| format!("{key}: "));
        [line, key, Some(mistake.message)]
            .into_iter()
            .flatten()
            .collect()
    });
    shown.collect()
}

fn remote() -> String {
    format!(
        "mode = \"remote\"\ntls = true\nhost = \"couic.tld\"\nport = 2900\ntoken = \"{TOKEN}\"\n"
    )
}

#[test]
fn the_shipped_example_is_the_default() {
    let text = include_str!("../../../config/couicctl.toml");
    let settings = parse(text).unwrap();
    let Target::Local {
        socket,
        client_file,
    } = settings.target
    else {
        panic!("not local");
    };
    assert_eq!(socket, Path::new(DEFAULT_SOCKET));
    assert_eq!(client_file, Path::new(DEFAULT_CLIENT_FILE));
    assert_eq!(settings.asn_url, asn::DEFAULT_URL);
}

#[test]
fn the_remote_part_of_the_example_is_valid() {
    let text = include_str!("../../../config/couicctl.toml");
    let mut lines: Vec<&str> = vec!["mode = \"remote\""];
    let begins = |l: &&str| {
        [
            "# tls =",
            "# host =",
            "# port =",
            "# token =",
            "# ca_file =",
            "# asn_url =",
        ]
        .iter()
        .any(|p| l.starts_with(p))
    };
    lines.extend(text.lines().filter(begins).map(|l| &l[2..]));
    assert_eq!(lines.len(), 7, "{lines:?}");
    let settings = parse(&lines.join("\n")).unwrap();
    assert!(matches!(settings.target, Target::Remote { .. }));
    assert_eq!(settings.asn_url, asn::DEFAULT_URL);
}

#[test]
fn remote_mode_requires_no_local_keys() {
    let settings = parse(&remote()).unwrap();
    let Target::Remote {
        endpoint, ca_file, ..
    } = settings.target
    else {
        panic!("not remote");
    };
    assert_eq!(endpoint, Endpoint::tls("couic.tld", 2900));
    assert_eq!(ca_file, None);
}

#[test]
fn every_mistake_is_named_with_its_line() {
    let text = "mode = \"remote\"\nsockte = \"/x\"\nport = \"2900\"\n\nhost = \"a/b\"\ntls = 1\n";
    assert_eq!(
        mistakes(text),
        [
            "token: is missing: mode \"remote\" requires it",
            "6: tls: must be true or false, not an integer",
            "5: host: \"a/b\" is not a host name or an IP address",
            "3: port: must be a whole number, not a string",
            "2: sockte: unknown key; known here: asn_url, ca_file, client_file, host, mode, port, socket, tls, token",
        ]
    );
}

#[test]
fn bad_values() {
    for (text, expected) in [
        ("", "mode: is missing: must be \"local\" or \"remote\""),
        (
            "mode = \"lokal\"",
            "1: mode: \"lokal\" is none of: local, remote",
        ),
        ("mode = 5", "1: mode: must be a string, not an integer"),
        (
            "mode = \"local\"\nclient_file = \"/x\"",
            "socket: is missing: mode \"local\" requires it",
        ),
        (
            "mode = \"local\"\nsocket = \"\"\nclient_file = \"/x\"",
            "2: socket: is empty",
        ),
        (
            "mode = \"local\"\nsocket = \"/s\"\nclient_file = [\"/x\"]",
            "3: client_file: must be a string, not an array",
        ),
        (
            "mode = \"local\"\nsocket = \"/s\"\nclient_file = \"/x\"\nport = 0",
            "4: port: 0 is not in the range from 1 to 65535",
        ),
        (
            "mode = \"local\"\nsocket = \"/s\"\nclient_file = \"/x\"\nasn_url = \"https://x/1\"",
            "4: asn_url: must be an http or https URL with {asn} where the number goes",
        ),
    ] {
        assert_eq!(mistakes(text), [expected], "{text}");
    }
}

#[test]
fn a_file_that_is_not_toml_is_refused_with_its_line() {
    let found = mistakes("mode = \"local\"\nsocket = /x\n");
    assert!(found[0].starts_with("2: "), "{found:?}");
    let found = mistakes("mode = \"local\"\nmode = \"local\"\n");
    assert!(
        found[0].starts_with("2: ") && found[0].contains("duplicate"),
        "{found:?}"
    );
}

#[test]
fn a_mistyped_token_is_not_shown() {
    let text = remote().replace("-3218", "-32z8");
    let found = mistakes(&text);
    assert_eq!(
        found,
        ["5: token: is not a UUID (not shown here: it is a secret)"]
    );
    let unclosed = remote().replace("bb\"\n", "bb\n");
    assert!(!mistakes(&unclosed).concat().contains("9722"));
}

#[test]
fn files_that_cannot_be_read() {
    let Err(Failure::Config(text)) = load(Some(Path::new("/nonexistent/x.toml"))) else {
        panic!("accepted");
    };
    assert!(text.contains("/nonexistent/x.toml"), "{text}");
}
