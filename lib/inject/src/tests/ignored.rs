//! The copy of the ignore list.

use std::{collections::BTreeMap, sync::Arc};

use couic_testkit::{LONG, Reply, until};

use super::{daemon::error, *};
use crate::{Ignored, daemon::Daemon, ignored::read};

const LIST: &str = r#"{"creation":1,"cidr":"10.0.0.0/8","tag":"office","expiration":0,"owners":[{"kind":"client","name":"couicctl","tag":"office","expiration":0}]}
{"creation":1,"cidr":"192.0.2.0/24","tag":"cdn.couic","expiration":0,"owners":[{"kind":"set","name":"cdn","tag":"cdn.couic","expiration":0},{"kind":"set","name":"bots","tag":"bots.couic","expiration":0}]}
{"creation":1,"cidr":"2001:db8::/32","tag":"cdn.couic","expiration":0}
"#;

#[test]
fn the_list_and_its_sets_are_known_soon() {
    let fake = Fake::new();
    fake.world.lock().ignore = Reply::text(200, "application/x-ndjson", LIST);
    let injector = Injector::start(fake.config(), Limits::default()).unwrap();
    let (found, _) = until("the list is read", LONG, || injector.ignored());
    let net = |text: &str| text.parse().unwrap();
    let cdn = vec![net("192.0.2.0/24"), net("2001:db8::/32")];
    let sets = BTreeMap::from([
        ("bots".to_owned(), vec![net("192.0.2.0/24")]),
        ("cdn".to_owned(), cdn),
    ]);
    let nets = vec![net("10.0.0.0/8"), net("192.0.2.0/24"), net("2001:db8::/32")];
    let expected = Ignored {
        nets,
        sets,
        cut: false,
    };
    assert_eq!(*found, expected);
    assert!(Arc::ptr_eq(&found, &injector.ignored().unwrap()));
    end(injector);
}

#[test]
fn without_the_right_to_read_it_it_is_unknown_and_bans_are_sent() {
    let fake = Fake::new();
    fake.world.lock().ignore = error(403, "forbidden", "policy ignore is out of the scope");
    let injector = Injector::start(fake.config(), Limits::default()).unwrap();
    injector.ban(rule("192.0.2.1/32", "t", later(0)));
    let figures = await_figures(&injector, "the reason is known", |f| {
        f.pending == 0 && f.ignored_problem.is_some()
    });
    let why = figures.ignored_problem.unwrap();
    assert!(why.contains("the right to read policy ignore"), "{why}");
    assert_eq!((figures.problem, figures.failures), (None, 0));
    assert!(injector.ignored().is_none());
    end(injector);
}

#[test]
fn a_list_that_breaks_off_is_not_taken_and_read_again() {
    let fake = Fake::new();
    fake.world.lock().ignore = Reply::half_body(200);
    let injector = Injector::start(fake.config(), Limits::default()).unwrap();
    await_figures(&injector, "a failure", |f| f.ignored_problem.is_some());
    assert!(injector.ignored().is_none());
    fake.world.lock().ignore = Reply::text(200, "application/x-ndjson", LIST);
    until("the list is read", LONG, || injector.ignored());
    assert_eq!(injector.figures().ignored_problem, None);
    end(injector);
}

#[test]
fn a_list_beyond_the_bound_is_cut_and_says_so() {
    let fake = Fake::new();
    fake.world.lock().ignore = Reply::text(200, "application/x-ndjson", LIST);
    let (client, _) = Daemon::new(fake.config()).unwrap().client();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    for (most, len, cut) in [(2, 2, true), (3, 3, false)] {
        let found = runtime.block_on(read(&client, most)).unwrap();
        assert_eq!((found.nets.len(), found.cut), (len, cut));
    }
}
