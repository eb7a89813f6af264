//! Clients.

use couic_common::Group;
use serde_json::{Value, json};

use crate::support::start;

#[tokio::test]
async fn a_new_client_has_a_valid_token() {
    let test = start();
    let body = json!({"name": "web-1_A", "group": "clientro"});
    let made = test.post("/v1/client", &body).await.is(201).json();
    let keys: Vec<&String> = made.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["name", "group", "token"]);
    assert_eq!(
        (&made["name"], &made["group"]),
        (&json!("web-1_A"), &json!("clientro"))
    );
    let bearer = format!("Bearer {}", made["token"].as_str().unwrap());
    let asked = test
        .anonymous("GET", "/v1/drop")
        .header("authorization", &bearer);
    asked.send().await.is(200);
    // Shown once: a UUID that is none stands for it, for clients that were written for 1.0.
    let mut hidden = made.clone();
    hidden["token"] = json!("00000000-0000-0000-0000-000000000000");
    assert_eq!(test.get("/v1/client/web-1_A").await.is(200).json(), hidden);
    let listed = test.get("/v1/client").await.is(200).json();
    assert!(listed.as_array().unwrap().contains(&hidden));
    let file = test.dir.path().join("rbac/clients/web-1_A.toml");
    assert!(file.exists());
    test.delete("/v1/client/web-1_A").await.is(204);
    assert!(!file.exists());
}

#[tokio::test]
async fn the_list_has_couicctl_and_every_group() {
    let test = start();
    let listed = test.get("/v1/client").await.is(200).json();
    let names: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "admin",
            "clientro",
            "clientrw",
            "couicctl",
            "monitoring",
            "peering"
        ]
    );
}

#[tokio::test]
async fn bad_names_and_groups_are_reported_together_as_422() {
    let test = start();
    let reply = test
        .post("/v1/client", &json!({"name": "a.b", "group": "root"}))
        .await;
    assert_eq!(reply.error(422, "invalid"), ["group", "name"]);
    for name in ["", "..", "a/b", "a b", "é", &"x".repeat(49)] {
        let reply = test
            .post("/v1/client", &json!({"name": name, "group": "admin"}))
            .await;
        assert_eq!(reply.error(422, "invalid"), ["name"], "{name}");
    }
    for group in ["", "Admin", "root"] {
        let reply = test
            .post("/v1/client", &json!({"name": "x", "group": group}))
            .await;
        assert_eq!(reply.error(422, "invalid"), ["group"], "{group}");
    }
    test.post(
        "/v1/client",
        &json!({"name": "x".repeat(48), "group": "admin"}),
    )
    .await
    .is(201);
}

#[tokio::test]
async fn malformed_clients_are_400() {
    let test = start();
    for body in [
        json!({}),
        json!({"name": "x"}),
        json!({"group": "admin"}),
        json!({"name": 5, "group": "admin"}),
        json!([]),
    ] {
        test.post("/v1/client", &body)
            .await
            .error(400, "bad_request");
    }
}

#[tokio::test]
async fn a_duplicate_name_is_422() {
    let test = start();
    let before = test.token(Group::Peering);
    let reply = test
        .post("/v1/client", &json!({"name": "peering", "group": "admin"}))
        .await;
    assert_eq!(reply.error(422, "processing"), ["name"]);
    assert_eq!(test.token(Group::Peering), before);
}

#[tokio::test]
async fn the_client_couicctl_cannot_be_deleted() {
    let test = start();
    test.delete("/v1/client/couicctl")
        .await
        .error(422, "processing");
    test.get("/v1/client/couicctl").await.is(200);
}

#[tokio::test]
async fn unknown_clients_are_404() {
    let test = start();
    for path in [
        "/v1/client/nobody",
        "/v1/client/a.b",
        "/v1/client/%2e%2e",
        "/v1/client/..%2Fx",
    ] {
        test.get(path).await.error(404, "not_found");
        test.delete(path).await.error(404, "not_found");
    }
}

#[tokio::test]
async fn errors_never_contain_a_token() {
    let test = start();
    let tokens: Vec<String> = Group::ALL
        .into_iter()
        .map(|g| test.token(g).to_string())
        .collect();
    for (method, path, body) in [
        (
            "POST",
            "/v1/client",
            json!({"name": "peering", "group": "admin"}),
        ),
        ("DELETE", "/v1/client/couicctl", Value::Null),
        ("GET", "/v1/client/nobody", Value::Null),
        ("POST", "/v1/client", json!({"name": 1})),
    ] {
        let reply = test.ask(method, path).json(&body).send().await;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(tokens.iter().all(|token| !text.contains(token)), "{text}");
    }
}

#[tokio::test]
async fn a_token_is_replaced_and_the_old_one_has_its_grace() {
    let test = start();
    let body = json!({"name": "web", "group": "clientro"});
    let made = test.post("/v1/client", &body).await.is(201).json();
    let status = async |client: &Value| {
        let bearer = format!("Bearer {}", client["token"].as_str().unwrap());
        let asked = test.anonymous("GET", "/v1/drop");
        let reply = asked.header("authorization", &bearer).send().await;
        reply.status.as_u16()
    };
    let rotate = "/v1/client/web/rotate";
    let second = test
        .post(rotate, &json!({"grace": 600}))
        .await
        .is(200)
        .json();
    assert_ne!(made["token"], second["token"]);
    assert_eq!(second["group"], "clientro");
    assert_eq!((status(&made).await, status(&second).await), (200, 200));
    let third = test.post(rotate, &json!({})).await.is(200).json();
    let accepted = [
        status(&made).await,
        status(&second).await,
        status(&third).await,
    ];
    assert_eq!(accepted, [401, 401, 200]);
    let file = test.dir.path().join("rbac/clients/web.toml");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.starts_with("token_sha256 = \""), "{text}");
    for client in [&made, &second, &third] {
        assert!(!text.contains(client["token"].as_str().unwrap()), "{text}");
    }
    test.post("/v1/client/nobody/rotate", &json!({}))
        .await
        .is(404);
    test.post(rotate, &json!({"grace": 86_401})).await.is(422);
}

#[tokio::test]
async fn a_client_knows_itself_and_couicctl_keeps_its_token() {
    let test = start();
    let listed = test.get("/v1/client").await.is(200).json();
    for client in listed.as_array().unwrap() {
        let is_own = client["name"] == "admin";
        assert_eq!(
            client.get("own"),
            is_own.then_some(&json!(true)),
            "{client}"
        );
    }
    // couicctl reads it from its file anyway.
    let couicctl = test.get("/v1/client/couicctl").await.is(200).json();
    let file = test.dir.path().join("rbac/clients/couicctl.toml");
    let token = format!("token = {}\n", couicctl["token"]);
    assert!(std::fs::read_to_string(&file).unwrap().starts_with(&token));
    let grace = json!({"grace": 60});
    let rotated = test.post("/v1/client/admin/rotate", &grace).await;
    assert_eq!(rotated.is(200).json()["own"], true);
    let rotated = test.post("/v1/client/couicctl/rotate", &grace).await;
    assert_eq!(rotated.status, 200);
    let rotated = rotated.json();
    let token = format!("token = {}\n", rotated["token"]);
    assert!(std::fs::read_to_string(&file).unwrap().starts_with(&token));
}
