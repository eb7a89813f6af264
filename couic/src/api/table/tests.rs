//! Matching of paths, and parsing of their variables.

use super::*;

fn pattern(path: &str) -> Option<&'static str> {
    find(path).map(|found| found.path.pattern)
}

#[test]
fn words_win_over_variables() {
    for (path, expected) in [
        ("/v1/drop", Some("/v1/{policy}")),
        ("/v1/drop/", Some("/v1/{policy}")),
        ("/v1/%64rop", Some("/v1/{policy}")),
        ("/v1/st%61ts", Some("/v1/stats")),
        ("/v1/stats", Some("/v1/stats")),
        ("/v1/sets", Some("/v1/{policy}")),
        ("/v1/sets/reload", Some("/v1/sets/reload")),
        ("/v1/sets/drop", Some("/v1/sets/{policy}")),
        ("/v1/sets/drop/a", Some("/v1/sets/{policy}/{set}")),
        ("/v1/drop/1.2.3.4/32", Some("/v1/{policy}/{ip}/{prefix}")),
        ("/v1/drop/peer", Some("/v1/{policy}/peer")),
        ("/v1/notifiers/peer", Some("/v1/notifiers/{notifier}")),
        (
            "/v1/notifiers/a/test",
            Some("/v1/notifiers/{notifier}/test"),
        ),
        ("/v1/drop/other", None),
        ("/v1", None),
        ("/", None),
        ("", None),
        ("*", None),
        ("/v2/drop", None),
        ("//v1/drop", None),
        ("/v1/drop/1.2.3.4/32/x", None),
        ("/v1/drop//", None),
    ] {
        assert_eq!(pattern(path), expected, "{path}");
    }
}

#[test]
fn every_pattern_finds_itself_and_is_well_formed() {
    for path in routes::paths() {
        assert_eq!(pattern(path.pattern), Some(path.pattern));
        let parts: Vec<Part> = split(path.pattern).map(Part::of).collect();
        for part in parts {
            assert!(
                !matches!(part, Part::Word(w) if w.contains(['{', '}'])),
                "{part:?} in {}",
                path.pattern
            );
        }
    }
}

#[test]
fn params_are_read_and_masked() {
    let found = find("/v1/ignore/2001%3Adb8::1/32").unwrap();
    let params = found.params().unwrap();
    assert_eq!(params.cidr, Some("2001:db8::/32".parse().unwrap()));
    for (path, status) in [
        ("/v1/DROP", 400),
        ("/v1/drop/1.2.3/24", 400),
        ("/v1/drop/1.2.3.4/33", 400),
        ("/v1/drop/1.2.3.4/x", 400),
        ("/v1/drop/1.2.3.4/+8", 400),
        ("/v1/drop/1.2.3.4/-1", 400),
        ("/v1/drop/::1/129", 400),
        ("/v1/lookup/1.2.3.4%2F8", 400),
        ("/v1/sets/drop/a.b", 404),
        ("/v1/client/%2e%2e", 404),
        ("/v1/notifiers/.a", 404),
    ] {
        let fault = find(path).unwrap().params().unwrap_err();
        assert_eq!(fault.status.as_u16(), status, "{path}");
    }
}
