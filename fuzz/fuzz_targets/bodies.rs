//! Request bodies: decoding never panics, and decoded values survive encoding and decoding again.
#![no_main]

use couic_common::{
    BatchJob, Cidr, ClientRequest, Confirmations, EntryRequest, PanicRequest, PeerJob, SetBody,
    Tag, TagPattern,
};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    if let Some(entry) = round_trip::<EntryRequest>(bytes) {
        values(&entry.cidr, entry.tag.as_deref());
    }
    round_trip::<Vec<PeerJob>>(bytes);
    round_trip::<SetBody>(bytes);
    round_trip::<ClientRequest>(bytes);
    round_trip::<Vec<BatchJob>>(bytes);
    round_trip::<PanicRequest>(bytes);
    round_trip::<Confirmations>(bytes);
    for line in bytes.split(|b| *b == b'\n') {
        if let Some(job) = round_trip::<BatchJob>(line) {
            values(&job.entry.cidr, job.entry.tag.as_deref());
        }
    }
});

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    bytes: &[u8],
) -> Option<T> {
    let value: T = serde_json::from_slice(bytes).ok()?;
    let text = serde_json::to_string(&value).expect("decoded values can be encoded");
    let again: T = serde_json::from_str(&text).expect("encoded values can be decoded");
    // Floating-point numbers in metadata may change in their last bit.
    if !serde_json::from_str(&text).is_ok_and(|v| has_float(&v)) {
        assert_eq!(value, again, "{text}");
    }
    Some(value)
}

fn has_float(value: &Value) -> bool {
    match value {
        Value::Number(n) => n.is_f64(),
        Value::Array(values) => values.iter().any(has_float),
        Value::Object(map) => map.values().any(has_float),
        _ => false,
    }
}

/// The validation of the values in a request.
fn values(cidr: &str, tag: Option<&str>) {
    if let Ok(cidr) = cidr.parse::<Cidr>() {
        assert!(cidr.contains(cidr.addr()));
        assert_eq!(cidr.to_string().parse(), Ok(cidr));
    }
    if let Some(text) = tag {
        if let Ok(Some(tag)) = Tag::parse(text) {
            assert_eq!(tag.as_str(), text);
            let Ok(pattern) = text.parse::<TagPattern>();
            assert!(pattern.matches(Some(text)), "{text} does not match itself");
        }
    }
}
