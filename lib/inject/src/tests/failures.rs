//! Daemons that are away, fail, refuse or limit.

use std::{fs, time::Duration};

use couic_common::ErrorCode;
use couic_testkit::{LONG, Reply, until};

use super::{daemon::error, *};

const NEW_TOKEN: &str = "b09d58a9-aaf1-4911-a592-040ff5dc45ec";

#[test]
fn a_daemon_that_is_away_gets_everything_when_it_is_back() {
    let fake = Fake::new();
    fake.go();
    let injector = fake.start(Limits::default());
    for rule in many(2_000, later(0)) {
        injector.ban(rule);
    }
    let figures = await_figures(&injector, "failures are counted", |f| f.failures >= 2);
    assert_eq!((figures.pending, figures.batches), (2_000, 0));
    assert!(figures.oldest.is_some());
    let problem = figures.problem.unwrap();
    assert!(problem.contains("cannot reach couic at"), "{problem}");
    fake.come();
    let figures = await_sent(&injector);
    assert_eq!((figures.applied, figures.problem), (2_000, None));
    assert_eq!(fake.in_force().len(), 2_000);
    end(injector);
}

#[test]
fn a_batch_that_fails_as_a_whole_is_sent_again() {
    let fake = Fake::new();
    let injector = fake.start(Limits::default());
    let replies = [
        error(503, "internal", "no room"),
        error(500, "internal", "its log says why"),
        error(403, "forbidden", "policy drop is out of the scope"),
        error(422, "processing", "unexpected"),
        error(429, "rate_limited", "may add 1 rule a minute"),
        Reply::status(502),
        Reply::json(200, "{}"),
        // Counts of another batch.
        Reply::json(
            200,
            r#"{"added":2,"updated":0,"unchanged":0,"removed":0,"failed":0,"failures":[]}"#,
        ),
        Reply::Reset,
        Reply::Close,
        Reply::half_body(200),
    ];
    for (n, reply) in (1..).zip(replies) {
        fake.instead([reply]);
        let shown = format!("192.0.2.{n}/32");
        injector.ban(rule(&shown, "t", later(0)));
        let figures = await_figures(&injector, "it is sent", |f| f.applied == n);
        assert_eq!((figures.failures, figures.batches), (n, n));
        assert_eq!((figures.refused, figures.problem), (0, None));
        let job = vec![format!("+{shown}")];
        assert_eq!(
            fake.jobs().split_off(2 * (n as usize - 1)),
            [job.clone(), job]
        );
    }
    assert_eq!(fake.in_force().len(), 11);
    end(injector);
}

#[test]
fn the_pause_that_the_daemon_asks_for_is_kept() {
    let fake = Fake::new();
    fake.instead([error(503, "internal", "busy").with("retry-after", "1")]);
    let injector = fake.start(Limits::default());
    let start = std::time::Instant::now();
    injector.ban(rule("192.0.2.1/32", "t", later(0)));
    await_sent(&injector);
    assert!(start.elapsed() >= Duration::from_secs(1));
    end(injector);
}

#[test]
fn a_rotated_token_is_read_without_a_restart() {
    let fake = Fake::new();
    let injector = fake.start(Limits::default());
    injector.ban(rule("192.0.2.1/32", "t", later(0)));
    await_sent(&injector);
    fake.world.lock().token = NEW_TOKEN.to_owned();
    injector.ban(rule("192.0.2.2/32", "t", later(0)));
    let figures = await_figures(&injector, "the token is refused", |f| f.failures >= 1);
    let problem = figures.problem.unwrap();
    assert!(problem.contains("is the same"), "{problem}");
    assert!(!problem.contains("b09d58a9"), "{problem}");
    assert_eq!(figures.token_problem, Some(problem));
    fs::write(fake.path("token"), NEW_TOKEN).unwrap();
    let figures = await_sent(&injector);
    assert_eq!((figures.problem, figures.token_problem), (None, None));
    // Rotated with the file first: nobody notices.
    let failures = figures.failures;
    fs::write(fake.path("token"), TOKEN).unwrap();
    fake.world.lock().token = TOKEN.to_owned();
    injector.ban(rule("192.0.2.3/32", "t", later(0)));
    assert_eq!(await_sent(&injector).failures, failures);
    assert_eq!(fake.in_force().len(), 3);
    end(injector);
}

#[test]
fn what_the_daemon_refuses_is_counted_and_not_sent_again() {
    let fake = Fake::new();
    fake.world.lock().judge = Box::new(|job| {
        let refused = job.entry.cidr == "192.0.2.2/32";
        refused.then(|| (ErrorCode::Processing, "the guard rail host".to_owned()))
    });
    let injector = fake.start(Limits::default());
    for n in 1..=3 {
        injector.ban(rule(&format!("192.0.2.{n}/32"), "t", later(0)));
    }
    let figures = await_sent(&injector);
    assert_eq!((figures.applied, figures.refused), (2, 1));
    let refusal = figures.refusal.unwrap();
    assert_eq!(refusal, "192.0.2.2/32: the guard rail host");
    assert_eq!(figures.problem, None);
    assert_eq!(fake.jobs().concat().len(), 3);
    end(injector);
}

#[test]
fn a_removal_before_a_refused_ban_is_carried_out() {
    let fake = Fake::new();
    let injector = fake.start(Limits::default());
    injector.ban(rule("192.0.2.1/32", "t", later(0)));
    await_sent(&injector);
    fake.shut_gate();
    injector.ban(rule("192.0.2.2/32", "t", later(0)));
    fake.await_batches(2);
    fake.world.lock().judge = Box::new(|job| {
        let is_add = job.entry.ttl.is_some();
        is_add.then(|| (ErrorCode::Processing, "refused".to_owned()))
    });
    injector.remove("192.0.2.1/32".parse().unwrap(), "t");
    injector.ban(rule("192.0.2.1/32", "t", later(0)));
    fake.open_gate();
    await_sent(&injector);
    assert!(fake.in_force().is_empty(), "{:?}", fake.jobs());
    assert_eq!(fake.jobs()[2..], [["+192.0.2.1/32"], ["-192.0.2.1/32"]]);
    end(injector);
}

#[test]
fn more_failures_than_an_answer_lists_are_found_out_in_turn() {
    let fake = Fake::new();
    fake.world.lock().judge = Box::new(|job| {
        let refused = !job.entry.cidr.ends_with("0/32");
        refused.then(|| (ErrorCode::Invalid, "an odd one".to_owned()))
    });
    let injector = fake.start(Limits::default());
    for rule in many(5_000, later(0)) {
        injector.ban(rule);
    }
    let refused = |f: &Figures| f.refused;
    let figures = await_sent(&injector);
    let taken = fake.in_force().len() as u64;
    assert_eq!(refused(&figures) + taken, 5_000);
    assert!(taken >= 400, "{taken}");
    end(injector);
}

#[test]
fn adds_beyond_the_pace_of_the_token_wait() {
    let fake = Fake::new();
    let mut left = 1_500;
    fake.world.lock().judge = Box::new(move |_| {
        left -= 1;
        (left < 0).then(|| {
            let message = "the client x may add 1500 rules a minute".to_owned();
            (ErrorCode::RateLimited, message)
        })
    });
    let injector = fake.start(Limits::default());
    for rule in many(3_000, later(0)) {
        injector.ban(rule);
    }
    let figures = await_figures(&injector, "rules wait", |f| f.postponed > 0);
    assert_eq!(figures.refused, 0);
    assert!(figures.problem.unwrap().contains("1500 rules a minute"));
    until("1,500 are in force", LONG, || {
        (fake.in_force().len() == 1_500).then_some(())
    });
    fake.world.lock().judge = Box::new(|_| None);
    let figures = await_sent(&injector);
    assert_eq!((figures.refused, figures.problem), (0, None));
    assert_eq!(fake.in_force().len(), 3_000);
    let batches = fake.jobs();
    let behind = batches.iter().skip_while(|batch| batch.len() > 1_024);
    assert!(
        behind.count() >= 2,
        "small batches while the pace is limited"
    );
    end(injector);
}
