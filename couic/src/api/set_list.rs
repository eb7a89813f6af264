//! `PUT /v1/sets/{policy}/{set}` with a list as text, which is taken apart while it is received.
//!
//! A list may be far larger than a JSON body: memory holds its networks, and not its text. It is a set as a whole, or it is
//! nothing: the first bad line ends the request.

use std::{
    pin::{Pin, pin},
    sync::LazyLock,
    time::Duration,
};

use couic_common::{Policy, SetName};
use couic_firewall::rules::{Expected, MAX_SET_FILE, SetLines};
use couic_httpd::{BodyLimits, BodyReader, Chunks, Pace};
use warp::http::{HeaderMap, StatusCode};

use super::{
    answer::Outcome,
    batch::{Line, MAX_LINE, Splitter},
    body::{Content, LIST, owner},
    call::Call,
    dispatch::{announced, blocking, receive},
    error::Fault,
    scope, sets,
};

const MIB: usize = 1024 * 1024;

/// A network takes 24 bytes: those of several million, for each client, and of an admin besides.
const LIMITS: BodyLimits = BodyLimits {
    max: 256 * MIB,
    free: 0,
    budget: 512 * MIB,
    share: 256 * MIB,
    reserve: 256 * MIB,
    silence: Duration::from_secs(30),
    wait: None,
};

static READER: LazyLock<BodyReader> = LazyLock::new(|| BodyReader::new(LIMITS));

/// A list that was received.
pub(super) struct List {
    pub(super) lines: SetLines,
    /// Whether its last line has no end.
    pub(super) is_cut: bool,
}

/// `PUT /v1/sets/{policy}/{set}`: a list, or JSON.
pub(super) async fn run<S: Chunks>(call: Call, headers: &HeaderMap, body: Pin<&mut S>) -> Outcome {
    // Before the body: one that is refused anyway is not received.
    scope::set(&call, call.set()?, call.flag("apply")?)?;
    if Content::of(headers)? != Content::List {
        let body = receive(headers, body, &call).await?;
        return blocking(move || sets::replace(&call, &body)).await;
    }
    if announced(headers).is_some_and(|length| length > MAX_SET_FILE) {
        return Err(too_large());
    }
    let most = call.api().sets.most(call.policy()?);
    let mut room = READER.room(owner(call.who.as_deref()));
    let mut reading = Reading::new(most);
    let mut body = pin!(body);
    let mut pace = Pace::new(LIMITS.silence);
    while let Some(chunk) = pace.next_chunk(body.as_mut()).await? {
        reading.feed(&chunk)?;
        room.grow(reading.list.lines.memory()).await?;
        // A chunk is a millisecond of work or so: the other tasks of this thread come in between.
        tokio::task::yield_now().await;
    }
    let list = reading.finish()?;
    blocking(move || {
        // Given back once the list is written.
        let _room = room;
        sets::put_list(&call, list)
    })
    .await
}

/// A list on its way.
struct Reading {
    list: List,
    splitter: Splitter,
    came: u64,
    read: u64,
}

impl Reading {
    fn new(most: usize) -> Self {
        let lines = SetLines::new(most);
        let is_cut = false;
        Self {
            list: List { lines, is_cut },
            splitter: Splitter::default(),
            came: 0,
            read: 0,
        }
    }

    fn feed(&mut self, chunk: &[u8]) -> Result<(), Fault> {
        let Self {
            list,
            splitter,
            came,
            read,
        } = self;
        *came += chunk.len() as u64;
        if *came > MAX_SET_FILE {
            return Err(too_large());
        }
        let mut outcome = Ok(());
        splitter.feed(chunk, |line| {
            if outcome.is_ok() {
                *read += 1;
                outcome = take(&mut list.lines, line, *read);
            }
        });
        outcome
    }

    fn finish(mut self) -> Result<List, Fault> {
        if let Some(last) = self.splitter.last() {
            self.list.is_cut = true;
            take(&mut self.list.lines, last, self.read + 1)?;
        }
        Ok(self.list)
    }
}

fn take(lines: &mut SetLines, line: Line<'_>, number: u64) -> Result<(), Fault> {
    let message = match line {
        Line::TooLong => format!("line {number} is longer than {} KiB", MAX_LINE / 1024),
        Line::Text(text) => match lines.read(text) {
            Ok(()) => return Ok(()),
            Err(bad) => {
                let text = bad.text.map_or(String::new(), |text| format!("{text}: "));
                format!("line {}: {text}{}", bad.line, bad.problem)
            }
        },
    };
    Err(Fault::invalid("line", message).closing())
}

fn too_large() -> Fault {
    let message = format!(
        "the list is larger than {} MiB, which is the most that a set may have: split it",
        MAX_SET_FILE >> 20
    );
    let status = StatusCode::PAYLOAD_TOO_LARGE;
    Fault::new(status, couic_common::ErrorCode::BadRequest, message).closing()
}

/// What `?exists=` takes for granted.
///
/// # Errors
/// 400.
pub(super) fn expected(call: &Call) -> Result<Expected, Fault> {
    match call.query("exists") {
        None => Ok(Expected::Either),
        Some("true") => Ok(Expected::There),
        Some("false") => Ok(Expected::Missing),
        Some(_) => Err(Fault::bad_request("?exists= is true or false")),
    }
}

/// The refusal of a list without entries that does not say that this is meant, as a failed download leaves one.
pub(super) fn empty(policy: Policy, set: &SetName) -> Fault {
    let message = format!(
        "the list has no entry: did a download fail? Nothing was changed. If it is meant, send the line \"# empty on purpose\" as {LIST}, or delete the set {policy}/{set}"
    );
    Fault::invalid("list", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pieces: &[&[u8]]) -> Result<List, String> {
        let mut reading = Reading::new(100);
        let told = |fault: Fault| {
            assert_eq!((fault.status.as_u16(), fault.close), (422, true));
            fault.body.message
        };
        for piece in pieces {
            reading.feed(piece).map_err(told)?;
        }
        reading.finish().map_err(told)
    }

    #[test]
    fn lines_are_those_of_the_whole_however_it_is_cut() {
        let whole =
            b"\xef\xbb\xbf# a list\r\n10.0.0.1/8 # office\n\n192.0.2.7\n192.0.2.8-192.0.2.9\n";
        for at in 0..whole.len() {
            let list = read(&[&whole[..at], &whole[at..]]).unwrap();
            assert!(!list.is_cut);
            let shown: Vec<String> = list
                .lines
                .finish()
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(shown, ["10.0.0.0/8", "192.0.2.7/32", "192.0.2.8/31"]);
        }
        let list = read(&[b"10.0.0.0/8\n192.0.2.", b"0/24"]).unwrap();
        assert!(list.is_cut);
        assert_eq!(list.lines.finish().len(), 2);
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        let long = vec![b'#'; MAX_LINE + 1];
        for (pieces, told) in [
            (
                &[&b"10.0.0.0/8\n\n1.2.3.04\n11.0"[..]][..],
                "line 3: 1.2.3.04: ",
            ),
            (
                &[b"10.0.0.0/8\n", b"1.2", b".3.4/33"],
                "line 2: 1.2.3.4/33: ",
            ),
            (&[b"secret token=x\n"], "line 1: "),
            (&[b"\n", &long], "line 2 is longer than 64 KiB"),
        ] {
            let error = read(pieces).map(drop).unwrap_err();
            assert!(
                error.starts_with(told) && !error.contains("secret"),
                "{error}"
            );
        }
    }
}
