//! One mistake per bad value: single keys, limits, paths, accounts.

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a table: one row per bad value")]
fn one_message_for_each_bad_value() {
    for (tail, expected) in [
        (
            "operation_mode = \"fast\"",
            "4: operation_mode: \"fast\" is none of: auto, native, generic, offloaded, tcx",
        ),
        (
            "operation_mode = 1",
            "4: operation_mode: must be a string, not an integer",
        ),
        (
            "working_dir = \"lib\"",
            "4: working_dir: \"lib\" must be an absolute path",
        ),
        (
            "colour = 1",
            "4: colour: unknown key; known here: group, guard, ifaces,",
        ),
        ("limits = 1", "4: limits: must be a table, not an integer"),
        (
            "[limits]\ndrop_entries = 0",
            "5: limits.drop_entries: 0 is not in the range from 1 to 16777216",
        ),
        (
            "[limits]\nignore_entries = -5",
            "5: limits.ignore_entries: -5 is not in the range",
        ),
        (
            "[limits]\nignore_entries = 1.5",
            "5: limits.ignore_entries: must be a whole number, not a float",
        ),
        (
            "[limits]\ndrop_entries = 99999999999999999999",
            "5: limits.drop_entries: 99999999999999999999 is not in",
        ),
        (
            "[limits]\ndrop = 1",
            "5: limits.drop: unknown key; known here: drop_entries, ignore_entries",
        ),
        (
            "[metrics]\nlisten = \"localhost:9464\"",
            "5: metrics.listen: \"localhost:9464\" is not an address and a port, as in \"127.0.0.1:9464\"",
        ),
        (
            "[metrics]\nlisten = \"127.0.0.1\"",
            "5: metrics.listen: \"127.0.0.1\" is not an address and a port",
        ),
        (
            "[metrics]\nlisten = \"127.0.0.1:0\"",
            "5: metrics.listen: \"127.0.0.1:0\" is not an address and a port",
        ),
        (
            "[metrics]\nlisten = 9464",
            "5: metrics.listen: must be a string, not an integer",
        ),
        (
            "[logging]\ndir = \"log\"",
            "5: logging.dir: \"log\" must be an absolute path",
        ),
        (
            "[logging]\nrotation = \"hourly\"",
            "5: logging.rotation: \"hourly\" is none of: daily, weekly, never",
        ),
        (
            "[logging]\nmax_log_files = 0",
            "5: logging.max_log_files: 0 is not in the range from 1",
        ),
        (
            "[logging]\nformat = \"xml\"",
            "5: logging.format: \"xml\" is none of: text, json",
        ),
        (
            "[logging]\nlevel = \"loud\"",
            "5: logging.level: \"loud\" is none of: error,",
        ),
        (
            "[logging]\nstdout = \"yes\"",
            "5: logging.stdout: must be true or false, not a string",
        ),
        (
            "[server]\nsocket = \"couic.sock\"",
            "5: server.socket: \"couic.sock\" must be an absolute path",
        ),
        (
            "[server]\nsocket = \"/run/couic/\"",
            "5: server.socket: must name a file",
        ),
        (
            "[server]\nport = 1",
            "5: server.port: unknown key; known here: socket",
        ),
        (
            "[state]\npersist = \"no\"",
            "5: state.persist: must be true or false, not a string",
        ),
        (
            "[guard]\nenforce = 1",
            "5: guard.enforce: must be true or false, not an integer",
        ),
        (
            "[plugins]\ndir = \"\"",
            "5: plugins.dir: \"\" must be an absolute path",
        ),
        (
            "[reporting]\nenabled = true",
            "4: reporting.webhook: is missing",
        ),
        (
            "[[reporting.notifiers]]\nconfig = {}",
            "4: reporting.notifiers[0].plugin: is missing",
        ),
        (
            "[[reporting.notifiers]]\nplugin = \"\"",
            "5: reporting.notifiers[0].plugin: is empty",
        ),
        (
            "[[reporting.notifiers]]\nplugin = \"a\"\nconfig = 1",
            "6: reporting.notifiers[0].config: must be a table",
        ),
        (
            "[[reporting.notifiers]]\nplugin = \"a\"\nurl = 1",
            "6: reporting.notifiers[0].url: unknown key",
        ),
        (
            "[reporting]\nwebhook = \"http://a/\"\n[[reporting.notifiers]]\nplugin = \"webhook\"",
            "7: reporting.notifiers[0].plugin: the name \"webhook\" is already used by reporting.webhook",
        ),
        (
            "[[reporting.notifiers]]\nplugin = \"a\"\n[[reporting.notifiers]]\nplugin = \"b\"\nname = \"a\"",
            "8: reporting.notifiers[1].name: the name \"a\" is already used by reporting.notifiers[0]",
        ),
        (
            "[[reporting.notifiers]]\nplugin = \"/opt/a b.so\"",
            "5: reporting.notifiers[0].plugin: \"/opt/a b.so\" is no valid name for the notifier",
        ),
        (
            "[reporting]\nname = \"pare-feu-é\"",
            "5: reporting.name: must be 1 to 100 letters",
        ),
        (
            "[reporting]\nnotifiers = [1]",
            "5: reporting.notifiers[0]: must be a table, not an integer",
        ),
        (
            "[peering]\npeers = 1",
            "5: peering.peers: must be an array of tables, not an integer",
        ),
    ] {
        let told = only_mistake(&format!("{HEAD}{tail}\n"));
        assert!(
            told.starts_with(expected),
            "{tail}\n  expected {expected}\n  got      {told}"
        );
    }
}

#[test]
fn limits_that_exceed_the_tables_together() {
    let told = only_mistake(&format!("{HEAD}[limits]\ndrop_entries = 16000000\n"));
    assert!(told.starts_with("4: limits.drop_entries: "), "{told}");
    assert!(
        told.contains("lower drop_entries or ignore_entries"),
        "{told}"
    );
    assert!(Config::parse(&format!("{HEAD}[limits]\ndrop_entries = 8000000\n")).is_ok());
}

#[test]
fn a_socket_path_that_is_too_long() {
    let long = format!("/{}", "x".repeat(107));
    let told = only_mistake(&format!("{HEAD}[server]\nsocket = \"{long}\"\n"));
    assert!(
        told.starts_with("5: server.socket: has 108 bytes"),
        "{told}"
    );
    let fits = &long[..107];
    assert!(Config::parse(&format!("{HEAD}[server]\nsocket = \"{fits}\"\n")).is_ok());
}

#[test]
fn an_unknown_account_is_reported_with_the_command_that_creates_it() {
    let told = only_mistake("ifaces = [\"eth0\"]\nuser = \"no-such-account\"\ngroup = \"root\"\n");
    assert!(
        told.starts_with("2: user: there is no user \"no-such-account\""),
        "{told}"
    );
    assert!(told.contains("useradd --system no-such-account"));
    let told = only_mistake("ifaces = [\"eth0\"]\nuser = \"root\"\ngroup = \"no-such-account\"\n");
    assert!(told.contains("groupadd --system no-such-account"), "{told}");
}
