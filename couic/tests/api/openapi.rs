//! The OpenAPI document.

use serde_json::Value;

use crate::support::start;

#[tokio::test]
async fn the_document_matches_the_reviewed_snapshot() {
    let test = start();
    let document = test.get("/v1/openapi.json").await.is(200).json();
    let pretty = serde_json::to_string_pretty(&document).unwrap();
    insta::assert_snapshot!("openapi", pretty);
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
            assert_eq!(
                operation.get("security").is_some(),
                !open,
                "{method} {path}"
            );
        }
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count);
    assert_eq!(count, 44);
}
