//! Local time, for log lines that do not say how far it is from UTC.

/// Seconds that local time is east of UTC at a time in Unix seconds; 0 if the system does not know.
pub(crate) fn offset_s(unix: i64) -> i32 {
    // SAFETY: all bytes zero is a valid `tm`: its pointer to the name of the zone may be null.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are those of live values of their types; localtime_r keeps neither.
    let done = unsafe { libc::localtime_r(&raw const unix, &raw mut local) };
    if done.is_null() {
        return 0;
    }
    i32::try_from(local.tm_gmtoff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_less_than_a_day_from_utc() {
        for unix in [0, 1_793_577_600, -1, i64::MAX] {
            assert!(offset_s(unix).abs() < 86_400, "{unix}");
        }
    }
}
