use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn keys(names: &[&str]) -> Keys {
    let mut keys = Keys::flat(&[]);
    for (slot, name) in names.iter().enumerate() {
        let path = name.split('.').map(|part| part.as_bytes().to_vec());
        keys.insert(path, slot).unwrap();
    }
    keys
}

/// The texts of `names` in the line.
fn find(names: &[&str], line: &str) -> Result<Vec<Option<String>>, Unparsed> {
    let mut slots = Slots::default();
    keys(names).scan(line.as_bytes(), &mut slots)?;
    let text = |value: &Value<'_>| match value {
        Value::List(inside) => {
            let strings = strings(inside).map(|s| String::from_utf8_lossy(&s).into_owned());
            strings.collect::<Vec<_>>().join("|")
        }
        value => String::from_utf8_lossy(&value.text().unwrap()).into_owned(),
    };
    let found = slots[..names.len()].iter();
    Ok(found.map(|value| value.as_ref().map(text)).collect())
}

#[test]
fn wanted_values_of_every_kind_are_found() {
    let line = r#" { "a" : "x\"\u00e9\ud83d\ude00\ud83d\/\n" , "b":{"c":-1.5e3,"d":[ "p", {"q":"]"}, "r\\" ]}, "e":null,"f":{"a":1},"g":true,"h":{} } "#;
    let found = find(&["a", "b.c", "b.d", "e", "f", "g", "h.i", "z"], line).unwrap();
    let expected = [
        "x\"é😀\u{fffd}/\n",
        "-1.5e3",
        "p|q|]|r\\",
        "",
        "",
        "true",
        "",
        "",
    ];
    let found: Vec<_> = found.into_iter().map(Option::unwrap_or_default).collect();
    assert_eq!(found, expected);
    assert_eq!(find(&["a"], "{}"), Ok(vec![None]));
    assert_eq!(
        find(&["a"], r#"{"a":"\x22\q\u12"}"#),
        Ok(vec![Some("\"\\q\\u12".into())])
    );
}

#[test]
fn a_wanted_key_or_object_that_comes_twice_is_ambiguous() {
    for line in [
        r#"{"a":"1","a":"2"}"#,
        r#"{"a":"1","\u0061":"2"}"#,
        r#"{"a":null,"a":"2"}"#,
        r#"{"b":{"c":1},"b":{"d":2}}"#,
        r#"{"b":1,"b":{"c":2}}"#,
        r#"{"b":{"c":1,"x":0,"c":2}}"#,
    ] {
        assert_eq!(
            find(&["a", "b.c"], line),
            Err(Unparsed::Ambiguous),
            "{line}"
        );
    }
    assert!(
        find(
            &["a", "b.c"],
            r#"{"x":1,"x":2,"c":3,"b":{"a":4,"c":5},"y":{"a":6}}"#
        )
        .is_ok()
    );
}

#[test]
fn what_is_not_one_object_is_malformed() {
    for line in [
        "",
        " ",
        "x",
        "1",
        "[]",
        "\"a\"",
        "{",
        "{\"",
        "{\"a",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "{a:1}",
        "{\"a\":}",
        "{\"a\":1}x",
        "{\"a\":1}{\"a\":2}",
        "{\"a\":\"\\\"}",
        "{\"a\":\"\\",
        "{\"x\":[}]}",
        "{\"x\":{]}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":\u{e9}}",
    ] {
        assert_eq!(
            find(&["a", "b.c"], line),
            Err(Unparsed::Malformed),
            "{line}"
        );
    }
    let nested = |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(find(&["a"], &nested(64)).is_ok());
    for depth in [65, 66, 4000] {
        assert_eq!(find(&["a"], &nested(depth)), Err(Unparsed::Malformed));
    }
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    let mut keys = keys(&["a.b", "c"]);
    let mut add = |name: &str| keys.insert(name.split('.').map(|part| part.as_bytes().to_vec()), 9);
    for name in ["", "a", "a.b", "c.d", "a..b", "x.x.x.x.x.x.x.x.x"] {
        assert!(add(name).is_err(), "{name}");
    }
    assert!((0..64).any(|n| add(&format!("k{n}")).is_err()));
}

fn json_value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i32>().prop_map(Json::from),
        any::<String>().prop_map(Json::from),
        "[a-c{}\\[\\]\",:\\\\ ]{0,12}".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::btree_map("[a-c]{1,2}|\"|\\\\", inner, 0..4)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn the_scanner_finds_what_serde_json_finds(a in json_value(), b in json_value(), pretty: bool) {
        let json = json!({"x": a, "a": b, "b": {"c": a, "a": b}});
        let line = if pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) };
        let found = find(&["a", "b.c"], &line.unwrap()).unwrap();
        for (found, expected) in found.into_iter().zip([b, a]) {
            match expected {
                Json::Null | Json::Object(_) => prop_assert_eq!(found, None),
                Json::String(text) => prop_assert_eq!(found, Some(text)),
                Json::Array(list) if list.iter().all(Json::is_string) => {
                    let list: Vec<_> = list.iter().filter_map(Json::as_str).collect();
                    prop_assert_eq!(found, Some(list.join("|")));
                }
                Json::Array(_) => prop_assert!(found.is_some()),
                bare => prop_assert_eq!(found, Some(bare.to_string())),
            }
        }
    }

    #[test]
    fn any_bytes_are_no_panic_and_no_endless_loop(text in "[{}\\[\\]\",:\\\\abx0 ]{0,60}") {
        let _ = find(&["a", "b.a"], &text);
    }
}
