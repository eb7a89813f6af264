//! Validates the values of a well-formed body: all of them, so that the answer lists every defect at once.

use std::collections::BTreeMap;

use couic_common::{Cidr, EntryRequest, ErrorCode, ErrorDetail, Rail, Tag, TagError};
use warp::http::StatusCode;

use super::error::Fault;
use couic_firewall::rules::{ClaimRequest, FirewallError};

/// How many defects the answer lists.
const MAX_DETAILS: usize = 100;

/// The end of the year 9999, in Unix seconds.
const LATEST: u64 = 253_402_300_799;

/// From here on, a number means "never" to the program that sends it: the largest one of its type.
const LARGEST: u64 = i64::MAX as u64;

/// The defects of a body, by field.
#[derive(Debug, Default)]
pub(super) struct Defects {
    details: BTreeMap<String, ErrorDetail>,
    unlisted: usize,
    /// Whether a value is invalid in itself, rather than refused in the present state.
    invalid: bool,
}

impl Defects {
    /// An invalid value.
    pub(super) fn invalid(&mut self, field: String, message: String) {
        self.invalid = true;
        self.add(field, ErrorCode::Invalid, message, None);
    }

    /// A valid value that is refused.
    pub(super) fn refused(&mut self, field: String, message: String) {
        self.add(field, ErrorCode::Processing, message, None);
    }

    /// A valid value that a guard rail refuses.
    pub(super) fn guarded(&mut self, field: String, message: String, rail: Rail) {
        self.add(field, ErrorCode::Processing, message, Some(rail));
    }

    fn add(&mut self, field: String, code: ErrorCode, message: String, rail: Option<Rail>) {
        if self.details.len() < MAX_DETAILS {
            let detail = ErrorDetail {
                code,
                message,
                rail,
            };
            self.details.insert(field, detail);
        } else {
            self.unlisted += 1;
        }
    }

    /// Fails if there is a defect.
    ///
    /// # Errors
    /// 422 with one detail a field.
    pub(super) fn none(self) -> Result<(), Fault> {
        let Self {
            details,
            unlisted,
            invalid,
        } = self;
        let Some((field, first)) = details.first_key_value() else {
            return Ok(());
        };
        let mut message = format!("{field}: {}", first.message);
        match details.len() - 1 + unlisted {
            0 => {}
            more => message.push_str(&format!("; and {more} more")),
        }
        let code = if invalid {
            ErrorCode::Invalid
        } else {
            ErrorCode::Processing
        };
        let mut fault = Fault::new(StatusCode::UNPROCESSABLE_ENTITY, code, message);
        fault.body.errors = details;
        Err(fault)
    }
}

/// When an entry expires that is to live for `ttl` seconds, if it says so. The clock's second has begun: it is not counted.
pub(super) fn expires(expiration: u64, ttl: Option<u64>, now: u64) -> u64 {
    ttl.map_or(expiration, |ttl| match ttl {
        // Refused, as what has expired.
        0 => now,
        _ => now.saturating_add(1).saturating_add(ttl),
    })
}

/// Parses the tag of a claim that is to be released: `untagged` is the one without. None if there is none, which means
/// all claims.
pub(super) fn tag_of_claim(text: &str) -> Result<Option<Option<Tag>>, TagError> {
    match Tag::parse(text) {
        Ok(None) => Ok(None),
        Ok(tag) => Ok(Some(tag)),
        Err(TagError::Reserved) => Ok(Some(None)),
        Err(error) => Err(error),
    }
}

/// Parses the values of an entry. `defect` is called for each invalid one; None if it was called.
pub(super) fn rule(
    cidr: &str,
    tag: Option<&str>,
    expiration: u64,
    now: u64,
    mut defect: impl FnMut(&'static str, String),
) -> Option<ClaimRequest> {
    let cidr = cidr.parse::<Cidr>();
    let cidr = cidr.map_err(|e| defect("cidr", e.to_string())).ok();
    let tag = label(tag, expiration, now, &mut defect);
    let (cidr, tag) = (cidr?, tag?);
    Some(ClaimRequest {
        cidr,
        tag,
        expiration,
    })
}

/// The same for every network of a list's entry: a CIDR, an address, a netmask or a range. Empty if `defect` was called.
pub(super) fn rules(
    entry: &str,
    tag: Option<&str>,
    expiration: u64,
    now: u64,
    mut defect: impl FnMut(&'static str, String),
) -> Vec<ClaimRequest> {
    let mut cidrs = Vec::new();
    if let Err(error) = Cidr::parse_each(entry, |cidr| cidrs.push(cidr)) {
        defect("cidr", error.to_string());
    }
    let Some(tag) = label(tag, expiration, now, &mut defect) else {
        return Vec::new();
    };
    let claim = |cidr| ClaimRequest {
        cidr,
        tag: tag.clone(),
        expiration,
    };
    cidrs.into_iter().map(claim).collect()
}

/// The tag, if neither it nor the expiration has a defect.
fn label(
    tag: Option<&str>,
    expiration: u64,
    now: u64,
    defect: &mut impl FnMut(&'static str, String),
) -> Option<Option<Tag>> {
    let tag = tag.map_or(Ok(None), Tag::parse);
    let tag = tag.map_err(|e| defect("tag", e.to_string())).ok();
    if let Some(problem) = bad_expiration(expiration, now) {
        defect("expiration", problem);
        return None;
    }
    tag
}

fn bad_expiration(expiration: u64, now: u64) -> Option<String> {
    if expiration != 0 && expiration <= now {
        return Some(FirewallError::Expired { expiration, now }.to_string());
    }
    let is_date = expiration <= LATEST || expiration >= LARGEST;
    (!is_date).then(|| {
        format!(
            "the expiration {expiration} lies after the year 9999: expirations are in Unix seconds, not in milliseconds; it is {now} now, and 0 means never"
        )
    })
}

/// Parses and validates a request for one entry.
///
/// # Errors
/// 422.
pub(super) fn entry(request: &EntryRequest, now: u64) -> Result<ClaimRequest, Fault> {
    let EntryRequest {
        cidr,
        expiration,
        tag,
        metadata: _,
        force: _,
        guard: _,
        ttl,
        longer: _,
    } = request;
    let mut defects = Defects::default();
    let mut defect = |field: &str, message| defects.invalid(field.to_owned(), message);
    let expiration = expires(*expiration, *ttl, now);
    let rule = rule(cidr, tag.as_deref(), expiration, now, &mut defect);
    defects.none()?;
    rule.ok_or_else(|| Fault::invalid("cidr", "the entry cannot be used"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_field_is_named_at_once() {
        let mut fields = Vec::new();
        let bad = rule("1.2.3.4", Some("a b"), 5, 5, |field, _| fields.push(field));
        assert_eq!(bad, None);
        assert_eq!(fields, ["cidr", "tag", "expiration"]);
    }

    #[test]
    fn expirations_lie_in_the_future() {
        for (expiration, good) in [
            (0, true),
            (9, false),
            (10, false),
            (11, true),
            (1_795_916_369, true),
            (LATEST, true),
            (LATEST + 1, false),
            // Milliseconds, microseconds and nanoseconds.
            (1_795_916_369_000, false),
            (1_795_916_369_000_000, false),
            (1_795_916_369_000_000_000, false),
            (LARGEST, true),
            (u64::MAX, true),
        ] {
            let mut heard = false;
            let read = rule("1.2.3.4/32", None, expiration, 10, |_, _| heard = true);
            assert_eq!((read.is_some(), heard), (good, !good), "{expiration}");
        }
    }

    #[test]
    fn a_ttl_counts_from_the_daemons_clock() {
        assert_eq!(expires(7, None, 1_000), 7);
        assert_eq!(expires(7, Some(60), 1_000), 1_061);
        assert_eq!(expires(7, Some(0), 1_000), 1_000, "which is refused");
        assert_eq!(expires(7, Some(u64::MAX), 1_000), u64::MAX);
    }

    #[test]
    fn details_are_bounded() {
        let mut defects = Defects::default();
        for i in 0..250 {
            defects.invalid(format!("entries[{i}]"), "bad".to_owned());
        }
        let fault = defects.none().unwrap_err();
        assert_eq!(fault.body.errors.len(), MAX_DETAILS);
        assert!(
            fault.body.message.ends_with("and 249 more"),
            "{}",
            fault.body.message
        );
    }
}
