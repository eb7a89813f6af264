//! The OpenAPI document.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::start;

/// The file is for readers and generators of clients. `INSTA_UPDATE=always` renews it.
#[test]
fn the_file_in_docs_is_the_document() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let document = couic::api::openapi_document().unwrap();
    if std::env::var("INSTA_UPDATE").is_ok_and(|update| update == "always") {
        fs::write(&path, &document).unwrap();
    }
    let file = fs::read_to_string(&path).unwrap();
    let differing = file.lines().zip(document.lines()).find(|(a, b)| a != b);
    assert!(
        file == document,
        "couic --openapi > docs/openapi.json renews it; first difference: {differing:?}"
    );
}

#[tokio::test]
async fn the_api_serves_the_same_document() {
    let served = start().get("/v1/openapi.json").await.is(200).json();
    let document: Value = serde_json::from_str(&couic::api::openapi_document().unwrap()).unwrap();
    assert_eq!(served, document);
}

/// Generated clients and people start from them.
#[tokio::test]
async fn the_examples_are_accepted() {
    let test = start();
    let document = test.get("/v1/openapi.json").await.json();
    let examples = |schema: &str| {
        let pointer = format!("/components/schemas/{schema}/examples");
        document
            .pointer(&pointer)
            .unwrap()
            .as_array()
            .unwrap()
            .clone()
    };
    for (method, path, schema, status) in [
        ("POST", "/v1/drop", "EntryRequest", 201),
        ("POST", "/v1/sets/drop", "SetBody", 201),
        ("PUT", "/v1/sets/drop/badnet", "SetUpdate", 200),
        ("POST", "/v1/client", "ClientRequest", 201),
        ("PUT", "/v1/panic", "PanicRequest", 200),
    ] {
        for example in examples(schema) {
            test.ask(method, path)
                .json(&example)
                .send()
                .await
                .is(status);
        }
    }
    let batch = Value::Array(examples("BatchJob"));
    let outcome = test.post("/v1/ignore/batch", &batch).await.is(200).json();
    assert_eq!(outcome["failed"], 0, "{outcome}");
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_every_reference_resolves() {
    let test = start();
    let document = test.get("/v1/openapi.json").await.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 30);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                references.push(reference.clone());
            }
            map.values().for_each(|value| collect(value, references));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

/// Every operation has documented responses, and requires a token except for health and live.
#[tokio::test]
async fn operation_ids_are_unique_and_have_responses() {
    let test = start();
    let document = test.get("/v1/openapi.json").await.json();
    let mut ids = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            ids.push(operation["operationId"].as_str().unwrap());
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{method} {path}"
            );
            let open = ["/v1/health", "/v1/live"].contains(&path.as_str());
            assert_eq!(responses.contains_key("401"), !open, "{method} {path}");
            let security = operation["security"].as_array().unwrap();
            assert_eq!(security.is_empty(), open, "{method} {path}");
            let tag = operation["tags"][0].as_str().unwrap();
            let tags = document["tags"].as_array().unwrap();
            assert!(
                tags.iter().any(|t| t["name"] == tag),
                "{method} {path}: {tag}"
            );
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(
                    parameter["schema"].is_object(),
                    "{method} {path}: {parameter}"
                );
            }
        }
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    assert_eq!(count, 46);
}
