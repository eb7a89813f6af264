//! For callers with a list of their own: what the daemon holds, and what it refused.

use couic_common::{ErrorCode, unix_seconds};
use couic_testkit::Reply;
use tokio::runtime::Builder;

use super::*;
use crate::{Claim, Injector};

fn read(injector: &Injector, most: usize) -> (Result<bool, couic_client::ClientError>, Vec<Claim>) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut claims = Vec::new();
    let read = runtime.block_on(injector.claims("cs-*", most, |claim| claims.push(claim)));
    (read, claims)
}

#[test]
fn claims_of_clients_with_the_tag_are_read_and_bounded() {
    let fake = Fake::new();
    let owner = |kind: &str, tag: &str, end: u64| json!({"kind": kind, "name": "x", "tag": tag, "expiration": end});
    let end = unix_seconds() + 500;
    let lines = [
        json!({"creation": 1, "cidr": "192.0.2.1/32", "tag": "sshd", "expiration": 0, "owners":
            [owner("client", "sshd", 0), owner("client", "cs-a", end), owner("client", "cs-b", 0), owner("peer", "cs-a", 0)]}),
        json!({"creation": 1, "cidr": "192.0.2.2/32", "tag": "cs-a", "expiration": end, "owners": [owner("client", "cs-a", end)]}),
    ];
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fake.world.lock().drop = Reply::text(200, "application/x-ndjson", body);
    let injector = fake.start(Limits::default());
    let (read_all, claims) = read(&injector, 100);
    assert!(!read_all.unwrap());
    let shown: Vec<(String, &str)> = claims
        .iter()
        .map(|claim| (claim.cidr.to_string(), &*claim.tag))
        .collect();
    let one = "192.0.2.1/32".to_owned();
    let two = "192.0.2.2/32".to_owned();
    assert_eq!(shown, [(one.clone(), "cs-a"), (one, "cs-b"), (two, "cs-a")]);
    assert!(claims[0].until.abs_diff(end) <= 2 && claims[1].until == 0);
    let (cut, claims) = read(&injector, 2);
    assert_eq!((cut.unwrap(), claims.len()), (true, 2));
    // A rotated token is taken.
    fake.world.lock().token = "b09d58a9-aaf1-4911-a592-040ff5dc45ec".to_owned();
    assert_eq!(read(&injector, 2).0.unwrap_err().status(), Some(401));
    std::fs::write(fake.path("token"), "b09d58a9-aaf1-4911-a592-040ff5dc45ec").unwrap();
    assert!(read(&injector, 100).0.is_ok());
    super::end(injector);
}

#[test]
fn refusals_are_kept_for_a_caller_that_asks() {
    let fake = Fake::new();
    fake.world.lock().judge = Box::new(|job| {
        let refused = job.entry.cidr.starts_with("192.0.2.");
        refused.then(|| (ErrorCode::Forbidden, "wider than /24".to_owned()))
    });
    let injector = fake.start(Limits::default());
    injector.ban(rule("192.0.2.1/32", "t", later(0)));
    await_sent(&injector);
    assert!(
        injector.take_refusals().is_empty(),
        "nothing has asked before"
    );
    injector.ban(rule("192.0.2.2/32", "t", later(0)));
    injector.ban(rule("198.51.100.1/32", "t", later(0)));
    injector.remove("192.0.2.3/32".parse().unwrap(), "t");
    await_sent(&injector);
    let refusals = injector.take_refusals();
    let [only] = &refusals[..] else {
        panic!("{refusals:?}");
    };
    assert_eq!(
        (only.cidr.to_string().as_str(), &*only.tag),
        ("192.0.2.2/32", "t")
    );
    assert_eq!((only.code, only.rail), (ErrorCode::Forbidden, None));
    assert_eq!(only.message, "wider than /24");
    assert!(injector.take_refusals().is_empty());
    end(injector);
}
