//! `?apply=true`: one set's file and rules change together, or neither does.

use std::fs;

use couic_firewall::dataplane::Limits;
use serde_json::json;

use super::lists::{file, put};
use crate::support::{HOST, TestApi, start, start_with};

const PATH: &str = "/v1/sets/drop/s?apply=true";

fn rules(test: &TestApi) -> Vec<String> {
    let rules = test.plane.rules().into_iter();
    let mut rules: Vec<String> = rules.map(|(key, _)| key.to_string()).collect();
    rules.sort();
    rules
}

/// What is in the folder of the policy.
fn files(test: &TestApi) -> Vec<String> {
    let names = fs::read_dir(test.dir.path().join("sets/drop")).unwrap();
    let mut names: Vec<String> = names
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn file_and_rules_change_together_and_a_bad_file_of_another_set_does_no_harm() {
    let test = start();
    fs::write(test.dir.path().join("sets/drop/bad.couic"), "nonsense\n").unwrap();
    test.add("drop", "192.0.2.8/32", Some("mine")).await;
    let reply = put(&test, PATH, "192.0.2.7\n192.0.2.8\n").await.is(201);
    assert_eq!(
        reply.json(),
        json!({"name": "s", "entry_count": 2, "file_size": 26, "applied": true, "added": 2, "removed": 0,
            "refused_count": 0})
    );
    let entry = test.get("/v1/drop/192.0.2.8/32").await.is(200).json();
    assert_eq!(entry["tag"], "s.couic");
    let reply = put(&test, PATH, "192.0.2.9\n192.0.2.7\n")
        .await
        .is(200)
        .json();
    assert_eq!((&reply["added"], &reply["removed"]), (&json!(1), &json!(1)));
    let entry = test.get("/v1/drop/192.0.2.8/32").await.is(200).json();
    assert_eq!(entry["tag"], "mine");
    let reply = test.delete(PATH).await.is(200).json();
    assert_eq!(reply, json!({"deleted": true, "reload_required": false}));
    assert_eq!(rules(&test), ["drop 192.0.2.8/32"]);
    test.delete(PATH).await.error(404, "not_found");
    assert_eq!(files(&test), ["bad.couic"], "nothing is left behind");
}

#[tokio::test]
async fn json_is_applied_as_well() {
    let test = start();
    let body = json!({"name": "s", "entries": ["192.0.2.7/32"]});
    let reply = test.post("/v1/sets/drop?apply=true", &body).await.is(201);
    assert_eq!(reply.json()["added"], 1);
    test.post("/v1/sets/drop?apply=true", &body)
        .await
        .error(409, "conflict");
    let body = json!({"entries": ["192.0.2.8/32"]});
    let reply = test.put(PATH, &body).await.is(200).json();
    assert_eq!(reply["removed"], 1);
    test.put("/v1/sets/drop/t?apply=true", &body)
        .await
        .error(404, "not_found");
    assert_eq!(rules(&test), ["drop 192.0.2.8/32"]);
}

#[tokio::test]
async fn a_set_that_has_no_room_leaves_file_and_rules_as_they_were() {
    let limits = Limits {
        drop_entries: 3,
        ignore_entries: 3,
    };
    let test = start_with(limits, false);
    let by_hand = "# by hand\n192.0.2.1\n";
    fs::write(test.dir.path().join("sets/drop/s.couic"), by_hand).unwrap();
    test.ask("POST", "/v1/sets/reload").send().await.is(201);
    test.add("drop", "192.0.2.100/32", None).await;
    let before = rules(&test);
    let list = "192.0.2.2\n192.0.2.3\n192.0.2.4\n";
    let reply = put(&test, PATH, list).await;
    assert_eq!(reply.error(422, "processing"), ["cidr"]);
    assert_eq!(rules(&test), before);
    assert_eq!(file(&test, "drop/s.couic").as_deref(), Some(by_hand));
    let new = put(&test, "/v1/sets/drop/new?apply=true", list).await;
    new.error(422, "processing");
    assert_eq!(files(&test), ["s.couic"]);
    // With the other sets in force, it has more entries than a start loads.
    for set in ["a", "b", "c"] {
        let path = format!("/v1/sets/drop/{set}?apply=true");
        put(&test, &path, "192.0.2.1\n192.0.2.2\n192.0.2.100\n")
            .await
            .is(201);
    }
    let more = put(&test, "/v1/sets/drop/d?apply=true", list).await;
    assert!(String::from_utf8_lossy(&more.body).contains("more than 12 entries"));
    more.error(422, "processing");
}

#[tokio::test]
async fn entries_that_guard_rails_refuse_are_in_the_file_and_not_in_force() {
    let test = start();
    let list = format!("{HOST}\n192.0.2.7\n0.0.0.0/2\n");
    let reply = put(&test, PATH, &list).await.is(201).json();
    assert_eq!(
        (&reply["entry_count"], &reply["added"]),
        (&json!(3), &json!(1))
    );
    assert_eq!(reply["refused_count"], 2);
    let rails: Vec<_> = (0..2)
        .map(|i| reply["refused"][i]["rail"].clone())
        .collect();
    assert_eq!(rails, ["width", "host"]);
    assert_eq!(rules(&test), ["drop 192.0.2.7/32"]);
    let (refused, _) = test.api.firewall.guard().unwrap().set_report();
    assert_eq!(refused.len(), 2, "health names them");
    // Of another set nothing is forgotten, of this one all.
    put(&test, "/v1/sets/drop/t?apply=true", "192.0.2.8\n")
        .await
        .is(201);
    assert_eq!(test.api.firewall.guard().unwrap().set_report().0.len(), 2);
    put(&test, PATH, "192.0.2.7\n").await.is(200);
    assert!(test.api.firewall.guard().unwrap().set_report().0.is_empty());
    // A request that asks for the rails is refused.
    let asked = put(&test, &format!("{PATH}&guard=192.0.2.99"), &list).await;
    asked.error(422, "processing");
    let asked = put(&test, &format!("{PATH}&guard=192.0.2.99"), "192.0.2.99\n").await;
    assert!(String::from_utf8_lossy(&asked.body).contains("192.0.2.99"));
    asked.error(422, "processing");
}

#[tokio::test]
async fn a_set_that_protects_the_host_from_a_drop_is_not_taken_away() {
    let test = start();
    let path = "/v1/sets/ignore/own?apply=true";
    put(&test, path, HOST).await.is(201);
    test.add("drop", "198.51.100.0/24", None).await;
    test.delete(path).await.error(422, "processing");
    put(&test, path, "192.0.2.7\n")
        .await
        .error(422, "processing");
    assert!(file(&test, "ignore/own.couic").unwrap().contains(HOST));
    // By another set it is protected as well.
    put(&test, "/v1/sets/ignore/b?apply=true", HOST)
        .await
        .is(201);
    test.delete(path).await.is(200);
}

#[tokio::test]
async fn an_applied_set_can_be_undone_file_and_rules() {
    let test = start();
    let by_hand = format!("# by hand\n192.0.2.7\n{HOST}\n");
    fs::write(test.dir.path().join("sets/drop/s.couic"), &by_hand).unwrap();
    test.ask("POST", "/v1/sets/reload").send().await.is(201);
    for change in [Some("192.0.2.8\n198.51.100.7\n"), Some("192.0.2.7\n"), None] {
        let method = if change.is_some() { "PUT" } else { "DELETE" };
        let asked = test.ask(method, PATH);
        let asked = asked.header("couic-confirm-within", "60");
        let asked = asked.header("content-type", "text/plain");
        let reply = asked.body(change.unwrap_or_default()).send().await.is(200);
        let id = reply.headers["couic-confirm-id"]
            .to_str()
            .unwrap()
            .to_owned();
        assert_ne!(file(&test, "drop/s.couic"), Some(by_hand.clone()));
        test.delete(&format!("/v1/confirm/{id}")).await.is(200);
        assert_eq!(file(&test, "drop/s.couic"), Some(by_hand.clone()));
        assert_eq!(rules(&test), ["drop 192.0.2.7/32"]);
        assert_eq!(test.api.confirmations.problems(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_disk_that_fails_changes_no_rules() {
    let test = start();
    put(&test, PATH, "192.0.2.7\n").await.is(201);
    let folder = test.dir.path().join("sets/drop");
    fs::rename(&folder, test.dir.path().join("elsewhere")).unwrap();
    put(&test, PATH, "192.0.2.8\n").await.error(500, "internal");
    assert_eq!(rules(&test), ["drop 192.0.2.7/32"]);
    // The file is gone, but not its rules.
    test.delete(PATH).await.error(500, "internal");
}

#[tokio::test]
async fn applies_and_reloads_at_once_leave_rules_that_agree_with_files() {
    let test = start();
    let work = async |task: u8| {
        for round in 0..20_u8 {
            let path = format!("/v1/sets/drop/s{}?apply=true", round % 2);
            match (task, round % 5) {
                (0, _) => drop(test.ask("POST", "/v1/sets/reload").send().await.is(201)),
                (1, 4) => drop(test.delete(&path).await),
                _ => {
                    let list = format!("192.0.2.{}\n10.{task}.{round}.0/24\n", round / 2);
                    let reply = put(&test, &path, &list).await;
                    assert!(reply.status.is_success(), "{reply:?}");
                }
            }
        }
    };
    // They meet on the blocking threads.
    tokio::join!(work(0), work(1), work(2), work(3));
    let mut said = Vec::new();
    for name in ["s0", "s1"] {
        let text = file(&test, &format!("drop/{name}.couic")).unwrap_or_default();
        said.extend(text.lines().map(|line| format!("drop {line}")));
    }
    said.sort();
    said.dedup();
    assert_eq!(rules(&test), said);
}
