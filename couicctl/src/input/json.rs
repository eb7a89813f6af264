//! Lists in JSON, as clouds and feeds publish them: one document, or one a line. The networks are the strings under the
//! fields that the operator names, wherever these are; memory holds the networks alone.

use couic_common::{json_strings, list_networks};

use super::{Found, Network};
use crate::failure::Failure;

/// Names of fields that a message lists.
const NAMED: usize = 8;

/// The networks under `fields`.
pub(super) fn parse(name: &str, bytes: &[u8], fields: &[String]) -> Result<Vec<Network>, Failure> {
    let mut found = Found::default();
    let mut count = 0_u64;
    let walked = json_strings(bytes, &mut |place, value| {
        let field = place.field();
        if fields.iter().any(|wanted| wanted == field) {
            count += 1;
            // The operator has named the field, and there is no line to look at.
            let place = format_args!("{field} number {count}");
            found.add(place, value.as_bytes(), Some(value));
        }
    });
    if let Err(error) = walked {
        let text = format!("{name} is not JSON, nothing was changed: {error}");
        return Err(Failure::Usage(text));
    }
    if count == 0 {
        let wanted = fields.join(", ");
        let advice = advice(bytes).unwrap_or_default();
        return Err(Failure::Usage(format!(
            "{name} has no field {wanted} with a network, nothing was changed\nhint: {advice}"
        )));
    }
    found.all(name)
}

/// If this is JSON: how to read networks from it.
pub(super) fn advice(bytes: &[u8]) -> Option<String> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if !matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) {
        return None;
    }
    let mut fields: Vec<String> = Vec::new();
    json_strings(bytes, &mut |place, value| {
        let field = place.field();
        let is_new = fields.len() < NAMED && fields.iter().all(|known| known != field);
        if is_new && list_networks(value.as_bytes(), |_| ()).is_ok() {
            fields.push(field.to_owned());
        }
    })
    .ok()?;
    Some(if fields.is_empty() {
        "none of its fields holds networks".to_owned()
    } else {
        let options: Vec<String> = fields.iter().map(|f| format!("--field {f}")).collect();
        format!("name the fields with the networks: {}", options.join(" "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWS: &[u8] = br#"{"syncToken": "1", "prefixes": [
        {"ip_prefix": "3.4.12.4/32", "region": "eu-west-1"}, {"ip_prefix": "3.5.140.0/22", "service": null}],
        "ipv6_prefixes": [{"ipv6_prefix": "2600:1f14::/36", "n": [1, -1, 0.5, true]}]}"#;
    const SPAMHAUS: &[u8] = b"{\"cidr\":\"1.10.16.0/20\",\"sblid\":\"SBL256894\"}\n\
        {\"cidr\":\"1.19.0.0/16\",\"sblid\":\"SBL434604\"}\n{\"type\":\"metadata\",\"records\":2}\n";

    fn read(text: &[u8], fields: &[&str]) -> Result<Vec<String>, String> {
        let fields: Vec<String> = fields.iter().map(|f| (*f).to_owned()).collect();
        match parse("f", text, &fields) {
            Ok(all) => Ok(all.iter().map(|n| n.cidr.to_string()).collect()),
            Err(failure) => Err(failure.text()),
        }
    }

    #[test]
    fn fields_are_found_in_one_document_and_in_one_a_line() {
        let both = read(AWS, &["ip_prefix", "ipv6_prefix"]).unwrap();
        assert_eq!(both, ["3.4.12.4/32", "3.5.140.0/22", "2600:1f14::/36"]);
        let lines = read(SPAMHAUS, &["cidr"]).unwrap();
        assert_eq!(lines, ["1.10.16.0/20", "1.19.0.0/16"]);
        let array = read(
            br#"{"hooks": ["192.30.252.0/22", "192.0.2.1-192.0.2.2"]}"#,
            &["hooks"],
        );
        assert_eq!(
            array.unwrap(),
            ["192.30.252.0/22", "192.0.2.1/32", "192.0.2.2/32"]
        );
    }

    /// It would take minutes if each document cost as much as all before it.
    #[test]
    fn many_documents_are_read_in_linear_time() {
        let line = "{\"cidr\":\"192.0.2.1\"}\n";
        let all = read(line.repeat(300_000).as_bytes(), &["cidr"]).unwrap();
        assert_eq!(all.len(), 300_000);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let bad = read(br#"[{"ip": "1.2.3.4"}, {"ip": "example.org"}]"#, &["ip"]).unwrap_err();
        assert!(
            bad.contains("ip number 2: \"example.org\": a host name"),
            "{bad}"
        );
        let none = read(SPAMHAUS, &["ip_prefix"]).unwrap_err();
        assert!(none.contains("has no field ip_prefix"), "{none}");
        assert!(
            none.ends_with("name the fields with the networks: --field cidr"),
            "{none}"
        );
        let cut = read(&AWS[..90], &["ip_prefix"]).unwrap_err();
        assert!(
            cut.contains("is not JSON, nothing was changed: EOF"),
            "{cut}"
        );
        let deep = "[".repeat(100_000);
        assert!(read(deep.as_bytes(), &["x"]).is_err());
    }

    #[test]
    fn json_without_a_field_is_recognized() {
        let told = advice(AWS).unwrap();
        assert!(
            told.ends_with("--field ip_prefix --field ipv6_prefix"),
            "{told}"
        );
        assert!(advice(b"[1]").unwrap().contains("none of its fields"));
        for text in [&b"[2001:db8::1]\n"[..], b"1.2.3.4\n", b"", b"{"] {
            assert_eq!(advice(text), None);
        }
    }
}
