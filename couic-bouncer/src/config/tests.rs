//! Mistakes, and what a configuration needs.

use super::*;

const FEED: &str = "[feeds.bad]\nurl = \"https://example.org:8443/list\"\n";

fn of(text: &str) -> Result<Config, PartErrors> {
    Config::of(&[Part {
        path: "x.toml".into(),
        text: text.to_owned(),
    }])
}

#[test]
fn defaults_are_those_of_the_documents() {
    let config = of("").unwrap();
    assert_eq!(config.metrics, METRICS.parse().ok());
    assert_eq!(config.token_file, Path::new(TOKEN));
    assert!(config.crowdsec.is_none() && config.feeds.is_empty());
    assert!(config.warnings()[0].contains("nothing to do"));
    assert!(config.ports().is_empty());
}

#[test]
fn the_example_is_valid_and_all_of_it_is_when_it_is_switched_on() {
    let text = include_str!("../../../config/couic-bouncer.toml");
    of(text).unwrap();
    let all = text.replace("#=", "");
    let config = of(&all).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    assert!(config.crowdsec.is_some() && config.feeds.len() >= 3);
}

#[test]
fn every_mistake_is_told_at_once_with_its_line() {
    let text = "stat_dir = \"/x\"\n[crowdsec]\nurl = \"ftp://x\"\ninterval = 5\n[feeds.bad]\nurl = \"http://example.org\"\n\
                every = \"5s\"\n[feeds.other]\nulr = \"x\"\n[feeds.none]\nfile = 5\n[metrics]\nlisten = \"0.0.0.0:1\"\n";
    let told = of(text).unwrap_err().to_string();
    for begin in [
        "x.toml:1: stat_dir: ",
        "x.toml:4: crowdsec.interval: ",
        "x.toml:6: feeds.bad.url: ",
        "x.toml:7: feeds.bad.every: ",
        "x.toml:9: feeds.other.ulr: ",
        "x.toml:11: feeds.none.file: ",
        "x.toml:13: metrics.listen: ",
    ] {
        assert!(
            told.lines().any(|line| line.starts_with(begin)),
            "{begin}: {told}"
        );
    }
    assert_eq!(told.lines().count(), 7, "{told}");
    let semantic = of("[crowdsec]\nurl = \"ftp://x\"\n")
        .unwrap_err()
        .to_string();
    assert!(
        semantic.contains("x.toml:2: crowdsec.url: ") && semantic.contains("key_file"),
        "{semantic}"
    );
}

#[test]
fn a_feed_may_be_in_a_file_of_its_own_and_one_name_in_two_files_is_a_mistake() {
    let part = |name: &str, text: &str| Part {
        path: name.into(),
        text: text.to_owned(),
    };
    let other = "[feeds.other]\nasn = 64496\nshadow = false\n";
    let config = Config::of(&[part("x.toml", FEED), part("y.toml", other)]).unwrap();
    let names: Vec<&str> = config.feeds.iter().map(|feed| feed.name.as_str()).collect();
    assert_eq!(names, ["bad", "other"]);
    assert!(Config::of(&[part("x.toml", FEED), part("y.toml", FEED)]).is_err());
}

#[test]
fn ports_and_files_are_those_that_are_used() {
    let text = format!(
        "{FEED}ca_file = \"/srv/ca.pem\"\n[feeds.own]\nfile = \"/srv/lists/own.txt\"\n\
         [crowdsec]\nurl = \"http://127.0.0.1:8080/\"\nkey_file = \"/etc/couic-bouncer/key\"\n[daemon]\ntoken_file = \"/t\"\n"
    );
    let config = of(&text).unwrap();
    assert_eq!(config.ports(), [8080, 8443]);
    let files: Vec<String> = config
        .files()
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    assert_eq!(
        files,
        [
            "/t",
            "/etc/couic-bouncer/key",
            "/srv/ca.pem",
            "/srv/lists/own.txt"
        ]
    );
    assert_eq!(needs::port("unix:/run/crowdsec.sock"), None);
    assert_eq!(needs::port("https://example.org/x"), Some(443));
}

#[test]
fn an_emptied_file_is_a_mistake_and_one_with_a_comment_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("c.toml");
    let feed = dir.path().join("c.d/feed.toml");
    std::fs::create_dir(dir.path().join("c.d")).unwrap();
    std::fs::write(&main, "control = \"/run/x/control.sock\"\n").unwrap();
    for blank in ["", " \n\t\n"] {
        std::fs::write(&feed, blank).unwrap();
        let told = Config::load(&main).unwrap_err().to_string();
        let begin = format!("{}: is empty", feed.display());
        assert!(told.starts_with(&begin), "{told}");
    }
    std::fs::write(&feed, "# empty on purpose\n").unwrap();
    assert!(Config::load(&main).unwrap().feeds.is_empty());
}

#[test]
fn an_invalid_configuration_tells_its_socket_as_far_as_it_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("c.toml");
    for (text, control) in [
        ("control = \"/run/x.sock\"\njunk = 1\n", "/run/x.sock"),
        ("control = \"relative\"\n", CONTROL),
        ("control = 5\n", CONTROL),
        ("control = \"/run/x.sock\"\n[[\n", CONTROL),
    ] {
        std::fs::write(&main, text).unwrap();
        assert_eq!(Config::control_in(&main), Path::new(control), "{text}");
    }
    assert_eq!(
        Config::control_in(&dir.path().join("none")),
        Path::new(CONTROL)
    );
}
