use super::*;
use crate::setup::host::{Daemon, Fail2ban};

fn wanted() -> Wanted {
    Wanted {
        interfaces: Vec::new(),
        protect: vec!["198.51.100.0/24".parse().unwrap()],
        fail2ban: When::Auto,
        report: None,
        monitoring: true,
        start: true,
    }
}

/// A host with the package installed and nothing else.
fn fresh() -> Host {
    Host {
        config: "/etc/couic/couic.toml".into(),
        config_text: Some("# packaged\nifaces = []\n".into()),
        default_interfaces: vec!["eth0".into()],
        interfaces: vec!["lo".into(), "eth0".into(), "eth1".into()],
        own: vec!["192.0.2.1".parse().unwrap()],
        sessions: vec!["203.0.113.7".parse().unwrap()],
        daemon: Daemon {
            installed: crate::installed::Installed {
                user: "couic".into(),
                group: "couic".into(),
                working_dir: "/var/lib/couic".into(),
                socket: "/var/run/couic/couic.sock".into(),
                ..Default::default()
            },
            user_exists: true,
            ..Daemon::default()
        },
        config_error: None,
        unit: true,
        enabled: false,
        fail2ban: Fail2ban {
            dir: "/etc/fail2ban".into(),
            installed: true,
            token: "/etc/couic/fail2ban.token".into(),
            ..Fail2ban::default()
        },
    }
}

/// The host after the plan was applied.
fn applied(mut host: Host, plan: &Plan) -> Host {
    for step in &plan.steps {
        match step {
            Step::User { .. } => host.daemon.user_exists = true,
            Step::Directory { path, .. } => drop(host.daemon.directories.insert(path.clone())),
            Step::Configuration { text, .. } => host.config_text = Some(text.clone()),
            Step::File { path, text, .. } if path.ends_with("setup.couic") => {
                host.daemon.protected = Some(text.clone());
            }
            Step::File { path, .. } if path.ends_with("action.d/couic.conf") => {
                host.fail2ban.has_action = true;
            }
            Step::File { path, .. } if path.ends_with("action.d/couic.py") => {
                host.fail2ban.has_python = true;
            }
            Step::File { text, .. } => host.fail2ban.jail = Some(text.clone()),
            Step::Start => (host.daemon.runs, host.enabled) = (true, true),
            Step::Restart => host.daemon.runs = true,
            Step::Enable => host.enabled = true,
            Step::Monitoring { .. } => host.daemon.has_monitoring = true,
            Step::Fail2banClient { .. } => {
                (host.fail2ban.has_client, host.fail2ban.has_token) = (true, true);
                host.fail2ban.is_refused = false;
            }
            Step::Fail2banToken { .. } => host.fail2ban.is_refused = false,
            Step::Reload | Step::Fail2ban => {}
        }
    }
    host
}

fn shown(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(ToString::to_string).collect()
}

#[test]
fn a_fresh_host_is_protected_before_it_is_filtered_and_a_second_run_changes_nothing() {
    let host = fresh();
    let first = plan(&wanted(), &host).unwrap();
    let steps = shown(&first);
    let at = |text: &str| {
        steps
            .iter()
            .position(|step| step.contains(text))
            .unwrap_or_else(|| panic!("{text}: {steps:#?}"))
    };
    assert!(at("filter on eth0") < at("start couic"));
    assert!(at("never drop 192.0.2.1/32, 198.51.100.0/24, 203.0.113.7/32") < at("start couic"));
    assert!(at("start couic") < at("client monitoring"));
    assert!(at("jail.d/couic.local") < at("client fail2ban, which may only drop"));
    assert!(at("start couic") < at("client fail2ban"));
    let again = plan(&wanted(), &applied(host, &first)).unwrap();
    assert_eq!(again, Plan::default());
}

#[test]
fn a_running_daemon_is_restarted_for_its_configuration_and_reloaded_for_its_sets() {
    let host = applied(fresh(), &plan(&wanted(), &fresh()).unwrap());
    let mut more = wanted();
    more.protect.push("2001:db8::/32".parse().unwrap());
    let steps = plan(&more, &host).unwrap().steps;
    assert!(
        matches!(steps.as_slice(), [Step::File { .. }, Step::Reload]),
        "{steps:?}"
    );
    more.report = Some("https://h/s".into());
    let steps = plan(&more, &host).unwrap().steps;
    assert!(
        matches!(
            steps.as_slice(),
            [Step::Configuration { .. }, Step::File { .. }, Step::Restart]
        ),
        "{steps:?}"
    );
    more.start = false;
    let without = plan(&more, &host).unwrap();
    assert!(
        without.notes[0].contains("until it is restarted"),
        "{without:?}"
    );
}

#[test]
fn entries_of_the_operator_stay_in_the_set() {
    let mut host = fresh();
    host.daemon.protected = Some("# mine\n192.0.2.1 # me\n10.0.0.0-10.0.0.3".into());
    let plan = plan(&wanted(), &host).unwrap();
    let text = plan.steps.iter().find_map(|step| match step {
        Step::File { path, text, .. } if path.ends_with("setup.couic") => Some(text.as_str()),
        _ => None,
    });
    assert_eq!(
        text,
        Some("# mine\n192.0.2.1 # me\n10.0.0.0-10.0.0.3\n198.51.100.0/24\n203.0.113.7/32\n")
    );
}

#[test]
fn interfaces_are_named_found_or_missing() {
    let named = |names: &[&str], host: &Host| {
        let mut wanted = wanted();
        wanted.interfaces = names.iter().map(|name| (*name).to_owned()).collect();
        interfaces(
            &wanted,
            host,
            &Edited::of(&host.config, host.config_text.as_deref()).unwrap(),
        )
    };
    let mut host = fresh();
    assert_eq!(named(&["eth1", "wan*"], &host).unwrap(), ["eth1", "wan*"]);
    let refused = named(&["eth9"], &host).unwrap_err().text();
    assert!(
        refused.contains("no interface eth9") && refused.contains("eth0, eth1"),
        "{refused}"
    );
    host.config_text = Some("ifaces = [\"eth1\"]".into());
    assert_eq!(
        named(&[], &host).unwrap(),
        ["eth1"],
        "the operator's choice stays"
    );
    host.config_text = Some("ifaces = [\"eth1\", \"wg0\"]".into());
    assert_eq!(
        named(&[], &host).unwrap(),
        ["eth1", "wg0"],
        "one that is down comes back"
    );
    assert_eq!(named(&["wg0"], &host).unwrap(), ["wg0"]);
    host.config_text = Some("ifaces = [\"ens3\"]".into());
    assert_eq!(
        named(&[], &host).unwrap(),
        ["eth0"],
        "that of the example does not exist"
    );
    host.default_interfaces.clear();
    assert!(
        named(&[], &host)
            .unwrap_err()
            .text()
            .contains("name those to filter on with -i")
    );
}

#[test]
fn without_package_user_and_directories_are_made_and_the_start_is_left_to_the_operator() {
    let mut host = fresh();
    host.config_text = None;
    host.daemon.user_exists = false;
    host.unit = false;
    host.fail2ban.installed = false;
    let plan = plan(&wanted(), &host).unwrap();
    let steps = shown(&plan);
    assert_eq!(steps[0], "create the system user couic");
    assert_eq!(steps[1], "create /var/lib/couic (couic:couic, 0750)");
    assert!(
        plan.notes[0].contains("couic -c /etc/couic/couic.toml"),
        "{plan:?}"
    );
    assert!(
        plan.notes[1].contains("clients add -n monitoring"),
        "{plan:?}"
    );
    let mut always = wanted();
    always.fail2ban = When::Always;
    let refused = super::plan(&always, &host).unwrap_err().text();
    assert!(refused.contains("no fail2ban-client"), "{refused}");
}

#[test]
fn a_daemon_that_was_started_by_hand_is_started_at_boot_too() {
    let mut host = applied(fresh(), &plan(&wanted(), &fresh()).unwrap());
    host.enabled = false;
    let plan = plan(&wanted(), &host).unwrap();
    assert_eq!(plan.steps, [Step::Enable]);
}

#[test]
fn a_configuration_that_cannot_be_read_is_not_replaced_by_the_example() {
    let mut host = fresh();
    host.config_text = None;
    host.config_error = Some("Permission denied".into());
    let refused = plan(&wanted(), &host).unwrap_err().text();
    assert!(
        refused.contains("couic.toml: Permission denied")
            && refused.contains("nothing was changed"),
        "{refused}"
    );
}

#[test]
fn fail2ban_gets_a_token_or_the_operator_the_command_for_it() {
    let mut host = applied(fresh(), &plan(&wanted(), &fresh()).unwrap());
    let jail = host.fail2ban.jail.clone().unwrap();
    assert!(jail.contains("\nbanaction = couic.py\n"), "{jail}");
    host.fail2ban.has_token = false;
    let notes = plan(&wanted(), &host).unwrap().notes;
    assert!(notes[0].contains("clients rotate fail2ban"), "{notes:?}");
    host.fail2ban.has_client = false;
    host.fail2ban.runs = true;
    let steps = shown(&plan(&wanted(), &host).unwrap());
    assert_eq!(
        steps,
        [
            "create the client fail2ban, which may only drop, with its token in /etc/couic/fail2ban.token (0600)",
            "restart the jails of fail2ban (fail2ban-client reload --restart --all)"
        ]
    );
    host.daemon.runs = false;
    host.unit = false;
    let notes = plan(&wanted(), &host).unwrap().notes;
    let told = |note: &String| note.contains("clients add -n fail2ban -g clientrw --policy drop");
    assert!(notes.iter().any(told), "{notes:?}");
    // What an operator chose stays.
    host.fail2ban.jail = Some("[DEFAULT]\nbanaction = couic\n".into());
    let plan = plan(&wanted(), &host).unwrap();
    assert!(plan.steps.is_empty(), "{plan:?}");
    let told = |note: &String| note.contains("banaction = couic.py costs a fraction");
    assert!(plan.notes.iter().any(told), "{plan:?}");
}

#[test]
fn a_token_of_fail2ban_that_is_refused_is_replaced() {
    let mut host = fresh();
    host = applied(host.clone(), &plan(&wanted(), &host).unwrap());
    host.fail2ban.is_refused = true;
    let rotated = plan(&wanted(), &host).unwrap();
    let token = "give the client fail2ban a new token, in /etc/couic/fail2ban.token: the one there is refused";
    assert_eq!(shown(&rotated), [token]);
    assert_eq!(
        shown(&plan(&wanted(), &applied(host.clone(), &rotated)).unwrap()),
        [""; 0]
    );
    // Its client was deleted.
    host.fail2ban.has_client = false;
    let made = plan(&wanted(), &host).unwrap();
    assert!(shown(&made)[0].starts_with("create the client fail2ban"));
}

#[test]
fn jails_name_a_socket_and_a_token_that_are_elsewhere() {
    let mut host = fresh();
    host.daemon.installed.socket = "/srv/couic.sock".into();
    host.fail2ban.token = "/srv/fail2ban.token".into();
    let host = applied(host.clone(), &plan(&wanted(), &host).unwrap());
    let jail = host.fail2ban.jail.unwrap();
    let action = "couic.py[socket=\"/srv/couic.sock\", token_file=\"/srv/fail2ban.token\"]";
    assert!(
        jail.contains(&format!("\nbanaction_allports = {action}\n")),
        "{jail}"
    );
}
