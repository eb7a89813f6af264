//! Lists of entries, of any length: made page by page while they are sent.
//!
//! A list is ordered and names no entry twice, but it is no snapshot: a change while it is sent may be in it or not.
//! The firewall's lock and memory are held for one page at a time. A page whose `?tag=` matches nothing walks over all
//! rules, so pages are made on blocking threads, and no other request waits for them.

use std::sync::Arc;

use bytes::Bytes;
use couic_common::{Cidr, Entry, Policy, TagPattern};
use warp::http::StatusCode;

use super::{
    answer::{Answer, JSON, NDJSON, Outcome},
    call::Call,
    entry_json,
    error::Fault,
};
use couic_firewall::rules::{Firewall, TagFilter};

/// Entries a page: some 80 KiB of JSON, a fraction of a millisecond of work.
const PAGE: usize = 1024;

/// The longest `?tag=`: 60 of the longest tags.
const MAX_PATTERN: usize = 4096;

/// The most alternatives in one `?tag=`.
const MAX_ALTERNATIVES: usize = 64;

/// `GET /v1/{policy}`.
pub(super) fn list(call: &Call) -> Outcome {
    let policy = call.policy()?;
    let filter = call.query("tag").map(pattern).transpose()?;
    let mut pages = Pages {
        firewall: Arc::clone(&call.api().firewall),
        policy,
        lines: call.wants_lines,
        filter: filter.map(|pattern| call.firewall().tag_filter(policy, &pattern)),
        owners: call.flag("owners")?,
        after: after(call)?,
        left: limit(call)?,
        started: false,
        done: false,
    };
    let content = if call.wants_lines { NDJSON } else { JSON };
    let first = pages.page();
    if pages.done {
        // One page: the length is known.
        return Ok(Answer::whole(StatusCode::OK, content, first));
    }
    let pieces = std::iter::once(Bytes::from(first)).chain(pages);
    Ok(Answer::pieces(content, Box::new(pieces)))
}

/// Every tag is compared with every alternative, so their number is bounded. That is done once a request, and without
/// the rules lock.
pub(super) fn pattern(text: &str) -> Result<TagPattern, Fault> {
    if text.len() > MAX_PATTERN {
        let message = format!("?tag= is longer than {MAX_PATTERN} bytes: ask in parts");
        return Err(Fault::bad_request(message));
    }
    let alternatives = text.split(',').count();
    if alternatives > MAX_ALTERNATIVES {
        let message = format!(
            "?tag= names {alternatives} patterns, and may name {MAX_ALTERNATIVES}: ask in parts, or use *"
        );
        return Err(Fault::bad_request(message));
    }
    let Ok(pattern) = text.parse();
    Ok(pattern)
}

fn after(call: &Call) -> Result<Option<Cidr>, Fault> {
    let parse = |text: &str| text.parse();
    let after = call.query("after").map(parse).transpose();
    after.map_err(|e| Fault::bad_request(format!("?after= is the last CIDR that you have: {e}")))
}

fn limit(call: &Call) -> Result<usize, Fault> {
    match call.query("limit").map(str::parse) {
        None => Ok(usize::MAX),
        Some(Ok(limit)) if limit > 0 => Ok(limit),
        Some(_) => Err(Fault::bad_request("?limit= is a number from 1")),
    }
}

/// The rest of a list.
struct Pages {
    firewall: Arc<Firewall>,
    policy: Policy,
    lines: bool,
    filter: Option<TagFilter>,
    /// Whether entries have their owners.
    owners: bool,
    after: Option<Cidr>,
    left: usize,
    started: bool,
    done: bool,
}

impl Pages {
    /// The next piece of the body.
    fn page(&mut self) -> Vec<u8> {
        let want = PAGE.min(self.left);
        let filter = self.filter.as_ref();
        let entries = if self.owners {
            (self.firewall).page_with_owners(self.policy, self.after, want, filter)
        } else {
            self.firewall.page(self.policy, self.after, want, filter)
        };
        self.left -= entries.len();
        self.after = entries.last().map(|entry| entry.cidr).or(self.after);
        self.done = entries.len() < want || self.left == 0;
        let mut out = Vec::with_capacity(entries.len() * entry_json::ENTRY_MAX / 2 + 2);
        if self.lines {
            write_lines(&mut out, &entries);
        } else {
            self.write_array(&mut out, &entries);
        }
        self.started = true;
        out
    }

    fn write_array(&self, out: &mut Vec<u8>, entries: &[Entry]) {
        if !self.started {
            out.push(b'[');
        }
        for (i, entry) in entries.iter().enumerate() {
            if self.started || i > 0 {
                out.push(b',');
            }
            entry_json::write(out, entry);
        }
        if self.done {
            out.push(b']');
        }
    }
}

fn write_lines(out: &mut Vec<u8>, entries: &[Entry]) {
    for entry in entries {
        entry_json::write(out, entry);
        out.push(b'\n');
    }
}

impl Iterator for Pages {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.done {
            return None;
        }
        Some(self.page().into())
    }
}
