//! A reload applies all files or nothing, and names the file that it cannot read.

use std::fs;

use serde_json::json;

use crate::support::{start, start_with};

#[tokio::test]
async fn a_reload_applies_and_reverts_files() {
    let test = start();
    test.add("drop", "1.0.0.0/8", Some("mine")).await;
    test.post(
        "/v1/sets/drop",
        &json!({"name": "s", "entries": ["1.0.0.0/8", "2.0.0.0/8"]}),
    )
    .await
    .is(201);
    let reply = test
        .ask("POST", "/v1/sets/reload")
        .send()
        .await
        .is(201)
        .json();
    assert_eq!(reply, json!({"reload_status": "OK"}));
    assert_eq!(
        test.get("/v1/drop/1.0.0.0/8").await.json()["tag"],
        "s.couic"
    );
    test.delete("/v1/sets/drop/s").await.is(200);
    test.get("/v1/drop/2.0.0.0/8").await.is(200);
    test.ask("POST", "/v1/sets/reload").send().await.is(201);
    test.get("/v1/drop/2.0.0.0/8").await.error(404, "not_found");
    assert_eq!(test.get("/v1/drop/1.0.0.0/8").await.json()["tag"], "mine");
}

#[tokio::test]
async fn a_bad_line_fails_the_reload_and_is_reported() {
    let test = start();
    let folder = test.dir.path().join("sets/drop");
    fs::write(folder.join("good.couic"), "1.0.0.0/8\n").unwrap();
    fs::write(
        folder.join("bad.couic"),
        "# a comment\n2.0.0.0/8\n\nnonsense\n",
    )
    .unwrap();
    let reply = test.ask("POST", "/v1/sets/reload").send().await;
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    for part in ["bad.couic", "4", "nonsense"] {
        assert!(message.contains(part), "{part} is missing: {message}");
    }
    reply.error(422, "processing");
    assert!(test.plane.rules().is_empty());
    test.get("/v1/sets/drop/bad").await.error(422, "processing");
    fs::remove_file(folder.join("bad.couic")).unwrap();
    test.ask("POST", "/v1/sets/reload").send().await.is(201);
    assert_eq!(test.plane.rules().len(), 1);
}

/// Not a 404, nor a 500 that sends the operator to the log.
#[tokio::test]
async fn an_unreadable_file_is_named() {
    let test = start();
    let file = test.dir.path().join("sets/drop/odd.couic");
    for (target, why) in [
        ("/nonexistent/list", "No such file"),
        ("odd.couic", "symbolic links"),
        ("/dev/zero", "not a regular file"),
    ] {
        std::os::unix::fs::symlink(target, &file).unwrap();
        let reply = test.ask("POST", "/v1/sets/reload").send().await;
        let message = reply.json()["message"].as_str().unwrap().to_owned();
        assert!(
            message.starts_with("sets/drop/odd.couic cannot be read: ") && message.contains(why),
            "{message}"
        );
        assert_eq!(reply.error(422, "processing"), ["odd.couic"]);
        fs::remove_file(&file).unwrap();
    }
}

#[tokio::test]
async fn a_reload_that_exceeds_the_table_is_refused_entirely() {
    let limits = couic_firewall::dataplane::Limits {
        drop_entries: 2,
        ignore_entries: 2,
    };
    let test = start_with(limits, false);
    let entries = json!({"name": "s", "entries": ["1.0.0.0/8", "2.0.0.0/8", "3.0.0.0/8"]});
    test.post("/v1/sets/drop", &entries).await.is(201);
    test.ask("POST", "/v1/sets/reload")
        .send()
        .await
        .error(422, "processing");
    assert!(test.plane.rules().is_empty());
}
