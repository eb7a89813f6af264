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
    assert_eq!(
        message,
        "sets/drop/bad.couic line 4: not an IPv4 or IPv6 address"
    );
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
        ("/nonexistent/list", "leads out of its directory"),
        ("missing", "No such file"),
        ("odd.couic", "symbolic links"),
        ("/dev/zero", "leads out of its directory"),
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

/// Neither what a link leads to nor a line that is no address is in any answer.
#[tokio::test]
async fn no_answer_quotes_a_file_outside_or_a_secret_inside() {
    let test = start();
    let secret = "bbfa1388-3218-463c-9722-6805507c14bb";
    let token = test.dir.path().join("rbac-token.toml");
    fs::write(&token, format!("token = \"{secret}\"\n")).unwrap();
    let file = test.dir.path().join("sets/drop/link.couic");
    for (target, is_link) in [
        (token.to_str().unwrap(), true),
        ("../../rbac-token.toml", true),
        ("/etc/passwd", true),
        (secret, false),
        ("token = bbfa1388-3218-463c-9722-6805507c14bb", false),
    ] {
        if is_link {
            std::os::unix::fs::symlink(target, &file).unwrap();
        } else {
            fs::write(&file, target).unwrap();
        }
        let reload = test.ask("POST", "/v1/sets/reload").send().await;
        let get = test.get("/v1/sets/drop/link").await;
        let put = test
            .ask("PUT", "/v1/sets/drop/link")
            .header("couic-confirm-within", "60")
            .json(&json!({"entries": ["1.0.0.0/8"]}))
            .send()
            .await;
        for reply in [&reload, &get, &put] {
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            assert!(
                !text.contains("bbfa1388") && !text.contains("root:"),
                "{text}"
            );
        }
        assert_eq!((reload.status.as_u16(), get.status.as_u16()), (422, 422));
        let _ = fs::remove_file(&file);
    }
    // A link within the folder is as good as a file.
    fs::write(test.dir.path().join("sets/drop/data"), "1.0.0.0/8\n").unwrap();
    std::os::unix::fs::symlink("data", &file).unwrap();
    let reply = test
        .ask("POST", "/v1/sets/reload")
        .send()
        .await
        .is(201)
        .json();
    assert_eq!(reply["skipped"][0]["file"], "data");
    assert_eq!(test.plane.rules().len(), 1);
}

#[tokio::test]
async fn files_with_other_names_are_named_by_the_reload() {
    let test = start();
    let folder = test.dir.path().join("sets/drop");
    let long = format!("{}.couic", "x".repeat(60));
    for name in [
        "block-list.v2.couic",
        "a b.couic",
        "é.couic",
        ".hidden.couic",
        "LIST.COUIC",
        "list.txt",
        &long,
    ] {
        fs::write(folder.join(name), "1.0.0.0/8\n").unwrap();
    }
    for quiet in [".gitignore", ".x.couic.swp", "x.couic~", "x.couic.reverted"] {
        fs::write(folder.join(quiet), "1.0.0.0/8\n").unwrap();
    }
    fs::write(folder.join("good.couic"), "2.0.0.0/8\n").unwrap();
    let reply = test
        .ask("POST", "/v1/sets/reload")
        .send()
        .await
        .is(201)
        .json();
    assert_eq!(reply["reload_status"], "OK");
    let skipped = reply["skipped"].as_array().unwrap();
    let mut files: Vec<&str> = skipped
        .iter()
        .map(|s| s["file"].as_str().unwrap())
        .collect();
    files.sort_unstable();
    let expected = [
        ".hidden.couic",
        "LIST.COUIC",
        "a b.couic",
        "block-list.v2.couic",
        "list.txt",
        &long,
        "é.couic",
    ];
    assert_eq!(files, expected);
    assert!(
        skipped
            .iter()
            .all(|s| s["message"].as_str().unwrap().contains("rename it"))
    );
    assert_eq!(test.plane.rules().len(), 1);
}

#[tokio::test]
async fn a_set_file_that_became_empty_keeps_its_rules_until_it_says_that_it_is_meant() {
    let test = start();
    let file = test.dir.path().join("sets/drop/feed.couic");
    let reload = async || test.ask("POST", "/v1/sets/reload").send().await;
    fs::write(&file, "1.0.0.0/8\n2.0.0.0/8\n").unwrap();
    reload().await.is(201);
    for text in ["", "# fetched at 04:00\n\n; no entry\n"] {
        fs::write(&file, text).unwrap();
        let reply = reload().await;
        let message = reply.json()["message"].as_str().unwrap().to_owned();
        assert!(
            message
                .starts_with("sets/drop/feed.couic has no entry, but 2 rules of it are in force")
                && message.contains("\"# empty on purpose\""),
            "{message}"
        );
        assert_eq!(reply.error(422, "processing"), ["feed.couic"]);
        assert_eq!(test.plane.rules().len(), 2);
    }
    fs::write(&file, "# Empty on purpose\n").unwrap();
    reload().await.is(201);
    assert!(test.plane.rules().is_empty());
    // A client that replaces a set by nothing means it, as with Couic 1.0.
    let one = json!({"entries": ["3.0.0.0/8"]});
    test.put("/v1/sets/drop/feed", &one).await.is(200);
    reload().await.is(201);
    test.put("/v1/sets/drop/feed", &json!({"entries": []}))
        .await
        .is(200);
    reload().await.is(201);
    assert!(test.plane.rules().is_empty());
    // So does one who removes the file.
    test.put("/v1/sets/drop/feed", &one).await.is(200);
    reload().await.is(201);
    fs::remove_file(&file).unwrap();
    reload().await.is(201);
    assert!(test.plane.rules().is_empty());
}

#[tokio::test]
async fn set_files_are_read_as_every_list_is() {
    let test = start();
    let text = "\u{feff}1.2.3.4 ; a host\r\n203.0.114.0/255.255.255.0\r\n203.0.113.1-203.0.113.2\r\n::ffff:192.0.2.7\r\n";
    fs::write(test.dir.path().join("sets/drop/l.couic"), text).unwrap();
    test.ask("POST", "/v1/sets/reload").send().await.is(201);
    let cidrs: Vec<String> = test
        .plane
        .rules()
        .keys()
        .map(|key| key.cidr.to_string())
        .collect();
    let expected = [
        "1.2.3.4/32",
        "192.0.2.7/32",
        "203.0.113.1/32",
        "203.0.113.2/32",
        "203.0.114.0/24",
    ];
    assert_eq!(cidrs, expected);
    for (line, named) in [
        (
            "198.51.100.040",
            "198.51.100.040: a leading zero is ambiguous",
        ),
        ("fe80::1%eth0", "a zone"),
        ("[2001:db8::1]", "[2001:db8::1]: an address in brackets"),
        ("192.0.2.4:443", "192.0.2.4:443: an address with a port"),
        ("example.org", "a host name"),
    ] {
        fs::write(test.dir.path().join("sets/drop/l.couic"), line).unwrap();
        let reply = test.ask("POST", "/v1/sets/reload").send().await;
        let message = reply.json()["message"].as_str().unwrap().to_owned();
        assert!(
            message.starts_with(&format!("sets/drop/l.couic line 1: {named}")),
            "{message}"
        );
    }
}
