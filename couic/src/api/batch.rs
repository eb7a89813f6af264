//! Many changes in one call, each validated separately, applied while the body is received.
//!
//! NDJSON may be of any length: memory holds one network read and the jobs of one chunk. A line that cannot be parsed
//! is one failed job. If the body breaks off in the middle, applied jobs stay applied, and the error counts them. A JSON
//! array is read whole first, so one that is no array of jobs changes nothing. So is NDJSON that is to be
//! confirmed: it has the limit of JSON bodies.

use std::pin::Pin;

use couic_common::{BatchJob, ByName, ErrorCode};
use couic_httpd::Chunks;
use warp::http::HeaderMap;

use super::{
    answer::Outcome,
    body::{Body, Content, next_chunk, read_all},
    call::Call,
    dispatch::{announced, blocking},
    error::Fault,
    jobs::Jobs,
};

/// The longest line.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// `POST /v1/{policy}/batch`.
pub(super) async fn run<S: Chunks>(call: Call, headers: &HeaderMap, body: Pin<&mut S>) -> Outcome {
    let content = Content::of(headers)?;
    if content == Content::NdJson && call.confirm_within.is_none() {
        return lines(Jobs::new(&call)?, body).await;
    }
    let bytes = read_all(body, announced(headers), call.who.as_deref()).await?;
    if content == Content::NdJson {
        // A confirmable batch is bounded anyway, and each chunk of it waits for the disk.
        return blocking(move || lines_at_once(&call, &bytes)).await;
    }
    blocking(move || array(&call, &Body { content, bytes })).await
}

fn array(call: &Call, body: &Body) -> Outcome {
    if matches!(body.content, Content::List | Content::Other) {
        let message = "a batch is application/json or application/x-ndjson: see Content-Type";
        return Err(Fault::bad_request(message));
    }
    let wanted: Vec<ByName<BatchJob>> = body.json()?;
    let mut jobs = Jobs::new(call)?;
    for ByName(job) in wanted {
        jobs.push(job);
        if jobs.is_full() {
            jobs.apply();
        }
    }
    jobs.finish()
}

fn lines_at_once(call: &Call, bytes: &[u8]) -> Outcome {
    let mut jobs = Jobs::new(call)?;
    for line in bytes.split(|b| *b == b'\n') {
        read_line(&mut jobs, checked(line));
        if jobs.is_full() {
            jobs.apply();
        }
    }
    jobs.finish()
}

async fn lines<S: Chunks>(mut jobs: Jobs<'_>, mut body: Pin<&mut S>) -> Outcome {
    let mut splitter = Splitter::default();
    loop {
        let chunk = match next_chunk(body.as_mut()).await {
            Ok(Some(chunk)) => chunk,
            Ok(None) => break,
            Err(fault) => return Err(jobs.broken_off(fault)),
        };
        splitter.feed(&chunk, |line| {
            read_line(&mut jobs, line);
            if jobs.is_full() {
                jobs.apply();
            }
        });
        // Received jobs take effect before the next read. A read is a millisecond of work or so: yield to the other
        // tasks of this thread.
        jobs.apply();
        tokio::task::yield_now().await;
    }
    if let Some(line) = splitter.last() {
        read_line(&mut jobs, line);
    }
    jobs.finish()
}

fn read_line(jobs: &mut Jobs<'_>, line: Line<'_>) {
    match line {
        Line::TooLong => {
            let message = format!("the line is longer than {} KiB", MAX_LINE / 1024);
            jobs.fail(None, ErrorCode::BadRequest, message);
        }
        Line::Text(line) if line.iter().all(u8::is_ascii_whitespace) => {}
        Line::Text(line) => match serde_json::from_slice(line) {
            Ok(ByName(job)) => jobs.push(job),
            Err(error) => {
                let message = format!("the line cannot be read: {error}");
                jobs.fail(None, ErrorCode::BadRequest, message);
            }
        },
    }
}

/// Finds lines in pieces of text that are cut anywhere.
#[derive(Default)]
pub(super) struct Splitter {
    /// The start of an incomplete line.
    begun: Vec<u8>,
    /// Whether that line is too long, so that its rest is skipped.
    skipping: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    Text(&'a [u8]),
    TooLong,
}

impl Splitter {
    /// Hands out every line that ends in this piece, without its end.
    pub(super) fn feed(&mut self, mut piece: &[u8], mut with: impl FnMut(Line<'_>)) {
        while let Some(end) = line_end(piece) {
            let (line, behind) = (&piece[..end], &piece[end + 1..]);
            piece = behind;
            if self.begun.is_empty() && !self.skipping {
                with(checked(line));
                continue;
            }
            self.keep(line);
            if let Some(line) = self.last() {
                with(line);
            }
            self.begun.clear();
            self.skipping = false;
        }
        self.keep(piece);
    }

    /// The text after the last line end.
    pub(super) fn last(&self) -> Option<Line<'_>> {
        if self.skipping {
            Some(Line::TooLong)
        } else if self.begun.is_empty() {
            None
        } else {
            Some(Line::Text(&self.begun))
        }
    }

    fn keep(&mut self, text: &[u8]) {
        self.skipping |= self.begun.len() + text.len() > MAX_LINE;
        if self.skipping {
            self.begun.clear();
        } else {
            self.begun.extend_from_slice(text);
        }
    }
}

fn line_end(text: &[u8]) -> Option<usize> {
    text.iter().position(|byte| *byte == b'\n')
}

fn checked(line: &[u8]) -> Line<'_> {
    if line.len() > MAX_LINE {
        Line::TooLong
    } else {
        Line::Text(line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(pieces: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        let own = |line: Line<'_>| match line {
            Line::Text(text) => Some(text.to_vec()),
            Line::TooLong => None,
        };
        let mut splitter = Splitter::default();
        let mut found = Vec::new();
        for piece in pieces {
            splitter.feed(piece, |line| found.push(own(line)));
        }
        found.extend(splitter.last().map(own));
        found
    }

    #[test]
    fn long_lines_are_skipped_whole_and_alone() {
        let fits = vec![b'x'; MAX_LINE];
        let mut long = vec![b'x'; MAX_LINE + 1];
        long.push(b'\n');
        assert_eq!(
            split(&[&fits, b"\n", b"a\n"]),
            [Some(fits.clone()), Some(b"a".to_vec())]
        );
        assert_eq!(split(&[&long, b"a\n"]), [None, Some(b"a".to_vec())]);
        assert_eq!(
            split(&[&long[..9], &long[9..], b"a"]),
            [None, Some(b"a".to_vec())]
        );
        assert_eq!(
            split(&[&fits, b"y", b"more", b"\na"]),
            [None, Some(b"a".to_vec())]
        );
        assert_eq!(split(&[&fits, b"y"]), [None]);
    }

    proptest! {
        /// However a text is cut into pieces, its lines are those of the whole.
        #[test]
        fn cuts_do_not_matter(text in "[ab\n]{0,60}", cuts in proptest::collection::vec(0usize..60, 0..8)) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            let mut expected: Vec<_> = text.split('\n').map(|l| Some(l.as_bytes().to_vec())).collect();
            if expected.last() == Some(&Some(Vec::new())) {
                expected.pop();
            }
            prop_assert_eq!(split(&pieces), expected);
        }
    }
}
