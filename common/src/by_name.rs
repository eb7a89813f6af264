//! Structs that are deserialized from JSON objects only.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

/// Accepts `T` as an object with named fields only. Derived code also accepts an array of the fields in order, so that
/// a stray `[true]` would switch the firewall off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByName<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ByName<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with named fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BatchJob, PanicRequest};

    fn read<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
        let read = serde_json::from_str::<ByName<T>>(text);
        read.map(|ByName(value)| value)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn objects_are_accepted_and_arrays_are_not() {
        let on = PanicRequest {
            on: true,
            reason: None,
        };
        assert_eq!(read("{\"on\":true}"), Ok(on));
        for array in ["[true]", "[true,null]", "[]"] {
            let error = read::<PanicRequest>(array).unwrap_err();
            assert!(error.contains("an object with named fields"), "{error}");
        }
        for other in ["true", "null", "\"on\"", "1", "{\"on\":true} x", "{\"on\":"] {
            assert!(read::<PanicRequest>(other).is_err(), "{other}");
        }
    }

    #[test]
    fn nested_values_may_still_be_arrays() {
        let job = "{\"action\":\"add\",\"entry\":[\"192.0.2.0/24\",0]}";
        let read_by_name: BatchJob = read(job).unwrap();
        assert_eq!(read_by_name, serde_json::from_str(job).unwrap());
        assert!(read::<BatchJob>("[\"add\",{\"cidr\":\"192.0.2.0/24\"}]").is_err());
    }

    #[test]
    fn an_error_has_its_position() {
        let error = read::<PanicRequest>("{\"on\":1}").unwrap_err();
        assert!(error.contains("line 1 column"), "{error}");
        let unknown = read::<PanicRequest>("{\"on\":true,\"off\":1}").unwrap_err();
        assert!(unknown.contains("unknown field `off`"), "{unknown}");
    }
}
