use std::fs;

use super::*;

fn parse(texts: &[(&str, &str)]) -> Result<Config, String> {
    let part = |(path, text): &(&str, &str)| Part {
        path: path.into(),
        text: (*text).to_owned(),
    };
    let files: Vec<Part> = texts.iter().map(part).collect();
    Config::of(&files).map_err(|mistakes| mistakes.to_string())
}

const WEB: &str = "[source.web]\nfile = \"/var/log/nginx/access*.log\"\nformat = \"combined\"\n";

/// That a text is valid, if `mistake` is empty, or refused with it.
fn assert_tells(text: &str, mistake: &str) {
    match parse(&[("c.toml", text)]) {
        Ok(_) => assert_eq!(mistake, "", "{text}"),
        Err(told) => assert!(
            !mistake.is_empty() && told.contains(mistake),
            "{text}: {told}"
        ),
    }
}

fn jail(keys: &str) -> String {
    format!("{WEB}[jail.scan]\nsource = \"web\"\nrate = \"10 per 100s\"\n{keys}\n")
}

#[test]
fn the_shipped_example_is_valid_and_shows_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/couicmon.toml");
    let example = fs::read_to_string(path).unwrap();
    let shown = parse(&[("couicmon.toml", &example)]).unwrap();
    let least = jail("");
    let default = parse(&[("couicmon.toml", &least)]).unwrap();
    let settings = |config: &Config| {
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            config.control,
            config.metrics,
            config.socket,
            config.token_file,
            config.catch_up,
            config.log_level,
            config.detect.ladder,
            config.detect.guard,
            config.detect.v6_prefix,
        )
    };
    assert_eq!(settings(&shown), settings(&default));
    assert!(shown.detect.widen.is_none() && shown.detect.bots.verify);
    assert_eq!(shown.detect.jails.len(), 2);
    assert!(shown.rules().is_some());
    // What is commented out is valid, too.
    let all = example.replace("\n#=", "\n");
    let all = parse(&[("couicmon.toml", &all)]).unwrap();
    assert_eq!(all.user.as_deref(), Some("couicmon"));
    assert!(all.detect.widen.is_some() && all.detect.jails.len() > 2);
    let web = all
        .sources
        .iter()
        .find(|source| source.name == "web")
        .unwrap();
    assert_eq!(web.feeds().collect::<Vec<_>>(), ["cloudflare"]);
}

#[test]
fn all_mistakes_of_all_files_are_told_at_once_with_their_lines() {
    let main = "\
catch_up = 10
[daemon]
sockt = \"/run/x\"
[metrics]
listen = \"0.0.0.0:80\"
[source.web]
file = \"access.log\"
format = \"combine\"
[source.both]
file = \"/var/log/x\"
udp = \"127.0.0.1:5\"
format = \"plain\"
";
    let more = "\
[source.web]
stdin = true
[jail.Login]
source = \"web\"
rate = \"5 per 5m\"
login = \"refused\"
ban = \"8d\"
";
    let told = parse(&[("main.toml", main), ("d/more.toml", more)])
        .err()
        .unwrap();
    let place = |line: &str| line.splitn(3, ": ").take(2).collect::<Vec<_>>().join(" ");
    let places: Vec<String> = told.lines().map(place).collect();
    let expected = "main.toml:1 catch_up, main.toml:3 daemon.sockt, main.toml:5 metrics.listen, \
        main.toml:7 source.web.file, main.toml:8 source.web.format, main.toml:11 source.both.udp, \
        d/more.toml:1 source.web, d/more.toml:3 jail.Login.name, d/more.toml:6 jail.Login.login, \
        d/more.toml:7 jail.Login.ban";
    assert_eq!(places.join(", "), expected, "{told}");
    assert!(
        told.contains("source.web: is already in main.toml:6"),
        "{told}"
    );
}

#[test]
fn mistakes_of_the_detector_have_the_line_of_their_key() {
    let text =
        jail("status = [\"40x\"]\nregex = \"(\"\n[login.shop]\nsource = \"none\"\npath = \"/x\"");
    let told = parse(&[("c.toml", &text)]).err().unwrap();
    for (line, key) in [
        (7, "jail.scan.status"),
        (8, "jail.scan.regex"),
        (10, "login.shop.source"),
    ] {
        assert!(
            told.contains(&format!("c.toml:{line}: {key}: ")),
            "{key} in {told}"
        );
    }
}

#[test]
fn what_cannot_be_read_hides_no_mistake_of_the_rest() {
    let text = "\
[source.web]
file = \"/x\"
format = \"combine\"
colour = 1
[jail.scan]
source = \"wob\"
rate = \"ten\"
status = \"40x\"
regex = \"(\"
tag = \"a b/c\"
ban = \"8d\"
colour = 1
[ladder]
factor = 0
";
    let told = parse(&[("c.toml", text)]).err().unwrap();
    let lines: Vec<_> = told
        .lines()
        .map(|line| line.split(':').nth(1).unwrap())
        .collect();
    assert_eq!(
        lines,
        ["3", "4", "6", "7", "8", "9", "10", "11", "12", "14"],
        "{told}"
    );
}

#[test]
fn what_can_never_ban_is_warned_of() {
    let warned = |source: &str, jail: &str| {
        let text = format!(
            "[source.x]\n{source}\n[source.other]\nfile = \"/var/log/other.log\"\nformat = \"sshd\"\n\
             [jail.j]\nsource = \"x\"\nrate = \"2 per 2m\"\n{jail}\n"
        );
        parse(&[("c.toml", &text)]).unwrap().warnings().join("\n")
    };
    let of = |format: &str| format!("file = \"/x.log\"\nformat = \"{format}\"");
    let proxies = "\ntrusted_proxies = \"10.0.0.0/8\"";
    let forwarded = format!("{proxies}\nclient_from = \"x-forwarded-for\"");
    for (source, jail, told) in [
        (of("combined"), "status = 404", ""),
        (of("combined"), "distinct = \"user\"", ""),
        (of("nginx-main") + &forwarded, "", ""),
        (of("plain"), "regex = '^bad <HOST>$'", ""),
        (of("sshd"), "login = \"failed\"", ""),
        (of("combined") + &forwarded, "", "has no X-Forwarded-For"),
        (of("combined") + proxies, "", "without client_from"),
        (of("combined"), "login = \"failed\"", "x: no login"),
        (of("sshd"), "status = 404", "x: no status"),
        (of("sshd"), "method = \"GET\"", "x: no method"),
        (of("sshd"), "path = \"/\"", "x: no path"),
        (of("common"), "agent = \"curl\"", "x: no agent"),
        (of("combined"), "host = \"a.example\"", "x: no host"),
        (of("plain"), "contains = \"bad\"", "x: no address"),
        (of("syslog"), "regex = 'bad'", "x: no address"),
        (
            of("combined"),
            "method = \"GTE\"",
            "\"GTE\" is no usual method",
        ),
        (of("combined"), "tag = \"web\"", "refuses \"web\""),
        (
            "stdin = true\nfields = '$remote_addr $status'".into(),
            "path = \"/\"",
            "x: no path",
        ),
        (
            "stdin = true\njson = { message = \"m\" }".into(),
            "distinct = \"user\"",
            "x: no user",
        ),
        (
            "stdin = true\nfields = \"$remote_addr\\n$status\"".into(),
            "",
            "has a newline",
        ),
        (
            "file = \"/var/log/*.log\"\nformat = \"combined\"".into(),
            "",
            "source.x both read /var/log/other.log",
        ),
    ] {
        let warnings = warned(&source, jail);
        let fine = warnings.contains(told) && warnings.is_empty() == told.is_empty();
        assert!(fine, "{source} {jail}: {told:?} in {warnings:?}");
    }
    let long = format!("regex = '{}.*<HOST>'", "long".repeat(100));
    let warnings = warned(&of("plain"), &long);
    assert!(
        warnings.contains("anchor it") && warnings.len() < 400,
        "{warnings}"
    );
}

#[test]
fn nothing_to_read_is_a_mistake() {
    let told = parse(&[("c.toml", "")]).err().unwrap();
    assert!(told.contains("source: is missing"), "{told}");
}

#[test]
fn sources_say_where_lines_come_from_and_one_thing_only() {
    for (keys, mistake) in [
        ("udp = \"127.0.0.1:5140\"", ""),
        ("unix = \"/run/couicmon/log\"", ""),
        ("stdin = true", ""),
        ("cri = \"/var/log/containers/*.log\"", ""),
        ("docker = [\"/a/*.log\", \"/b/*.log\"]", ""),
        ("journal = \"_SYSTEMD_UNIT=ssh.service\"", ""),
        ("journal = \"_SYSTEMD_UNIT=couicmon.service\"", "own log"),
        ("journal = []", "is empty"),
        ("journal = \"ssh\"", "not a match"),
        ("stdin = false", "must be true"),
        ("udp = \"5140\"", "an address and a port"),
        ("", "one of file, journal"),
        (
            "stdin = true\ntrusted_proxies = [\"10.0.0.0/8\", \"x\"]",
            "neither a network",
        ),
        (
            "stdin = true\nclient_from = \"x-forwarded-for\"",
            "needs trusted_proxies",
        ),
        (
            "stdin = true\ntrusted_proxies = \"unix\"\nclient_from = \"x-forwarded-for\"",
            "",
        ),
    ] {
        let text = format!("[source.x]\nformat = \"plain\"\n{keys}\n");
        assert_tells(&text, mistake);
    }
}

#[test]
fn formats_are_named_or_compiled() {
    for (keys, mistake) in [
        (
            "fields = '$remote_addr [$time_local] \"$request\" $status'",
            "",
        ),
        ("fields = '$status'", "address"),
        (
            "json = { peer = \"ip\", path = \"request.uri\", status = \"status\" }",
            "",
        ),
        ("json = { pear = \"ip\" }", "unknown key"),
        (
            "format = \"combined\"\nfields = '$remote_addr'",
            "beside format",
        ),
        ("", "one of format, fields, json"),
    ] {
        let text = format!("[source.x]\nstdin = true\n{keys}\n");
        assert_tells(&text, mistake);
    }
}

#[test]
fn formats_are_told_as_people_write_them() {
    for (keys, text) in [
        ("docker = \"/a\"\nformat = \"combined\"", "docker, combined"),
        ("cri = \"/a\"\nformat = \"plain\"", "cri, plain"),
        (
            "stdin = true\njson = { peer = \"ip\", time = [\"ts\", \"t\"] }",
            "json (time ts, time t, peer ip)",
        ),
    ] {
        let config = parse(&[("c.toml", &format!("[source.x]\n{keys}\n"))]).unwrap();
        assert_eq!(config.sources[0].format_text, text);
    }
}

#[test]
fn presets_are_below_the_configuration() {
    let names = |config: &Config| {
        let jails = config.detect.jails.iter().map(|jail| jail.name.clone());
        jails.collect::<Vec<_>>()
    };
    let all = parse(&[("c.toml", "presets = [\"sshd\"]")]).unwrap();
    let (first, rate) = (names(&all)[0].clone(), all.detect.jails[0].rate.clone());
    let text = format!("presets = [\"sshd\"]\n[jail.{first}]\nban = \"77m\"\n");
    let changed = parse(&[("c.toml", &text)]).unwrap();
    assert_eq!(names(&changed), names(&all));
    assert_eq!(changed.detect.jails[0].ban, Duration::from_secs(77 * 60));
    assert_eq!(changed.detect.jails[0].rate, rate);
    let text = format!("presets = [\"sshd\"]\n[jail.{first}]\nenabled = false\n");
    assert!(!names(&parse(&[("c.toml", &text)]).unwrap()).contains(&first));
    let text = format!("[jail.{first}]\npreset = \"sshd\"\nban = \"77m\"\n");
    let one = parse(&[("c.toml", &text)]).unwrap();
    assert_eq!((names(&one), one.sources.len()), (vec![first], 1));
    // A file in the place of the journal.
    let source = &all.sources[0].name;
    let text = format!("presets = [\"sshd\"]\n[source.{source}]\nfile = \"/var/log/auth.log\"\n");
    let file = parse(&[("c.toml", &text)]).unwrap();
    assert!(matches!(
        file.sources[0].input,
        couic_tail::Source::File { .. }
    ));
    for (text, mistake) in [
        (
            "presets = [\"shd\"]",
            "c.toml:1: presets: \"shd\" is none of: sshd",
        ),
        (
            "[jail.x]\npreset = \"shd\"",
            "c.toml:2: jail.x.preset: \"shd\" is none of",
        ),
    ] {
        let told = parse(&[("c.toml", text)]).err().unwrap();
        assert!(told.contains(mistake), "{told}");
    }
}

#[test]
fn one_preset_needs_no_brackets() {
    let of = |text: &str| parse(&[("c.toml", text)]).unwrap().detect.jails.len();
    assert_eq!(of("presets = \"nginx\""), of("presets = [\"nginx\"]"));
    let two = [
        ("a.toml", "presets = \"nginx\""),
        ("d/b.toml", "presets = [\"sshd\"]"),
    ];
    let names = names(&parse(&two).unwrap().sources);
    assert_eq!(names, ["nginx", "sshd"]);
}

#[test]
fn presets_that_displace_each_other_are_warned_of() {
    let of = |text: &str| parse(&[("c.toml", text)]).unwrap().warnings();
    let told = of("presets = [\"sshd-file\", \"nginx\", \"sshd\"]");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("both have [source.sshd]"), "{told:?}");
    for name in crate::presets::NAMES {
        assert!(
            of(&format!("presets = [{name:?}, \"nginx\"]")).is_empty(),
            "{name}"
        );
    }
}

#[test]
fn files_of_the_directory_are_read_in_the_order_of_names() {
    let dir = tempfile::tempdir().unwrap();
    let main = dir.path().join("couicmon.toml");
    let fragments = dir.path().join("couicmon.d");
    fs::create_dir(&fragments).unwrap();
    fs::write(&main, WEB).unwrap();
    let of = |name: &str| format!("[jail.{name}]\nsource = \"web\"\nrate = \"1 per 1s\"\n");
    fs::write(fragments.join("20-b.toml"), of("b")).unwrap();
    fs::write(fragments.join("10-a.toml"), of("a")).unwrap();
    fs::write(fragments.join("30-c.toml.bak"), "=").unwrap();
    fs::write(fragments.join(".30-c.toml"), "=").unwrap();
    let config = Config::load(&main).unwrap();
    assert_eq!(config.detect.jails.len(), 2);
    fs::write(fragments.join("30-a.toml"), of("a")).unwrap();
    let told = Config::load(&main).err().unwrap().to_string();
    assert!(
        told.contains("30-a.toml:1: jail.a: is already in") && told.contains("10-a.toml:1"),
        "{told}"
    );
    fs::write(fragments.join("30-a.toml"), [0xff]).unwrap();
    let told = Config::load(&main).err().unwrap().to_string();
    assert!(told.contains("30-a.toml: cannot be read"), "{told}");
    let told = Config::load(&dir.path().join("none"))
        .err()
        .unwrap()
        .to_string();
    assert!(told.contains("none: cannot be read"), "{told}");
}

/// What the documents show is read as it stands there. Fragments get what they leave out.
#[test]
fn the_examples_of_the_documents_are_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/couicmon.md");
    let page = fs::read_to_string(path).unwrap();
    let examples: Vec<&str> = (page.split("```toml\n").skip(1))
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(examples.len() >= 6, "{}", examples.len());
    for example in examples {
        let mut text = example.to_owned();
        if !example.contains("[source.") && !example.contains("presets =") {
            text.push_str(WEB);
        }
        let config = parse(&[("couicmon.toml", &text)]).map_err(|told| format!("{text}\n{told}"));
        assert!(config.unwrap().rules().is_some());
    }
}
