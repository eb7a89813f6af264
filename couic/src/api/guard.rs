//! The guard rails, as requests ask for them, and go over them.

use std::net::IpAddr;

use couic_common::{BatchRule, EntryRequest, GuardRequest, Policy, Rail};

use super::{call::Call, error::Fault};
use couic_firewall::guard::{Change, GuardCheck, Permit, Rails};

/// The addresses that a query may ask to protect, and rails to lift, bytes.
const LONGEST: usize = 1024;

/// What a request says about the guard rails.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked<'a> {
    /// Nothing is refused.
    pub(super) force: bool,
    pub(super) guard: Option<&'a GuardRequest>,
}

impl<'a> Asked<'a> {
    pub(super) fn of(request: &'a EntryRequest) -> Self {
        Self {
            force: request.force,
            guard: request.guard.as_ref(),
        }
    }

    pub(super) fn of_job(rule: &'a BatchRule) -> Self {
        Self {
            force: rule.force,
            guard: rule.guard.as_ref(),
        }
    }
}

/// As if a request had asked for the rails, and to protect nobody in particular.
static PLAIN: GuardRequest = GuardRequest {
    protect: Vec::new(),
    lift: Vec::new(),
};

/// The rails of a request, if any holds for it. For a client with limits they hold always: a token that was stolen must
/// not cut the host off.
pub(super) fn check<'a>(call: &'a Call, asked: Asked<'_>) -> Option<GuardCheck<'a>> {
    let guard = call.firewall().guard()?;
    let is_limited = call.who.as_ref().is_some_and(|who| who.scope.is_some());
    let plain = is_limited.then_some(&PLAIN);
    let check = guard.for_request(asked.guard.or(plain)).forced(asked.force);
    check.holds().then_some(check)
}

/// Judges changes that are made together, which the request wrote as `text`. They are to be made while the permit is held.
///
/// # Errors
/// 422 that says how to override the rail.
pub(super) fn judge<'a>(
    call: &Call,
    check: Option<&'a GuardCheck<'_>>,
    changes: &[Change<'_>],
    text: Option<&str>,
) -> Result<(Option<Permit<'a>>, Rails), Fault> {
    let Some(check) = check else {
        return Ok((None, Rails::default()));
    };
    match check.judge(call.firewall(), changes) {
        Ok((permit, lifted)) => Ok((Some(permit), lifted)),
        Err(refusal) => {
            let note = text.and_then(|text| refusal.key.cidr.masked_from(text));
            let message = note.map(|note| format!("{note}: {refusal}"));
            let mut fault = Fault::from(refusal);
            if let Some(message) = message {
                for detail in fault.body.errors.values_mut() {
                    detail.message.clone_from(&message);
                }
                fault.body.message = message;
            }
            Err(fault)
        }
    }
}

/// The expiration that an added rule is judged by. An entry of `ignore` that can only be made longer takes no protection
/// away, whatever the request says.
pub(super) fn judged_until(policy: Policy, expiration: u64, longer: bool) -> u64 {
    if longer && policy == Policy::Ignore {
        0
    } else {
        expiration
    }
}

/// The rail that refused, if one did.
pub(super) fn rail_of(fault: &Fault) -> Option<Rail> {
    fault.body.errors.values().find_map(|detail| detail.rail)
}

/// `?guard=ADDRESS,…`, `?lift=RAIL,…` and `?force=true` of requests without a body.
#[derive(Debug, Default)]
pub(super) struct InQuery {
    force: bool,
    guard: Option<GuardRequest>,
}

impl<'a> From<&'a InQuery> for Asked<'a> {
    fn from(query: &'a InQuery) -> Self {
        Self {
            force: query.force,
            guard: query.guard.as_ref(),
        }
    }
}

/// Reads them.
///
/// # Errors
/// 400.
pub(super) fn in_query(call: &Call) -> Result<InQuery, Fault> {
    let force = match call.query("force") {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(Fault::bad_request("?force= is true or false")),
    };
    let protect = listed(call, "guard", |text| text.parse::<IpAddr>().ok())?;
    let lift = listed(call, "lift", |text| text.parse::<Rail>().ok())?;
    let asks = protect.is_some() || lift.is_some();
    let guard = asks.then(|| GuardRequest {
        protect: protect.unwrap_or_default(),
        lift: lift.unwrap_or_default(),
    });
    Ok(InQuery { force, guard })
}

fn listed<T>(
    call: &Call,
    name: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<Vec<T>>, Fault> {
    let Some(text) = call.query(name) else {
        return Ok(None);
    };
    let wrong = || {
        let rails = Rail::names();
        Fault::bad_request(format!(
            "?guard= lists addresses to protect, ?lift= guard rails ({rails}), with commas between them"
        ))
    };
    if text.len() > LONGEST {
        return Err(wrong());
    }
    let parts = text.split(',').filter(|part| !part.is_empty());
    let parsed = parts.map(|part| parse(part).ok_or_else(wrong));
    parsed.collect::<Result<_, _>>().map(Some)
}
