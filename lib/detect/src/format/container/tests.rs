use super::*;
use crate::Format;

const LINE: &str =
    r#"192.0.2.7 - - [01/Dec/2026:06:25:01 +0000] "GET /a HTTP/1.1" 404 0 "-" "agent""#;
/// The end of a long line as its client wants it.
const FORGED: &str =
    r#"6.6.6.6 - - [01/Dec/2026:06:25:01 +0000] "GET /login HTTP/1.1" 401 0 "-" "agent""#;

fn docker_line(text: &str, end: &str, stream: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    format!(r#"{{"log":"{text}{end}","stream":"{stream}","time":"2026-12-01T06:25:02.5Z"}}"#)
}

fn cri_line(text: &str, end: &str, stream: &str) -> String {
    let tag = if end.is_empty() { "P" } else { "F" };
    format!("2026-12-01T06:25:02.500000001Z {stream} {tag} {text}")
}

type Writer = fn(&str, &str, &str) -> String;
const BOTH: [(Container, Writer); 2] =
    [(Container::Docker, docker_line), (Container::Cri, cri_line)];

#[test]
fn whole_lines_and_parts_are_read_per_stream() {
    for (container, line) in BOTH {
        let mut format = Format::named("combined").unwrap().within(container);
        let mut parse = |line: String| format.parse(line.as_bytes()).map(|event| event.peer);
        let peer = Ok("192.0.2.7".parse().ok());
        assert_eq!(parse(line(LINE, "\\n", "stdout")), peer);
        let (first, second) = LINE.split_at(70);
        assert_eq!(parse(line(first, "", "stdout")), Err(Unparsed::Partial));
        assert_eq!(
            parse(line("6.6.6.6 - - x", "\\n", "stderr")),
            Err(Unparsed::Malformed)
        );
        assert_eq!(parse(line(second, "\\n", "stdout")), peer);
        assert_eq!(parse(line(LINE, "\\n", "stderr")), peer);
    }
}

#[test]
fn the_time_of_the_container_counts_where_the_line_has_none() {
    for (container, line) in BOTH {
        let mut format = Format::named("plain").unwrap().within(container);
        let line = line("a \"b\"", "\\n", "stdout");
        let event = format.parse(line.as_bytes()).unwrap();
        assert_eq!(event.time_ms, Some(1_796_106_302_500));
        assert_eq!(&*event.message, b"a \"b\"");
    }
}

#[test]
fn the_end_of_a_line_that_is_too_long_is_never_a_line() {
    for (container, line) in BOTH {
        let mut format = Format::named("combined").unwrap().within(container);
        let mut parse = |line: String| format.parse(line.as_bytes()).map(|event| event.peer);
        let long = "x".repeat(LONGEST / 2 + 1);
        assert_eq!(parse(line(&long, "", "stdout")), Err(Unparsed::Partial));
        assert_eq!(parse(line(&long, "", "stdout")), Err(Unparsed::Partial));
        assert_eq!(
            parse(line(FORGED, "\\n", "stdout")),
            Err(Unparsed::Malformed)
        );
        assert_eq!(
            parse(line(LINE, "\\n", "stdout")),
            Ok("192.0.2.7".parse().ok())
        );
        assert_eq!(
            parse(line(&"x".repeat(LONGEST + 1), "\\n", "stdout")),
            Err(Unparsed::Malformed)
        );
        assert_eq!(
            parse(line(LINE, "\\n", "stdout")),
            Ok("192.0.2.7".parse().ok())
        );
    }
}

#[test]
fn parts_of_a_line_that_is_escaped_are_joined_and_their_memory_is_given_back() {
    let path = r"\xFF".repeat(16_000);
    let long = LINE.replace("/a", &format!("/{path}"));
    for (container, line) in BOTH {
        let mut format = Format::named("combined").unwrap().within(container);
        for part in long.as_bytes()[..long.len() - 9].chunks(16_384) {
            let part = line(std::str::from_utf8(part).unwrap(), "", "stdout");
            assert_eq!(format.parse(part.as_bytes()), Err(Unparsed::Partial));
        }
        let end = line(&long[long.len() - 9..], "\\n", "stdout");
        let event = format.parse(end.as_bytes()).unwrap();
        assert_eq!((event.path.len(), event.status), (16_001, 404));
        format
            .parse(line(LINE, "\\n", "stdout").as_bytes())
            .unwrap();
        let parts = &format.container.as_ref().unwrap().streams[0];
        assert!(parts.text.capacity() <= USUAL);
    }
}

#[test]
fn the_head_of_a_long_record_is_read_where_it_begins_a_line() {
    let long = LINE.replace("agent", &"x".repeat(9000));
    for (container, line) in BOTH {
        let mut format = Format::named("combined").unwrap().within(container);
        let head = |text: &str, end| line(text, end, "stdout").as_bytes()[..8000].to_vec();
        for _ in 0..3 {
            let long = head(&long, "\\n");
            let event = format.parse_head(&long).unwrap();
            assert_eq!((event.peer, event.status), ("192.0.2.7".parse().ok(), 404));
            // Whether the line went on, Docker says behind the head.
            let rest = line(FORGED, "\\n", "stdout");
            if container == Container::Docker {
                assert_eq!(format.parse(rest.as_bytes()), Err(Unparsed::Partial));
            }
            let good = line(LINE, "\\n", "stdout");
            assert!(format.parse(good.as_bytes()).is_ok());
        }
        assert_eq!(
            format.parse(line("part", "", "stdout").as_bytes()),
            Err(Unparsed::Partial)
        );
        let forged = FORGED.replace("agent", &"x".repeat(9000));
        assert_eq!(
            format.parse_head(&head(&forged, "")),
            Err(Unparsed::Malformed)
        );
        assert_eq!(
            format.parse_head(&head(&forged, "\\n")),
            Err(Unparsed::Malformed)
        );
        format.lost();
        assert_eq!(
            format.parse_head(&head(&forged, "\\n")),
            Err(Unparsed::Malformed)
        );
    }
}

#[test]
fn after_a_loss_reading_begins_with_the_next_line() {
    for (container, line) in BOTH {
        let mut format = Format::named("combined").unwrap().within(container);
        format.lost();
        let forged = line(FORGED, "\\n", "stdout");
        assert_eq!(format.parse(forged.as_bytes()), Err(Unparsed::Partial));
        let good = line(LINE, "\\n", "stdout");
        assert_eq!(
            format.parse(good.as_bytes()).unwrap().peer,
            "192.0.2.7".parse().ok()
        );
        let mut format = Format::named("combined").unwrap();
        format.lost();
        assert!(
            format.parse(LINE.as_bytes()).is_ok(),
            "without container a line is a line"
        );
    }
}

#[test]
fn the_first_line_is_judged_only_if_what_stands_before_it_ends_a_line() {
    for (container, line) in BOTH {
        let parse = |before: &[String], next: &str| {
            let mut format = Format::named("combined").unwrap().within(container);
            format.follow(before.join("\n").as_bytes());
            let event = format.parse(next.as_bytes());
            event.map(|event| event.peer.map(|peer| peer.to_string()))
        };
        let good = line(LINE, "\\n", "stdout");
        let judged = Ok(Some("192.0.2.7".to_owned()));
        assert_eq!(parse(&[], &good), judged, "the very beginning");
        assert_eq!(parse(std::slice::from_ref(&good), &good), judged);
        let (head, rest) = LINE.split_at(70);
        let head = line(head, "", "stdout");
        let rest = line(rest, "\\n", "stdout");
        assert_eq!(parse(&[good.clone(), head.clone()], &rest), judged, "whole");
        let forged = line(FORGED, "\\n", "stdout");
        let other = line("x", "\\n", "stderr");
        for before in [
            vec![line("x", "", "stdout")],
            vec![line("x", "", "stdout"), other.clone()],
            vec![other],
            vec!["junk".to_owned()],
            vec![line(&"x".repeat(8_200), "", "stdout")],
        ] {
            assert_eq!(
                parse(&before, &forged),
                Err(Unparsed::Partial),
                "{before:?}"
            );
        }
        let long = vec![good, line(&"x".repeat(8_200), "", "stdout")];
        assert!(parse(&long, &forged).is_err());
    }
}

#[test]
fn what_no_runtime_writes_is_malformed() {
    let mut docker = Format::named("plain").unwrap().within(Container::Docker);
    for line in [
        "",
        "{}",
        r#"{"stream":"stdout"}"#,
        r#"{"log":1}"#,
        r#"{"log":"a\n"} x"#,
        LINE,
    ] {
        assert_eq!(
            docker.parse(line.as_bytes()),
            Err(Unparsed::Malformed),
            "{line}"
        );
    }
    assert_eq!(
        docker.parse(br#"{"log":"a\n","log":"b\n"}"#),
        Err(Unparsed::Ambiguous)
    );
    let mut after_junk = Format::named("plain").unwrap().within(Container::Docker);
    assert!(after_junk.parse(b"{\"log\":\"cut").is_err());
    assert!(
        after_junk
            .parse(br#"{"log":"perhaps the rest of it\n"}"#)
            .is_err()
    );
    assert!(after_junk.parse(br#"{"log":"a\n"}"#).is_ok());
    let cri = Format::named("plain").unwrap().within(Container::Cri);
    for line in [
        "",
        "2026-12-01T06:25:02Z",
        "2026-12-01T06:25:02Z stdout X a",
        "now stdout F a",
        "2026-12-01T06:25:02Z log F a",
    ] {
        assert_eq!(
            cri.clone().parse(line.as_bytes()),
            Err(Unparsed::Malformed),
            "{line}"
        );
    }
    assert_eq!(
        &*cri
            .clone()
            .parse(b"2026-12-01T06:25:02Z stdout F:x a b")
            .unwrap()
            .message,
        b"a b"
    );
}
