//! Totals of the lines that the senders printed and the requests that the servers received, over all kills.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use couic_plugin_api::Report;
use couic_testkit::{Reply, Request, StandIn, script};
use serde_json as json;

use crate::{PATIENCE, Sender, spawn};

const RETRY_AFTER: Duration = Duration::from_millis(700);

/// How many notifications a round takes in at least, however slow the disk.
const LOAD: usize = 30;

/// The output of a sender before it was killed.
#[derive(Default)]
struct Said {
    attempts: usize,
    /// The numbers of the attempt that has no outcome yet.
    pending: Vec<u64>,
    delivered: Vec<Vec<u64>>,
    pauses: usize,
    /// How many of its deliveries are noted on the disk.
    deliveries_noted: usize,
    /// The last pause that is noted there.
    pause_noted: usize,
}

/// The totals of all rounds.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) acknowledged: HashSet<u64>,
    pub(super) delivered: HashMap<u64, u32>,
    /// Those with their delivery noted on the disk: not to be delivered once more.
    pub(super) noted: HashSet<u64>,
    pub(super) again: usize,
    pub(super) early: usize,
    pub(super) pauses: usize,
    /// Until when no attempt may begin, across a restart too, in Unix milliseconds.
    quiet: Option<u128>,
}

impl Tally {
    /// Runs a sender against a server that fails first, then works, then asks for patience, and kills it meanwhile.
    pub(super) fn round(&mut self, dir: &str, round: u64) {
        let limited = || Reply::status(429).with("retry-after", "0.7");
        let mut replies = vec![
            Reply::status(503),
            Reply::Reset,
            Reply::Hang,
            Reply::Close,
            limited(),
        ];
        replies.extend(vec![
            Reply::status(200);
            20 * (usize::try_from(round).unwrap() + 1)
        ]);
        replies.push(limited());
        let server = StandIn::tcp(script(replies, Reply::status(200)));
        let first = self
            .acknowledged
            .iter()
            .max()
            .map_or(1, |last| last + 1_000);
        let sender = spawn(dir, &server.url("/"), first, true);
        let mut said = Said::default();
        let end = Instant::now() + Duration::from_millis(1_500 + 170 * round);
        let enough = self.acknowledged.len() + LOAD;
        while self.acknowledged.len() < enough {
            let line = sender.lines.recv_timeout(PATIENCE).unwrap();
            self.hear(&line, &mut said);
        }
        while let Ok(line) = sender
            .lines
            .recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            self.hear(&line, &mut said);
        }
        self.kill(sender, &mut said);
        self.count(&server, said);
    }

    /// Kills it, and reads its output up to then.
    fn kill(&mut self, mut sender: Sender, said: &mut Said) {
        sender.child.kill().unwrap();
        sender.child.wait().unwrap();
        while let Ok(line) = sender.lines.recv() {
            self.hear(&line, said);
        }
    }

    /// A line is written at once, so that a kill cuts none off.
    fn hear(&mut self, line: &str, said: &mut Said) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["attempt", at, numbers] => {
                said.attempts += 1;
                said.pending = json::from_str(numbers).unwrap();
                let again = said.pending.iter().filter(|n| self.noted.contains(n));
                self.again += again.count();
                let at = at.parse::<u128>().unwrap();
                self.early += usize::from(self.quiet.take().is_some_and(|until| at < until));
            }
            ["delivered"] => said.delivered.push(std::mem::take(&mut said.pending)),
            ["limited", at] => {
                said.pauses += 1;
                self.quiet = Some(at.parse::<u128>().unwrap() + RETRY_AFTER.as_millis());
            }
            ["safe", number, delivered, pause] => {
                self.acknowledged.insert(number.parse().unwrap());
                said.deliveries_noted = delivered.parse().unwrap();
                said.pause_noted = said.pause_noted.max(pause.parse().unwrap());
            }
            _ => {}
        }
    }

    /// Counts each number of a request that was answered with success.
    fn receive(&mut self, request: &Request) {
        let reports: Vec<Report> = json::from_slice(&request.body).unwrap();
        for report in reports {
            *self.delivered.entry(report.entry.creation).or_default() += 1;
        }
    }

    /// Counts what was delivered, and takes over what was noted on the disk.
    fn count(&mut self, server: &StandIn, said: Said) {
        let exchanges = server.exchanges();
        let (requests, attempts) = (exchanges.len(), said.attempts);
        assert!(
            requests <= attempts,
            "{requests} requests in {attempts} attempts"
        );
        for (request, reply) in &exchanges {
            if matches!(reply, Reply::Answer { status: 200, .. }) {
                self.receive(request);
            }
        }
        // A pause that was not persisted before the kill does not count.
        self.quiet = self.quiet.filter(|_| said.pause_noted == said.pauses);
        self.pauses += said.pauses;
        let noted = said.delivered.into_iter().take(said.deliveries_noted);
        self.noted.extend(noted.flatten());
    }

    /// Lets a last sender deliver what is left.
    pub(super) fn settle(&mut self, dir: &str) {
        let server = StandIn::tcp(|_| Reply::status(200));
        let sender = spawn(dir, &server.url("/"), 0, false);
        while self.lost() > 0
            && let Some(request) = server.try_next(PATIENCE)
        {
            self.receive(&request);
        }
        self.kill(sender, &mut Said::default());
    }

    pub(super) fn lost(&self) -> usize {
        let lost = |number: &&u64| !self.delivered.contains_key(number);
        self.acknowledged.iter().filter(lost).count()
    }
}
