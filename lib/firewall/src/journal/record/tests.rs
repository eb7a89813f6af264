//! Records round trip, and no other bytes are read as one.

use proptest::prelude::*;

use super::*;

fn record(cidr: &str, claims: Vec<Claim>) -> Record {
    Record::Claims(RuleClaims {
        key: RuleKey::new(Policy::Ignore, cidr.parse().unwrap()),
        claims,
    })
}

/// `client:NAME`, `peer:NAME`, or an unknown client.
fn claim(owner: &str, tag: &str) -> Claim {
    Claim {
        owner: match owner.split_once(':') {
            Some(("client", name)) => Owner::Client(name.parse().unwrap()),
            Some((_, name)) => Owner::Peer(name.parse().unwrap()),
            None => Owner::Api,
        },
        tag: Tag::parse(tag).unwrap(),
        expiration: u64::MAX - 1,
        creation: 12,
        reason: None,
    }
}

fn written(record: &Record) -> Vec<u8> {
    let mut out = Vec::new();
    record.write(&mut out);
    out
}

#[test]
fn records_round_trip() {
    let longest = "x".repeat(64);
    for before in [
        record("10.0.0.0/8", vec![]),
        record("0.0.0.0/0", vec![claim("", "")]),
        record(
            "2001:db8::1/128",
            vec![
                claim("", &longest),
                claim(&format!("client:{}", &longest[..48]), "t"),
                claim(&format!("peer:{}", &longest[..48]), "t"),
            ],
        ),
    ] {
        let payload = written(&before);
        assert_eq!(read(&payload), Some(Payload::Record(before)));
    }
    let longest = Reason::of(&"r".repeat(Reason::MAX));
    for reasons in [[Reason::of("é"), None], [None, longest]] {
        let claims = reasons.map(|reason| Claim {
            reason,
            ..claim("client:f2b", "ssh")
        });
        let before = record("10.0.0.0/8", claims.into());
        let payload = written(&before);
        assert_eq!(
            (payload[0], read(&payload)),
            (5, Some(Payload::Record(before)))
        );
        for cut in 0..payload.len() {
            assert_eq!(read(&payload[..cut]), None);
        }
    }
    let mut end = Vec::new();
    write_end(&mut end, 7);
    assert_eq!(read(&end), Some(Payload::End(7)));
}

/// The fields behind the tag's length.
fn rest() -> Vec<u8> {
    let mut bytes = b"ssh".to_vec();
    bytes.extend_from_slice(&(u64::MAX - 1).to_le_bytes());
    bytes.extend_from_slice(&12_u64.to_le_bytes());
    bytes
}

#[test]
fn the_bytes_are_those_of_format_2() {
    let payload = written(&record("10.1.0.0/16", vec![claim("client:f2b", "ssh")]));
    let mut expected = vec![3, 1, 4, 16, 10, 1, 0, 0, 1, 0, 1, 3, b'f', b'2', b'b', 3];
    expected.extend(rest());
    assert_eq!(payload, expected);
}

#[test]
fn claims_of_format_1_are_those_of_an_unknown_client_and_of_peers() {
    let mut payload = vec![1, 1, 4, 16, 10, 1, 0, 0, 2, 0, 0, 3];
    payload.extend(rest());
    payload.extend([1, b'p', 3]);
    payload.extend(rest());
    let expected = record(
        "10.1.0.0/16",
        vec![claim("", "ssh"), claim("peer:p", "ssh")],
    );
    assert_eq!(read(&payload), Some(Payload::Record(expected)));
}

#[test]
fn invalid_payloads_are_refused() {
    let good = written(&record("10.0.0.0/8", vec![claim("peer:p", "t")]));
    let spoilt = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        read(&bad)
    };
    // Kind, policy, family, length, host bits, count, the owner's kind (another one, and one without a name), the
    // name's first byte, the tag's.
    for (at, byte) in [
        (0, 9),
        (1, 2),
        (2, 5),
        (3, 33),
        (7, 1),
        (8, 2),
        (10, 3),
        (10, 0),
        (12, b' '),
        (14, b'.'),
    ] {
        assert_eq!(spoilt(at, byte), None, "byte {at}");
    }
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(read(&longer), None);
    assert_eq!(read(&[]), None);
}

proptest! {
    #[test]
    fn no_bytes_panic_and_what_is_read_is_written_alike(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        if let Some(Payload::Record(record)) = read(&bytes) {
            let again = written(&record);
            prop_assert_eq!(read(&again), Some(Payload::Record(record)));
            prop_assert!(again == bytes || bytes[0] == CLAIMS_BEFORE_OWNERS);
        }
    }

    #[test]
    fn every_prefix_is_refused(cut in 0_usize..34) {
        let whole = written(&record("10.0.0.0/8", vec![claim("peer:p", "t")]));
        prop_assume!(cut < whole.len());
        prop_assert_eq!(read(&whole[..cut]), None);
    }
}
