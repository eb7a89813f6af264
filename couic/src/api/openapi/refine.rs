//! What the types do not say by themselves: servers, tags, formats, patterns and examples, merged into the document.
//!
//! A schema says no less than the validation does, and no more: a client that is generated from the document must not
//! refuse what the API accepts. A test drives the API with the examples.

use serde_json::Value;

use super::parameters::CIDR;

const ADDRESS: &str =
    r#"{"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}]}"#;

const NAME: &str = r#"{"type": "string", "pattern": "^[A-Za-z0-9_-]{1,48}$"}"#;

/// The schema of a path variable.
pub(super) fn path_schema(name: &str) -> &'static str {
    match name {
        "policy" => r##"{"$ref": "#/components/schemas/Policy"}"##,
        "ip" => ADDRESS,
        "prefix" => r#"{"type": "integer", "format": "int32", "minimum": 0, "maximum": 128}"#,
        "confirmation" => r##"{"$ref": "#/components/schemas/ConfirmId"}"##,
        "notifier" => r#"{"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"}"#,
        _ => NAME,
    }
}

/// For `Couic-Confirm-Within`: up to `CONFIRM_WITHIN_MAX`.
pub(super) const CONFIRM_WITHIN: &str =
    r#"{"type": "integer", "format": "int64", "minimum": 1, "maximum": 86400}"#;

/// Objects of the document by JSON pointer, with members to add or replace.
const MEMBERS: &[(&str, &str)] = &[
    (
        "/info",
        r#"{"license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"}}"#,
    ),
    (
        "",
        r#"{"servers": [
            {"url": "http://localhost", "description": "Over the Unix socket, /var/run/couic/couic.sock by default; the host name does not matter."},
            {"url": "https://{host}:{port}", "description": "Behind a reverse proxy.", "variables": {"host": {"default": "couic.example.org"}, "port": {"default": "2900"}}}
        ]}"#,
    ),
    (
        "/components/securitySchemes/token",
        r#"{"bearerFormat": "UUID", "description": "The token of a client: couicctl clients add -n NAME -g GROUP."}"#,
    ),
    ("/components/schemas/Cidr", CIDR),
    (
        "/components/schemas/ClientName",
        r#"{"pattern": "^[A-Za-z0-9_-]{1,48}$", "examples": ["fail2ban"]}"#,
    ),
    (
        "/components/schemas/SetName",
        r#"{"pattern": "^[A-Za-z0-9_-]{1,48}$"}"#,
    ),
    ("/components/schemas/Tag", r#"{"maxLength": 64}"#),
    (
        "/components/schemas/ConfirmId",
        r#"{"pattern": "^[0-9a-f]{8}$", "examples": ["0badcafe"]}"#,
    ),
    (
        "/components/schemas/ClientInfo",
        r#"{"required": ["name", "group", "token"]}"#,
    ),
    (
        "/components/schemas/ClientLimits/properties/tags/items",
        r#"{"pattern": "^[A-Za-z0-9_*-]{1,64}$"}"#,
    ),
    (
        "/components/schemas/ClientLimits/properties/sets/items",
        r#"{"pattern": "^[A-Za-z0-9_*-]{1,64}$"}"#,
    ),
    (
        "/components/schemas/ClientInfo/properties/token",
        r#"{"format": "uuid"}"#,
    ),
    (
        "/components/schemas/ClientLimits/properties/tags",
        r#"{"minItems": 1, "maxItems": 16}"#,
    ),
    (
        "/components/schemas/ClientLimits/properties/policies",
        r#"{"minItems": 1}"#,
    ),
    (
        "/components/schemas/ClientLimits/properties/widest_ipv4",
        r#"{"maximum": 32}"#,
    ),
    (
        "/components/schemas/ClientLimits/properties/widest_ipv6",
        r#"{"maximum": 128}"#,
    ),
    (
        "/components/schemas/ClientLimits/properties/longest",
        r#"{"minimum": 1, "maximum": 3153600000}"#,
    ),
    (
        "/components/schemas/ClientLimits/properties/token_lifetime",
        r#"{"minimum": 1, "maximum": 3153600000}"#,
    ),
    (
        "/components/schemas/ClientLimits/properties/adds_per_minute",
        r#"{"minimum": 1, "maximum": 10000000}"#,
    ),
    (
        "/components/schemas/RotateRequest/properties/grace",
        r#"{"maximum": 86400}"#,
    ),
    (
        "/components/schemas/GuardRequest/properties/protect/items",
        ADDRESS,
    ),
    (
        "/components/schemas/EntryRequest/properties/tag",
        r#"{"pattern": "^[A-Za-z0-9_-]{0,64}$"}"#,
    ),
    (
        "/components/schemas/EntryRequest/properties/ttl",
        r#"{"minimum": 1}"#,
    ),
    (
        "/components/schemas/PanicRequest/properties/reason",
        r#"{"maxLength": 200, "pattern": "^[^\\x00-\\x1f\\x7f-\\x9f]*$"}"#,
    ),
    (
        "/components/schemas/NodeId",
        r#"{"pattern": "^[0-9a-f]{16}$"}"#,
    ),
    (
        "/components/schemas/Face/properties/protocol",
        r#"{"maximum": 65535}"#,
    ),
    (
        "/components/schemas/Of/oneOf/2",
        r#"{"additionalProperties": false}"#,
    ),
    (
        "/components/schemas/Of/oneOf/2/properties/leaves/items",
        r#"{"maximum": 255}"#,
    ),
    (
        "/components/schemas/Mark/properties/leaf",
        r#"{"maximum": 65535}"#,
    ),
    (
        "/components/schemas/Mark/properties/author",
        r#"{"format": "int64", "maximum": 4294967295}"#,
    ),
    (
        "/components/schemas/Mark/properties/cidr",
        r##"{"$ref": "#/components/schemas/Cidr"}"##,
    ),
    (
        "/components/schemas/PullRequest/properties/leaves/items",
        r#"{"minItems": 2, "maxItems": 2}"#,
    ),
    (
        "/components/schemas/PullRequest/properties/leaves/items/items",
        r#"{"maximum": 65535}"#,
    ),
    (
        "/components/schemas/ClientRequest/properties/group",
        r#"{"enum": ["admin", "clientrw", "clientro", "monitoring", "peering"]}"#,
    ),
    (
        "/components/schemas/ClientRequest/properties/name",
        r#"{"pattern": "^[A-Za-z0-9_-]{1,48}$"}"#,
    ),
    (
        "/components/schemas/ClientRequest",
        r#"{"examples": [{"name": "prometheus", "group": "monitoring"}, {"name": "couicmon", "group": "clientrw", "limits": {"policies": ["drop"], "tags": ["mon-*"], "widest_ipv4": 24, "widest_ipv6": 48, "longest": 604800}}]}"#,
    ),
    (
        "/components/schemas/EntryRequest/properties/cidr",
        r##"{"$ref": "#/components/schemas/Cidr"}"##,
    ),
    (
        "/components/schemas/BatchRule/properties/cidr",
        r#"{"description": "All that a line of a list may be: an address, `ADDRESS/PREFIX`, or a range `FIRST-LAST`."}"#,
    ),
    (
        "/components/schemas/EntryRequest",
        r#"{"examples": [{"cidr": "192.0.2.7/32", "tag": "ssh", "expiration": 0}, {"cidr": "2001:db8::/32", "ttl": 7200}]}"#,
    ),
    (
        "/components/schemas/BatchJob",
        r#"{"examples": [{"action": "add", "entry": {"cidr": "192.0.2.7/32", "tag": "ssh", "expiration": 0}}]}"#,
    ),
    (
        "/components/schemas/SetBody/properties/name",
        r#"{"pattern": "^[A-Za-z0-9_-]{1,48}$"}"#,
    ),
    (
        "/components/schemas/SetBody/properties/entries/items",
        r##"{"$ref": "#/components/schemas/Cidr"}"##,
    ),
    (
        "/components/schemas/SetUpdate/properties/entries/items",
        r##"{"$ref": "#/components/schemas/Cidr"}"##,
    ),
    (
        "/components/schemas/SetBody",
        r#"{"examples": [{"name": "badnet", "entries": ["192.0.2.0/24", "2001:db8::/32"]}]}"#,
    ),
    (
        "/components/schemas/SetUpdate",
        r#"{"examples": [{"entries": ["192.0.2.0/25"]}]}"#,
    ),
    (
        "/components/schemas/PanicRequest",
        r#"{"examples": [{"on": true, "reason": "the office is locked out"}]}"#,
    ),
];

/// Replaces the schema of a parameter of an operation.
///
/// # Errors
/// The parameter is not there, or the schema is not JSON.
pub(super) fn parameter(
    document: &mut Value,
    (pattern, verb): (&str, &str),
    name: &str,
    schema: &str,
) -> Result<(), Mistake> {
    let missing = || Mistake(format!("{verb} {pattern}: {name}"));
    let operation = &mut document["paths"][pattern][verb];
    let parameters = operation["parameters"].as_array_mut().ok_or_else(missing)?;
    let found = parameters.iter_mut().find(|p| p["name"] == name);
    found.ok_or_else(missing)?["schema"] = parse(schema)?;
    Ok(())
}

/// Merges [`MEMBERS`], and the tags.
///
/// # Errors
/// An object is not there, or members are not JSON.
pub(super) fn members(document: &mut Value, tags: &[(&str, &str)]) -> Result<(), Mistake> {
    for (pointer, members) in MEMBERS {
        let into = document.pointer_mut(pointer).and_then(Value::as_object_mut);
        let into = into.ok_or_else(|| Mistake((*pointer).to_owned()))?;
        if let Value::Object(members) = parse(members)? {
            into.extend(members);
        }
    }
    let tags = tags
        .iter()
        .map(|(name, description)| serde_json::json!({"name": name, "description": description}));
    document["tags"] = tags.collect();
    Ok(())
}

fn parse(text: &str) -> Result<Value, Mistake> {
    serde_json::from_str(text).map_err(|error| Mistake(format!("{error} in {text}")))
}

/// A table here does not fit the document: every test of the document finds it.
#[derive(Debug, thiserror::Error)]
#[error("the OpenAPI document has no place for, or no JSON in: {0}")]
pub(super) struct Mistake(String);

impl From<&serde_json::Error> for Mistake {
    fn from(error: &serde_json::Error) -> Self {
        Self(error.to_string())
    }
}
