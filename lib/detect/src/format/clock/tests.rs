use proptest::prelude::*;
use time::{OffsetDateTime, UtcOffset, macros::format_description};

use super::*;

/// 2026-12-01T06:25:01Z
const NOW: i64 = 1_796_106_301_000;

fn at(now_ms: i64, offset_s: i32) -> Clock {
    let mut clock = Clock::default();
    clock.set(now_ms, offset_s);
    clock
}

#[test]
fn common_log_format_honours_the_offset_and_the_cache_changes_nothing() {
    let mut clock = Clock::default();
    for _ in 0..2 {
        assert_eq!(clock.clf(b"01/Dec/2026:06:25:01 +0000"), Some(NOW));
        assert_eq!(clock.clf(b"01/Dec/2026:06:25:01 +0000"), Some(NOW));
        assert_eq!(clock.clf(b"01/Dec/2026:08:55:01 +0230"), Some(NOW));
        assert_eq!(clock.clf(b"30/Nov/2026:22:25:01 -0800"), Some(NOW));
        assert_eq!(clock.clf(b"31/Nov/2026:22:25:01 -0800"), None);
        assert_eq!(clock.clf(b"30/Nov/2026:22:25:01 -08:0"), None);
        assert_eq!(clock.clf(b"30/nov/2026:22:25:01 -0800"), None);
        assert_eq!(clock.clf(b"30/Nov/2026:25:25:01 -0800"), None);
        assert_eq!(clock.clf(b""), None);
    }
}

#[test]
fn iso_8601_and_epochs_are_told_apart() {
    let mut clock = Clock::default();
    for text in [
        "2026-12-01T06:25:01Z",
        "2026-12-01 06:25:01",
        "2026-12-01T07:25:01+01:00",
        "2026-12-01T07:25:01.000+0100",
        "1796106301",
        "1796106301.0",
        "1796106301000",
        "1796106301000000",
        "1796106301000000000",
        "01/Dec/2026:07:25:01 +0100",
    ] {
        assert_eq!(clock.any(text.as_bytes()), Some(NOW), "{text}");
    }
    assert_eq!(clock.any(b"1796106301.0429871"), Some(NOW + 42));
    assert_eq!(clock.any(b"1796106301.5"), Some(NOW + 500));
    assert_eq!(clock.any(b"2026-12-01T06:25:01.9876543Z"), Some(NOW + 987));
    for text in [
        "",
        "-",
        "now",
        "1.2.3",
        "-5",
        "1e9",
        "2026-12-01",
        "2026-13-01T06:25:01Z",
        "2026-12-01T06:25:01.Z",
        "2026-12-01T06:25:01+1",
        "99999999999999999999",
        "2026-12-01T06:25:61Z",
    ] {
        assert_eq!(clock.any(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn a_time_without_year_is_of_the_year_that_ends_before_tomorrow() {
    assert_eq!(
        Clock::default().bsd(b"Dec  1 06:25:01"),
        None,
        "no now, no year"
    );
    let clock = at(NOW, 0);
    assert_eq!(clock.bsd(b"Dec  1 06:25:01"), Some(NOW));
    assert_eq!(clock.bsd(b"Dec  1 23:25:01"), Some(NOW + 17 * 3_600_000));
    assert_eq!(
        clock.bsd(b"Dec  3 06:25:01"),
        Some(NOW + 2 * DAY_MS - 365 * DAY_MS)
    );
    assert_eq!(clock.bsd(b"Nov 30 06:25:01"), Some(NOW - DAY_MS));
    // 2026-01-01T00:00:30Z reads a line of last year, 2025-12-31T23:59:30Z one of the next.
    let new_year = 1_767_225_600_000;
    assert_eq!(
        at(new_year + 30_000, 0).bsd(b"Dec 31 23:59:59"),
        Some(new_year - 1000)
    );
    assert_eq!(
        at(new_year - 30_000, 0).bsd(b"Jan  1 00:00:01"),
        Some(new_year + 1000)
    );
    // The leap day exists only in 2024.
    assert_eq!(clock.bsd(b"Feb 29 00:00:00"), Some(1_709_164_800_000));
    for text in [
        "Dec 32 06:25:01",
        "Dec  0 06:25:01",
        "dec  1 06:25:01",
        "Dec  1 06:25",
        "Dec  1T06:25:01",
    ] {
        assert_eq!(clock.bsd(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn local_times_use_the_offset_of_the_caller() {
    let clock = at(NOW, 3600);
    assert_eq!(clock.bsd(b"Dec  1 07:25:01"), Some(NOW));
    assert_eq!(clock.haproxy(b"01/Dec/2026:07:25:01.250"), Some(NOW + 250));
    assert_eq!(
        Clock::default().haproxy(b"01/Dec/2026:06:25:01.250"),
        Some(NOW + 250)
    );
    assert_eq!(clock.haproxy(b"01/Dec/2026:07:25:01"), None);
}

proptest! {
    #[test]
    fn every_second_reads_as_the_crate_time_writes_it(seconds in 0_i64..253_402_300_799 - 86_400, quarter in -48_i32..=56) {
        let offset = UtcOffset::from_whole_seconds(quarter * 900).unwrap();
        let moment = OffsetDateTime::from_unix_timestamp(seconds).unwrap().to_offset(offset);
        prop_assume!((1970..=9999).contains(&moment.year()));
        let text = moment.format(format_description!(
            "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
        )).unwrap();
        prop_assert_eq!(Clock::default().clf(text.as_bytes()), Some(seconds * 1000));
        let text = moment.format(format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second][offset_hour sign:mandatory]:[offset_minute]"
        )).unwrap();
        prop_assert_eq!(iso(text.as_bytes()), Some(seconds * 1000));
    }

    #[test]
    fn a_line_of_the_last_eleven_months_gets_its_own_year(now in 946_684_800_i64..4_102_444_800, age in 0_i64..29_000_000) {
        let moment = OffsetDateTime::from_unix_timestamp(now - age).unwrap();
        let text = moment.format(format_description!(
            "[month repr:short] [day padding:space] [hour]:[minute]:[second]"
        )).unwrap();
        prop_assert_eq!(at(now * 1000, 0).bsd(text.as_bytes()), Some((now - age) * 1000));
    }

    #[test]
    fn any_bytes_are_no_panic(text in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut clock = at(NOW, -5400);
        let _ = (clock.any(&text), clock.bsd(&text), clock.haproxy(&text), clock.clf(&text), iso(&text));
    }
}
