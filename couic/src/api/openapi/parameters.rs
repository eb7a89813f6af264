//! Schemas of parameters, as regular expressions that say what the parsers take.

// Regular expressions of addresses. Brackets instead of backslashes, which JSON would need twice.

macro_rules! octet {
    () => {
        "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
    };
}
macro_rules! ipv4 {
    () => {
        concat!(octet!(), "(?:[.]", octet!(), "){3}")
    };
}
macro_rules! h {
    () => {
        "[0-9A-Fa-f]{1,4}"
    };
}
/// By where the `::` is, without and with an IPv4 address at the end.
#[rustfmt::skip]
macro_rules! ipv6 {
    () => {
        concat!(
            "(?:(?:", h!(), ":){7}", h!(),
            "|(?:", h!(), ":){1,7}:",
            "|(?:", h!(), ":){1,6}:", h!(),
            "|(?:", h!(), ":){1,5}(?::", h!(), "){1,2}",
            "|(?:", h!(), ":){1,4}(?::", h!(), "){1,3}",
            "|(?:", h!(), ":){1,3}(?::", h!(), "){1,4}",
            "|(?:", h!(), ":){1,2}(?::", h!(), "){1,5}",
            "|", h!(), ":(?::", h!(), "){1,6}",
            "|:(?::", h!(), "){1,7}|::",
            "|(?:", h!(), ":){6}", ipv4!(),
            "|::(?:", h!(), ":){0,5}", ipv4!(),
            "|", h!(), "::(?:", h!(), ":){0,4}", ipv4!(),
            "|(?:", h!(), ":){2}:(?:", h!(), ":){0,3}", ipv4!(),
            "|(?:", h!(), ":){3}:(?:", h!(), ":){0,2}", ipv4!(),
            "|(?:", h!(), ":){4}:(?:", h!(), ":)?", ipv4!(),
            "|(?:", h!(), ":){5}:", ipv4!(), ")"
        )
    };
}
macro_rules! cidr {
    () => {
        concat!(
            "^(?:",
            ipv4!(),
            "/(?:3[0-2]|[12]?[0-9])|",
            ipv6!(),
            "/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9]))$"
        )
    };
}

/// Members of the schema of a network.
pub(super) const CIDR: &str = concat!(
    r#"{"pattern": ""#,
    cidr!(),
    r#"", "examples": ["192.0.2.0/24", "2001:db8::/32"]}"#
);

/// `?guard=`: addresses with commas between them, or none.
pub(in crate::api) const ADDRESSES: &str = concat!(
    r#"{"type": "string", "maxLength": 1024, "pattern": "^,*(?:(?:"#,
    ipv4!(),
    "|",
    ipv6!(),
    r#")(?:,+|$))*$"}"#
);

/// `?tag=` of lists. Tags consist of these characters.
pub(in crate::api) const TAGS: &str = r#"{"type": "string", "maxLength": 4096, "pattern": "^[A-Za-z0-9_.*-]*(?:,[A-Za-z0-9_.*-]*){0,63}$"}"#;

/// The same without empty alternatives.
pub(in crate::api) const SOME_TAGS: &str = r#"{"type": "string", "maxLength": 4096, "pattern": "^[A-Za-z0-9_.*-]+(?:,[A-Za-z0-9_.*-]+){0,63}$"}"#;

/// One tag.
pub(in crate::api) const ONE_TAG: &str =
    r#"{"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"}"#;

/// A policy.
pub(in crate::api) const POLICY: &str = r##"{"$ref": "#/components/schemas/Policy"}"##;

/// An address, or a network.
pub(in crate::api) const ADDRESS_OR_NETWORK: &str = r##"{"anyOf": [{"type": "string", "format": "ipv4"}, {"type": "string", "format": "ipv6"}, {"$ref": "#/components/schemas/Cidr"}]}"##;

/// Printable, at most 200 characters.
pub(in crate::api) const SHORT: &str = r#"{"type": "string", "pattern": "^[ -~]{0,200}$"}"#;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use couic_common::Cidr;
    use proptest::{prelude::*, string::string_regex};

    const NETWORK: &str = cidr!();

    proptest! {
        #[test]
        fn what_the_schema_takes_is_a_network(
            text in string_regex(NETWORK.trim_matches(['^', '$'])).unwrap()
        ) {
            prop_assert!(text.parse::<Cidr>().is_ok(), "{}", text);
        }

        #[test]
        fn what_the_schema_takes_is_an_address(text in concat!(ipv4!(), "|", ipv6!())) {
            prop_assert!(text.parse::<IpAddr>().is_ok(), "{}", text);
        }
    }
}
