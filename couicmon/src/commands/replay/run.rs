//! Lines to the detector, by log time.

use std::{
    collections::BTreeSet,
    mem,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use couic_detect::{
    Answer, Ban, Decision, Detector, Event, Format, JailAccount, Needs, SourceId, Unparsed,
};
use couic_tail::{Sink, StreamId, When};

use super::{clock::Clock, dates};
use crate::{
    commands::{
        Failure,
        reading::{self, Candidate, fit},
    },
    config::Config,
    local_time,
    run::Judge,
};

/// Lines by which the source of a file is chosen.
const HEAD: usize = 200;
/// Bans that are kept for the list.
const MAX_BANS: usize = 100_000;
/// The same log gives the same bans.
const SEED: u64 = 0x636f_7569_636d_6f6e;

/// A ban with its time.
pub(super) struct Banned {
    pub(super) time_ms: i64,
    pub(super) ban: Ban,
    /// Why it would not be sent, if so.
    pub(super) held: Option<String>,
    pub(super) shadow: bool,
}

/// Lines that could not be judged.
#[derive(Debug, Default)]
pub(super) struct Unread {
    pub(super) irrelevant: u64,
    pub(super) malformed: u64,
    pub(super) no_address: u64,
    pub(super) ambiguous: u64,
    /// One of them, escaped.
    pub(super) sample: Option<String>,
}

/// A replay of some files.
pub(super) struct Run {
    detector: Detector,
    sources: Vec<Source>,
    pub(super) clock: Clock,
    /// Which source each file was read as.
    pub(super) read_as: Vec<(String, String, String)>,
    pub(super) unread: Unread,
    /// If they are wanted.
    pub(super) bans: Option<Vec<Banned>>,
    /// Bans beyond [`MAX_BANS`].
    pub(super) more_bans: u64,
    /// Lines before the first one with a time.
    pub(super) unjudged: u64,
    /// Lines that tell of somebody.
    pub(super) usable: u64,
    /// What is not known about the sources that are read.
    pub(super) unknown: BTreeSet<String>,
    pub(super) failure: Option<Failure>,
}

struct Source {
    id: SourceId,
    /// What its jails look at.
    needs: Needs,
    name: String,
    format: Format,
    format_name: String,
    judge: Judge,
    /// Sets of trusted proxies that only the service knows.
    feeds: Option<String>,
}

impl Run {
    pub(super) fn new(
        config: &Config,
        candidates: &[Candidate<'_>],
        bans: bool,
    ) -> Result<Self, Failure> {
        let rules = config
            .rules()
            .ok_or_else(|| Failure::Usage("the jails are not valid".into()))?;
        let mut detector = Detector::new(rules, SEED);
        detector.keep_account();
        let source = |candidate: &Candidate<'_>| {
            let name = &candidate.source.name;
            let unread = || Failure::Usage(format!("no jail reads the source {name}"));
            let id = detector.source(name).ok_or_else(unread)?;
            Ok(Source {
                id,
                needs: detector.needs(id).ok_or_else(unread)?,
                name: name.clone(),
                format: candidate.format.clone(),
                format_name: candidate.format_name.clone(),
                judge: reading::judge(candidate.source)
                    .ok_or_else(|| Failure::Usage(format!("{name}: its proxies are not known")))?,
                feeds: reading::feeds(candidate.source),
            })
        };
        let sources = candidates
            .iter()
            .map(source)
            .collect::<Result<_, Failure>>()?;
        Ok(Self {
            detector,
            sources,
            clock: Clock::default(),
            read_as: Vec::new(),
            unread: Unread::default(),
            bans: bans.then(Vec::new),
            more_bans: 0,
            unjudged: 0,
            usable: 0,
            unknown: BTreeSet::new(),
            failure: None,
        })
    }

    pub(super) fn account(&mut self) -> Vec<JailAccount> {
        self.detector.account()
    }

    /// The source whose format fits most of these lines best.
    fn choose(&mut self, name: &str, head: &[Vec<u8>]) -> Option<usize> {
        let fits = |source: &Source| {
            let mut format = source.format.clone();
            head.iter().map(|line| fit(&mut format, line)).sum::<u32>()
        };
        let scores: Vec<u32> = self.sources.iter().map(fits).collect();
        let best = scores.iter().copied().max().filter(|best| *best > 0);
        let Some(at) = best.and_then(|best| scores.iter().position(|score| *score == best)) else {
            if !head.is_empty() {
                let formats = self
                    .sources
                    .iter()
                    .map(|s| format!("{} ({})", s.name, s.format_name));
                let formats = formats.collect::<Vec<_>>().join(", ");
                let known = couic_detect::FORMATS.join(", ");
                self.failure = Some(Failure::Usage(format!(
                    "{name}: none of its first {} lines is of {formats}; name another format with --format: {known}",
                    head.len()
                )));
            }
            return None;
        };
        let chosen = &self.sources[at];
        if let Some(feeds) = &chosen.feeds {
            let source = &chosen.name;
            self.unknown.insert(format!(
                "source {source} trusts {feeds}, whose networks only the running couicmon knows: here their addresses count as \
                 clients; write the networks into trusted_proxies to judge whom they forward"
            ));
        }
        let told = (
            name.to_owned(),
            chosen.name.clone(),
            chosen.format_name.clone(),
        );
        self.read_as.push(told);
        Some(at)
    }

    fn line(&mut self, source: usize, format: &mut Format, dates: &mut Format, line: &[u8]) {
        let Some(needs) = self.sources.get(source).map(|source| &source.needs) else {
            return;
        };
        let mut event = Event::default();
        match format.parse_for(line, needs, &mut event) {
            Ok(()) => self.event(source, &event, dates, line),
            Err(why) => self.unread(why, line),
        }
    }

    /// What a line says, or the head of one that is too long.
    fn event(&mut self, source: usize, event: &Event<'_>, dates: &mut Format, line: &[u8]) {
        let Some(source) = self.sources.get(source) else {
            return;
        };
        self.usable += 1;
        // Formats without fields do not look for a time; most logs begin with one.
        let time = event.time_ms.or_else(|| match event.peer {
            None => dates::time_ms(dates, line),
            Some(_) => None,
        });
        let Some(now) = self.clock.at(time) else {
            self.unjudged += 1;
            return;
        };
        let client = source.judge.client(event);
        let decisions = self.detector.observe(source.id, event, client, line, now);
        if !decisions.is_empty() {
            self.decided(decisions, now);
        }
    }

    fn decided(&mut self, decisions: Vec<Decision>, now: i64) {
        for decision in decisions {
            match decision {
                Decision::Ban(ban) => self.banned(ban, now, None, false),
                Decision::Shadow(ban) => self.banned(ban, now, None, true),
                Decision::Held(ban, why) => self.banned(ban, now, Some(why.to_string()), false),
                // Nobody is asked: a name of today says nothing about yesterday.
                Decision::Ask(ask) => {
                    let decisions = self.detector.answer(ask, Answer::Unknown, now);
                    self.decided(decisions, now);
                }
            }
        }
    }

    fn banned(&mut self, ban: Ban, time_ms: i64, held: Option<String>, shadow: bool) {
        let Some(bans) = &mut self.bans else {
            return;
        };
        if bans.len() == MAX_BANS {
            self.more_bans += 1;
            return;
        }
        bans.push(Banned {
            time_ms,
            ban,
            held,
            shadow,
        });
    }

    /// Why a replay of so many lines says nothing.
    pub(super) fn nothing(&self, lines: u64) -> Option<Failure> {
        if lines == 0 || self.usable > 0 {
            return None;
        }
        let read_as = self.read_as.iter();
        let read_as = read_as.map(|(file, source, format)| {
            let file = file.replace(char::is_control, "?");
            format!("{file} as source {source}, format {format}")
        });
        let read_as = read_as.collect::<Vec<_>>().join("; ");
        let Unread {
            irrelevant,
            no_address,
            ..
        } = self.unread;
        let why = if no_address > irrelevant {
            Unparsed::NoAddress
        } else if irrelevant > 0 {
            Unparsed::Irrelevant
        } else {
            Unparsed::Malformed
        };
        Some(Failure::Usage(format!(
            "no line can be used, read {read_as}: {why}; name another --preset, --source or --format; couicmon explain LINE \
             shows which fits"
        )))
    }

    fn unread(&mut self, why: Unparsed, line: &[u8]) {
        let unread = &mut self.unread;
        match why {
            Unparsed::Partial => return,
            Unparsed::Irrelevant => {
                unread.irrelevant += 1;
                return;
            }
            Unparsed::Malformed => unread.malformed += 1,
            Unparsed::NoAddress => unread.no_address += 1,
            Unparsed::Ambiguous => unread.ambiguous += 1,
        }
        let head = line.get(..200).unwrap_or(line);
        unread
            .sample
            .get_or_insert_with(|| head.escape_ascii().to_string());
    }
}

/// The lines of one file.
pub(super) struct Feed<'r> {
    run: &'r mut Run,
    name: String,
    written_ms: i64,
    state: State,
}

enum State {
    /// Its first lines are gathered to choose the source.
    Head(Vec<Vec<u8>>),
    Chosen {
        source: usize,
        format: Box<Format>,
        dates: Box<Format>,
    },
    /// No source fits.
    Nothing,
}

impl<'r> Feed<'r> {
    pub(super) fn new(run: &'r mut Run, path: &Path) -> Self {
        let written = path.metadata().and_then(|meta| meta.modified());
        let since = written
            .unwrap_or_else(|_| SystemTime::now())
            .duration_since(UNIX_EPOCH);
        Self {
            run,
            name: path.display().to_string(),
            written_ms: since.map_or(0, |since| {
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }),
            state: State::Head(Vec::new()),
        }
    }

    /// Times without a year are of the year before the last write.
    fn clocked(&self, mut format: Format) -> Box<Format> {
        format.set_clock(
            self.written_ms,
            local_time::offset_s(self.written_ms / 1_000),
        );
        Box::new(format)
    }

    fn decide(&mut self) {
        let State::Head(head) = mem::replace(&mut self.state, State::Nothing) else {
            return;
        };
        let Some(source) = self.run.choose(&self.name, &head) else {
            return;
        };
        let mut format = self.clocked(self.run.sources[source].format.clone());
        // A file may begin inside a line of a container.
        format.lost();
        let plain =
            Format::named("syslog").unwrap_or_else(|| self.run.sources[source].format.clone());
        let mut dates = self.clocked(plain);
        for line in head {
            self.run.line(source, &mut format, &mut dates, &line);
        }
        self.state = State::Chosen {
            source,
            format,
            dates,
        };
    }
}

impl Sink for Feed<'_> {
    fn open(&mut self, _stream: StreamId, _name: &str) {}

    fn line(&mut self, _stream: StreamId, line: &[u8], _when: When) {
        match &mut self.state {
            State::Chosen {
                source,
                format,
                dates,
            } => self.run.line(*source, format, dates, line),
            State::Head(head) => {
                head.push(line.to_vec());
                if head.len() == HEAD {
                    self.decide();
                }
            }
            State::Nothing => {}
        }
    }

    fn cut(&mut self, _stream: StreamId, head: &[u8], _when: When) {
        // Behind the lines that were gathered; before any of them it is as if the file began inside this line.
        if matches!(&self.state, State::Head(lines) if !lines.is_empty()) {
            self.decide();
        }
        if let State::Chosen {
            source,
            format,
            dates,
        } = &mut self.state
            && let Ok(event) = format.parse_head(head)
        {
            self.run.event(*source, &event, dates, head);
        }
    }

    fn close(&mut self, _stream: StreamId) {
        self.decide();
    }
}
