use couic_common::Cidr;
use proptest::prelude::*;

use super::*;

fn read(text: impl AsRef<[u8]>, format: &Format) -> Result<Vec<String>, String> {
    let parsed = parse(text.as_ref(), format).map_err(|e| e.to_string())?;
    Ok(parsed
        .networks
        .iter()
        .map(|cidr| cidr.to_string())
        .collect())
}

fn steps(pointer: &str) -> Vec<Vec<String>> {
    vec![pointer.split('/').skip(1).map(str::to_owned).collect()]
}

fn csv(column: Column, separator: u8) -> Format {
    Format::Csv { column, separator }
}

#[test]
fn the_formats_of_well_known_lists() {
    let spamhaus = "; Spamhaus DROP\n1.10.16.0/20 ; SBL256894\n1.19.0.0/16 ; SBL434604\n";
    let expected = ["1.10.16.0/20", "1.19.0.0/16"];
    assert_eq!(read(spamhaus, &Format::Text).unwrap(), expected);
    let lines = "{\"cidr\":\"1.10.16.0/20\",\"sblid\":\"SBL256894\"}\n{\"cidr\":\"1.19.0.0/16\"}\n\
        {\"type\":\"metadata\",\"records\":2,\"copyright\":\"(c)\"}\n";
    assert_eq!(
        read(lines, &Format::Ndjson(steps("/cidr"))).unwrap(),
        expected
    );
    let google = r#"{"creationTime":"x","prefixes":[{"ipv6Prefix":"2001:4860:4801:10::/64"},{"ipv4Prefix":"66.249.64.0/27"}]}"#;
    let both = [
        steps("/prefixes/*/ipv4Prefix"),
        steps("/prefixes/*/ipv6Prefix"),
    ]
    .concat();
    let expected = ["66.249.64.0/27", "2001:4860:4801:10::/64"];
    assert_eq!(read(google, &Format::Json(both)).unwrap(), expected);
    let dshield = "# DShield\nStart\tEnd\tNetmask\tAttacks\n1.2.3.0\t1.2.3.255\t24\t900\n1.2.4.0\t1.2.4.255\t24\t7\n";
    assert_eq!(
        read(dshield, &Format::Ranges).unwrap(),
        ["1.2.3.0/24", "1.2.4.0/24"]
    );
    let ranges = "1.2.3.4-1.2.3.5\n1.2.3.8 - 1.2.3.9 , 100 , some name\n1.2.4.0/24\n";
    let expected = ["1.2.3.4/31", "1.2.3.8/31", "1.2.4.0/24"];
    assert_eq!(read(ranges, &Format::Ranges).unwrap(), expected);
}

#[test]
fn tables_by_number_and_by_name() {
    let table = "# made today\nfirst_seen,\"ip\",port\n\"2026-12-01\",\"1.2.3.4\",443\n2026-12-01, 1.2.3.5 ,\"a,b\"\n";
    let expected = ["1.2.3.4/32", "1.2.3.5/32"];
    assert_eq!(
        read(table, &csv(Column::Number(2), b',')).unwrap(),
        expected
    );
    let named = Column::Name("ip".to_owned());
    assert_eq!(read(table, &csv(named.clone(), b',')).unwrap(), expected);
    let error = read("a;b\n", &csv(named, b';')).unwrap_err();
    assert_eq!(error, "its first line names no column \"ip\"");
    assert_eq!(
        read("x\t1.2.3.4\n", &csv(Column::Number(2), b'\t')).unwrap(),
        ["1.2.3.4/32"]
    );
}

#[test]
fn what_is_no_list_is_refused() {
    let list = "1.2.3.4\n".repeat(1000);
    let utf16: Vec<u8> = list.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let long = format!("{list}{}", "1".repeat(100_000));
    for (bytes, told) in [
        (b"\n <!DOCTYPE html><p>Log in".to_vec(), "web page"),
        (b"# x\n<HTML>\n".to_vec(), "web page"),
        (utf16, "another charset"),
        (vec![0; 5000], "binary"),
        (long.into_bytes(), "line 1001 is longer"),
        (
            b"root:x:0:0\nhunter2\n1.2.3.4\n".to_vec(),
            "2 of 3 entries cannot be read",
        ),
        (b"\x89PNG\r\n\x1a\n\xff\xff\n".to_vec(), "cannot be read"),
    ] {
        let error = read(&bytes, &Format::Text).unwrap_err();
        assert!(error.contains(told), "{told}: {error}");
        assert!(
            !error.contains("hunter2") && !error.contains("root"),
            "{error}"
        );
    }
    let document = Format::Json(steps("/p/*"));
    for (text, told) in [
        (r#"{"p":["1.2.3.4","1.2."#, "not whole JSON: EOF"),
        ("{\"p\":[]} {\"p\":[]}", "2 JSON documents"),
        (
            &format!("{}{}", "[".repeat(1000), "]".repeat(1000)),
            "not whole JSON: recursion",
        ),
    ] {
        let error = read(text, &document).unwrap_err();
        assert!(error.contains(told), "{told}: {error}");
    }
}

#[test]
fn few_unreadable_entries_are_counted() {
    let text = format!("{}oops\n1.2.3.999\n", "1.2.3.4\n".repeat(198));
    let parsed = parse(text.as_bytes(), &Format::Text).unwrap();
    assert_eq!((parsed.entries, parsed.unreadable), (200, 2));
    assert!(parsed.first_unreadable.unwrap().starts_with("line 199: "));
    assert!(parse(format!("{text}oops\n").as_bytes(), &Format::Text).is_err());
}

#[test]
fn a_line_without_its_end_shows() {
    let ends = |text: &str| parse(text.as_bytes(), &Format::Text).unwrap().is_terminated;
    assert!(ends("1.2.3.4\n") && ends("") && !ends("1.2.3.4\n1.2.3.0/2"));
}

/// An entry, in the forms in which lists write it.
fn entry() -> impl Strategy<Value = (Cidr, String)> {
    let v4 = (any::<[u8; 4]>(), 1_u8..=32).prop_map(|(ip, len)| (ip.into(), len));
    let v6 =
        (any::<[u8; 16]>(), 97_u8..=128).prop_map(|(ip, len)| (std::net::IpAddr::from(ip), len));
    (prop_oneof![v4, v6], 0_u8..6).prop_map(|((ip, len), form)| {
        let cidr = Cidr::new(ip, len).unwrap();
        let text = match form {
            0 => format!("{ip}/{len}\n"),
            1 => format!("  {cidr}\t# {ip}\r\n"),
            2 => format!("# {ip}\n\n;\n{cidr};SBL1\n"),
            3 => format!("{ip}/{len}   \n"),
            4 => return (Cidr::host(ip), format!("{ip}\n")),
            _ => return (Cidr::host(ip), format!("{ip} - {ip}\n")),
        };
        (cidr, text)
    })
}

proptest! {
    /// Lists are written by a simple oracle, and read back.
    #[test]
    fn what_is_written_is_read(all in prop::collection::vec(entry(), 0..60)) {
        let text: String = all.iter().map(|(_, text)| text.as_str()).collect();
        let mut expected: Networks = all.iter().map(|(cidr, _)| *cidr).collect();
        let mut parsed = parse(text.as_bytes(), &Format::Text).unwrap();
        expected.sort();
        parsed.networks.sort();
        prop_assert_eq!(&parsed.networks, &expected);
        let cells: Vec<String> = expected.iter().map(|cidr| cidr.to_string()).collect();
        let table: String = cells.iter().map(|c| format!("x;\"{c}\";y\n")).collect();
        let objects: String = cells.iter().map(|c| format!("{{\"n\":1,\"c\":{{\"ip\":\"{c}\"}}}}\n")).collect();
        let array = format!("{{\"ips\":{}}}", serde_json::to_string(&cells).unwrap());
        for (text, format) in [
            (table, csv(Column::Number(2), b';')),
            (objects, Format::Ndjson(steps("/c/ip"))),
            (array, Format::Json(steps("/ips/*"))),
        ] {
            prop_assert_eq!(&read(text, &format).unwrap(), &cells, "{}", format);
        }
    }

    /// Whatever is torn out of a list or put into it: no panic, and nothing that is not in the text.
    #[test]
    fn any_bytes_are_survived(
        all in prop::collection::vec(entry(), 0..9), noise in prop::collection::vec(any::<u8>(), 0..90), at in any::<prop::sample::Index>(),
    ) {
        let mut bytes: Vec<u8> = all.iter().flat_map(|(_, text)| text.bytes()).collect();
        let at = at.index(bytes.len() + 1);
        bytes.splice(at..at, noise);
        for format in [
            Format::Text,
            Format::Ranges,
            csv(Column::Number(1), b','),
            csv(Column::Name("ip".to_owned()), b';'),
            Format::Json(steps("/*")),
            Format::Ndjson(steps("/cidr")),
        ] {
            if let Ok(parsed) = parse(&bytes, &format) {
                prop_assert!(parsed.unreadable <= (parsed.entries / 100).max(1));
            }
        }
    }
}
