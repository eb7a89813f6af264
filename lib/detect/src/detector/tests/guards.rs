//! Who is not banned.

use super::*;
use crate::{Answer, Ask, GuardConfig, LoginConfig, Why};

#[test]
fn ignored_addresses_are_never_banned_not_even_with_their_prefix() {
    let mut config = config(vec![scan()]);
    config.ignore = nets(&["192.0.2.0/28", "2001:db8::1/128"]);
    let mut d = detector(&config);
    assert_eq!(d.scans("192.0.2.7", NOW), []);
    assert_eq!(d.scans("2001:db8::2", NOW), []);
    assert_eq!(
        (d.scans("0.0.0.0", NOW), d.scans("::1", NOW)),
        (vec![], vec![])
    );
    assert_eq!(d.counters().ignored, 4);
    d.set_ignored(nets(&["198.51.100.7/32"]));
    assert_eq!(d.scans("198.51.100.7", NOW), []);
    assert_eq!(d.scans("192.0.2.8", NOW), []);
    d.set_ignored(nets(&[]));
    assert_eq!(ban(&d.scans("198.51.100.7", NOW)).2, 1);
}

#[test]
fn a_trusted_proxy_is_never_banned() {
    let mut d = detector(&config(vec![scan()]));
    let web = d.source("web").unwrap();
    let client = Some(Client::Proxy(addr("192.0.2.7")));
    for _ in 0..100 {
        assert_eq!(d.observe(web, &request(404, "/"), client, b"", NOW), []);
    }
    assert_eq!(d.counters().of_proxies, 100);
}

fn widening() -> DetectConfig {
    let mut config = config(vec![scan(), login()]);
    config.widen = Some(WidenConfig::default());
    let login = LoginConfig {
        sources: vec!["web".into()],
        path: vec!["/account".into()],
        ..LoginConfig::default()
    };
    config.logins = vec![login];
    config
}

fn bans_of(d: &mut Detector, hosts: std::ops::Range<u32>) -> Vec<String> {
    let decisions = hosts.flat_map(|host| d.scans(&format!("192.0.2.{host}"), NOW));
    decisions
        .map(|decision| match decision {
            Decision::Ban(ban) => format!("{} {}", ban.cidr, ban.neighbours),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn bad_neighbours_are_banned_as_a_whole() {
    let mut d = detector(&widening());
    let told = bans_of(&mut d, 1..9);
    assert_eq!(told.len(), 9);
    assert_eq!(told[7..], ["192.0.2.8/32 0", "192.0.2.0/24 8"]);
    assert_eq!(
        bans_of(&mut d, 9..20),
        Vec::<String>::new(),
        "they are banned already"
    );
    assert_eq!(d.counters().widened, 1);
    let later = NOW + 11 * MINUTE;
    assert_eq!(ban(&d.scans("192.0.2.99", later)).0, "192.0.2.99/32");
}

#[test]
fn a_login_or_an_ignored_neighbour_prevents_widening() {
    let mut d = detector(&widening());
    d.event("192.0.2.200", &request(200, "/account"), NOW);
    assert_eq!(bans_of(&mut d, 1..20).len(), 19);
    let mut d = detector(&widening());
    let accepted = Event {
        login: Some(Login::Accepted),
        ..Event::default()
    };
    d.event("192.0.2.200", &accepted, NOW);
    assert_eq!(bans_of(&mut d, 1..20).len(), 19);
    let mut d = detector(&widening());
    d.set_ignored(nets(&["192.0.2.200/32"]));
    assert_eq!(bans_of(&mut d, 1..20).len(), 19);
    assert_eq!(d.counters().widen_refused, 12);
}

#[test]
fn too_many_bans_are_held_back_unless_there_is_a_siege() {
    let mut config = config(vec![scan()]);
    config.guard = GuardConfig {
        bans_per_minute: 10,
        ..GuardConfig::default()
    };
    let mut d = detector(&config);
    let told = |d: &mut Detector, n: u32| d.scans(&format!("10.0.{n}.1"), NOW).remove(0);
    assert!((0..10).all(|n| matches!(told(&mut d, n), Decision::Ban(_))));
    assert!(matches!(told(&mut d, 10), Decision::Held(ban, Why::Rate(10)) if ban.level == 1));
    assert_eq!((d.counters().held, d.jails()[0].held), (1, 1));
    d.set_siege(true);
    assert!(matches!(told(&mut d, 10), Decision::Ban(ban) if ban.level == 1));
}

#[test]
fn a_jail_that_would_ban_everybody_is_stopped() {
    let mut d = detector(&config(vec![scan()]));
    for n in 0..1_000 {
        d.status(&format!("10.1.{}.{}", n / 250, n % 250), 200, NOW);
    }
    let mut bans = 0;
    let mut held = 0;
    for n in 0..500 {
        match d.scans(&format!("10.1.{}.{}", n / 250, n % 250), NOW)[..] {
            [Decision::Ban(_)] => bans += 1,
            [Decision::Held(_, Why::Share(share))] if share > 0.2 => held += 1,
            ref other => panic!("{other:?}"),
        }
    }
    assert!((180..=220).contains(&bans) && bans + held == 500, "{bans}");
}

fn googlebot() -> Event<'static> {
    Event {
        agent: b"Googlebot/2.1"[..].into(),
        ..request(404, "/")
    }
}

fn ask(d: &mut Detector, from: &str, now: i64) -> Ask {
    let event = googlebot();
    let mut told: Vec<Decision> = (0..3).flat_map(|_| d.event(from, &event, now)).collect();
    match (told.pop(), told.len()) {
        (Some(Decision::Ask(ask)), 0) => ask,
        other => panic!("{other:?}"),
    }
}

#[test]
fn crawlers_are_asked_for_before_they_are_banned() {
    let mut d = detector(&config(vec![scan()]));
    let real = ask(&mut d, "2001:db8::1", NOW);
    assert_eq!(
        (real.addr, &*real.names[0]),
        (addr("2001:db8::1"), ".googlebot.com")
    );
    assert_eq!(d.scans("2001:db8::1", NOW), [], "the answer is awaited");
    assert_eq!(d.answer(real, Answer::Real, NOW), []);
    assert_eq!(d.scans("2001:db8::1", NOW + 23 * 60 * MINUTE), []);
    ask(&mut d, "2001:db8::1", NOW + 25 * 60 * MINUTE);
    let now = NOW + 25 * 60 * MINUTE;
    let fake = ask(&mut d, "192.0.2.7", now);
    assert_eq!(
        ban(&d.answer(fake, Answer::Fake, now)),
        ("192.0.2.7/32".into(), 10, 1)
    );
    let again = now + 11 * MINUTE;
    let unknown = ask(&mut d, "192.0.2.7", again);
    assert_eq!(unknown.ban.level, 2);
    assert_eq!(
        ban(&d.answer(unknown, Answer::Unknown, again)),
        ("192.0.2.7/32".into(), 10, 1)
    );
    let relapse = ask(&mut d, "192.0.2.7", again + 11 * MINUTE);
    assert_eq!(
        relapse.ban.level, 2,
        "a ban without an answer is not held against it"
    );
}

#[test]
fn an_answer_that_comes_late_is_judged_again() {
    let mut d = detector(&config(vec![scan()]));
    let late = ask(&mut d, "192.0.2.7", NOW);
    let twice = late.clone();
    d.set_ignored(nets(&["192.0.2.7/32"]));
    assert_eq!(d.answer(late.clone(), Answer::Fake, NOW), []);
    d.set_ignored(nets(&[]));
    assert_eq!(ban(&d.answer(late, Answer::Fake, NOW)).2, 1);
    assert_eq!(d.answer(twice, Answer::Fake, NOW), []);
    ask(&mut d, "192.0.2.8", NOW);
    ask(&mut d, "192.0.2.8", NOW + MINUTE);
}

#[test]
fn an_address_with_most_lines_is_told() {
    let mut d = detector(&config(vec![scan()]));
    for n in 0..12_288 {
        let from = if n % 5 < 3 {
            "10.0.0.1".to_owned()
        } else {
            format!("192.0.2.{}", n % 251)
        };
        d.status(&from, 200, NOW);
    }
    let counters = d.counters();
    let told = counters.dominant[0].to_string();
    assert!(
        told.contains("10.0.0.1, has 60 % of the lines of source web: a proxy?"),
        "{told}"
    );
    assert_eq!(d.top(1)[0].addr, addr("10.0.0.1"));
    assert!(
        (250..=255).contains(&counters.sources),
        "{}",
        counters.sources
    );
}
