//! The set file parser against a naive implementation of the format.
#![no_main]

use std::collections::BTreeSet;

use couic_common::Cidr;
use couic_firewall::rules::parse_set;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let expected = plain(bytes);
    match parse_set(bytes) {
        Ok(entries) => {
            assert_eq!(Ok(entries.iter().copied().collect()), expected);
            assert!(entries.is_sorted(), "not sorted");
            let text: String = entries.iter().map(|cidr| format!("{cidr}\n")).collect();
            assert_eq!(
                parse_set(text.as_bytes()).ok(),
                Some(entries),
                "written and read again"
            );
        }
        Err(bad) => {
            assert_eq!(Err(bad.line), expected);
            let text = bad.text.unwrap_or_default();
            assert!(
                text.bytes()
                    .all(|b| b.is_ascii_hexdigit() || b".:/[]- ".contains(&b)),
                "more than an address is quoted"
            );
            assert!(text.len() < 50, "the text is not shortened");
        }
    }
});

/// The entries, or the number of the first invalid line.
fn plain(bytes: &[u8]) -> Result<BTreeSet<Cidr>, u64> {
    let mut entries = BTreeSet::new();
    let mut number = 1_u64;
    let mut line = Vec::new();
    // A byte order mark is ignored.
    let bytes = match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => rest,
        all => all,
    };
    for byte in bytes.iter().chain(b"\n") {
        if *byte != b'\n' {
            line.push(*byte);
            continue;
        }
        if let Some(comment) = line.iter().position(|b| matches!(b, b'#' | b';')) {
            line.truncate(comment);
        }
        let text = line.trim_ascii();
        if !text.is_empty() {
            let text = std::str::from_utf8(text).map_err(|_| number)?;
            Cidr::parse_each(text, |cidr| drop(entries.insert(cidr))).map_err(|_| number)?;
        }
        line.clear();
        number += 1;
    }
    Ok(entries)
}
