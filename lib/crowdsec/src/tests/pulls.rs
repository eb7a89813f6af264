//! Single pulls: what is asked, and what is made of answers of any kind.

use std::fs;

use couic_testkit::Reply;
use tokio::runtime::Builder;

use super::lapi::Lapi as Fake;
use crate::{Config, answer::Pulled, decision::Skip, lapi::Lapi, names::Names};

fn pull(config: &Config, full: bool) -> Result<Pulled, String> {
    let lapi = Lapi::new(config).map_err(|error| error.to_string())?;
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let pulled = runtime.block_on(lapi.pull(full, config, &mut Names::default()));
    pulled.map_err(|error| error.to_string())
}

#[test]
fn it_asks_for_every_decision_and_says_who_it_is() {
    let fake = Fake::new();
    let mut config = fake.config();
    pull(&config, true).unwrap();
    let request = fake.stand_in.next(couic_testkit::LONG);
    assert_eq!(
        request.line(),
        "GET /v1/decisions/stream?dedup=false&startup=true"
    );
    assert_eq!(request.header("x-api-key"), Some("secret"));
    assert!(
        request
            .header("user-agent")
            .unwrap()
            .starts_with("couic-bouncer/")
    );
    config.url = fake.stand_in.url("/lapi/");
    config.origins = vec!["cscli".to_owned(), "lists:a".to_owned()];
    config.scenarios = vec!["ssh".to_owned(), "http".to_owned()];
    pull(&config, false).unwrap();
    let request = fake.stand_in.next(couic_testkit::LONG);
    assert_eq!(
        request.line(),
        "GET /lapi/v1/decisions/stream?dedup=false&origins=cscli%2Clists%3Aa%2Clists&scenarios_containing=ssh%2Chttp&startup=false"
    );
}

#[test]
fn what_was_measured_of_the_real_one_is_read() {
    let fake = Fake::new();
    fake.instead(Reply::text(200, "text/plain", r#"{"deleted":[{"duration":"-10.050972ms","id":1,"origin":"cscli","scenario":"manual 'ban' from 'm1'","scope":"Ip","type":"ban","value":"1.2.3.4"},
        {"duration":"-1s","id":5,"origin":"cscli","scenario":"x","scope":"Ip","type":"captcha","value":"1.2.3.4"}],
        "new":[{"duration":"3h59m55.793781468s","id":5,"origin":"cscli","scenario":"manual","scope":"Ip","type":"captcha","value":"5.5.5.5"},
        {"duration":"3h59m55s","id":6,"origin":"cscli","scenario":"manual","scope":"AS","type":"ban","value":"64500"},
        {"duration":"3h59m58.8s","id":13,"origin":"cscli","scenario":"manual","scope":"Range","type":"ban","value":"7.7.7.7/24","until":"later versions","uuid":null},
        {"id":14,"scope":"Ip","type":"ban","value":null,"duration":"1h"},
        {"id":15,"scope":"Ip","type":"ban","value":"no address","duration":"1h","origin":"\u00e9\"\\"}]}"#));
    let pulled = pull(&fake.config(), false).unwrap();
    let new: Vec<String> = pulled
        .told
        .new
        .iter()
        .map(|ban| ban.id.cidr.to_string())
        .collect();
    assert_eq!(new, ["7.7.7.0/24"]);
    assert_eq!(pulled.told.deleted.len(), 1);
    let skipped: Vec<(Skip, u64)> = pulled.skipped.into_iter().collect();
    assert_eq!(
        skipped,
        [(Skip::Type, 1), (Skip::Scope, 1), (Skip::Malformed, 2)]
    );
    assert!(pulled.examples[&Skip::Malformed].contains("\"id\":14"));
}

#[test]
fn answers_of_any_other_kind_are_errors_that_say_what_to_do() {
    let fake = Fake::new();
    for (reply, expected) in [
        (Reply::status(504), "status 504"),
        (
            Reply::text(500, "text/plain", "database\u{1b} is locked"),
            "500: database  is locked",
        ),
        (Reply::status(204), "status 204"),
        (
            Reply::status(302).with("location", "http://127.0.0.1:1/"),
            "status 302",
        ),
        (
            Reply::text(200, "text/html", "<html>hello</html>"),
            "not JSON",
        ),
        (
            Reply::json(
                200,
                r#"{"new":[{"id":1,"scope":"Ip","type":"ban","value":"1.2.3.4","duration":"1h"}],"deleted":[{"i"#,
            ),
            "not JSON",
        ),
        (
            Reply::json(200, r#"{"new":[{"id":1,"scope":"Ip","type":}]}"#),
            "not JSON",
        ),
        (Reply::json(200, "{}"), "not a list of decisions"),
        (Reply::json(200, ""), "not JSON"),
        (Reply::half_body(200), "cannot be asked"),
        (Reply::Reset, "cannot be asked"),
        (Reply::Close, "cannot be asked"),
        // A frame of that size is none.
        (Reply::Gigabyte(200), "cannot be used"),
    ] {
        fake.instead(reply.clone());
        let error = pull(&fake.config(), true).unwrap_err();
        assert!(
            error.contains(expected) && error.contains("http://127.0.0.1"),
            "{reply:?}: {error}"
        );
        assert!(
            !error.contains('\u{1b}') && !error.contains("secret"),
            "{error}"
        );
    }
    fake.world.lock().key = "another".to_owned();
    let error = pull(&fake.config(), true).unwrap_err();
    assert!(
        error.contains("refuses the key") && error.contains("cscli bouncers"),
        "{error}"
    );
}

#[test]
fn an_answer_is_bounded_in_number_and_in_bytes() {
    let fake = Fake::new();
    for n in 0..10 {
        fake.add("cscli", &format!("192.0.2.{n}"));
    }
    let config = Config {
        most: 7,
        ..fake.config()
    };
    let told = pull(&config, true).unwrap().told;
    assert_eq!((told.new.len(), told.cut), (7, true));
    let item = r#"{"id":1,"scope":"Ip","type":"ban","value":"1.2.3.4","duration":"1h"}"#;
    let long = format!(r#"{{"new":[{}]}}"#, vec![item; 300_000].join(","));
    fake.instead(Reply::json(200, long));
    let error = pull(&config, true).unwrap_err();
    assert!(error.contains("more than 16 MiB"), "{error}");
}

#[test]
fn keys_and_certificates_that_cannot_be_read_are_named_and_not_quoted() {
    let fake = Fake::new();
    let dir = fake.stand_in.dir.path();
    let mut config = fake.config();
    for bad in ["", "\n", "two words secret", "secret\nsecret", "sécret"] {
        fs::write(dir.join("key"), bad).unwrap();
        let error = pull(&config, true).unwrap_err();
        assert!(
            error.contains("key holds no key") && !error.contains("secret"),
            "{error}"
        );
    }
    config.key_file = Some(dir.join("none"));
    assert!(pull(&config, true).unwrap_err().contains("cannot be read"));
    config.key_file = None;
    config.url = "https://127.0.0.1:1/".to_owned();
    config.certificate = Some(dir.join("key"));
    config.private_key = Some(dir.join("key"));
    let error = pull(&config, true).unwrap_err();
    assert!(
        error.contains("PEM") && !error.contains("cret\n"),
        "{error}"
    );
}
