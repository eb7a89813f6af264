//! Rules that could not be sent, kept in a file between two runs.
//!
//! The file is whole or absent, and its checksum tells a damaged one: that is renamed and nothing of it is used, since a
//! damaged rule might ban the wrong network.

use std::{
    fmt, fs,
    io::{self, Write as _},
    path::Path,
};

use couic_common::{counted, unix_seconds};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    Limits,
    held::{CHUNK, Due, Held, Slot},
    rule::{Key, NEVER, Texts},
    state::State,
};

/// The first word of the file, with its version.
const MAGIC: &str = "couic-inject-1";

/// The length of the first line: `MAGIC COUNT CHECKSUM`, with ten and eight digits.
const HEAD: usize = MAGIC.len() + 21;

/// The largest file.
const LARGEST: u64 = 512 << 20;

/// The mode of the file.
const MODE: u32 = 0o600;

/// Rules and removals that wait for a daemon.
pub struct Pending(Held);

/// What a file held.
#[derive(Debug)]
pub struct Loaded {
    /// Its rules, but for those that have ended.
    pub pending: Pending,
    /// That it was damaged and where it is now, for the operator. Logged already.
    pub damage: Option<String>,
}

/// A line of the file. A ban that follows a removal is two lines.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    cidr: String,
    tag: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ban: Option<Ban>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ban {
    /// Unix seconds; 0 = never.
    until: u64,
    kind: String,
    detail: String,
    /// JSON as text, as it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extra: Option<String>,
}

impl Pending {
    pub(crate) fn new(held: Held) -> Self {
        Self(held)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes them to a file of mode 0600, which replaces that of a former run. Without any, the file is removed.
    ///
    /// # Errors
    /// Those of the system; the old file is unchanged then.
    pub fn save(self, path: &Path) -> io::Result<()> {
        save(&Mutex::new(self.0), path)
    }

    /// Reads the file of a former run; a missing one is empty. A damaged one is renamed to `NAME.damaged`, nothing of it is
    /// used, and it is logged.
    ///
    /// # Errors
    /// Those of the system.
    pub fn load(path: &Path, limits: Limits) -> io::Result<Loaded> {
        let empty = || Self(Held::new(limits));
        let bytes = match couic_files::read_regular(path, LARGEST) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Loaded {
                    pending: empty(),
                    damage: None,
                });
            }
            Err(error) => return Err(error),
        };
        match parse(&bytes, limits) {
            Ok(held) => Ok(Loaded {
                pending: Self(held),
                damage: None,
            }),
            Err(why) => {
                let damage = set_aside(path, &why)?;
                Ok(Loaded {
                    pending: empty(),
                    damage: Some(damage),
                })
            }
        }
    }

    pub(crate) fn restore(self, state: &State) {
        state.held.lock().put_below(self.0, unix_seconds());
        state.wake.notify_one();
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pending").field(&self.len()).finish()
    }
}

/// Writes what is held to a file.
pub(crate) fn save(held: &Mutex<Held>, path: &Path) -> io::Result<()> {
    let (mut bytes, mut lines, mut next) = (vec![0; HEAD], 0_u64, 0);
    loop {
        let (slots, behind) = held.lock().range(next, CHUNK);
        if slots.is_empty() {
            break;
        }
        next = behind;
        for slot in &slots {
            lines += write(&mut bytes, slot)?;
        }
    }
    if lines == 0 {
        return couic_files::remove_file(path);
    }
    let (head, body) = bytes.split_at_mut(HEAD);
    let mut head = &mut *head;
    writeln!(head, "{MAGIC} {lines:010} {:08x}", crc32fast::hash(body))?;
    couic_files::replace_file(path, MODE, &bytes)
}

fn write(body: &mut Vec<u8>, slot: &Slot) -> io::Result<u64> {
    let mut line = Line {
        cidr: slot.key.cidr.to_string(),
        tag: slot.key.tag.to_string(),
        ban: None,
    };
    let mut lines = 0;
    let mut put = |line: &Line| {
        lines += 1;
        serde_json::to_writer(&mut *body, line)?;
        body.push(b'\n');
        io::Result::Ok(())
    };
    let Due::Ban { texts, released } = &slot.due else {
        put(&line)?;
        return Ok(lines);
    };
    if *released {
        put(&line)?;
    }
    line.ban = Some(Ban {
        until: if slot.end == NEVER { 0 } else { slot.end },
        kind: texts.kind.to_string(),
        detail: texts.detail.to_string(),
        extra: texts.extra.as_deref().map(str::to_owned),
    });
    put(&line)?;
    Ok(lines)
}

fn parse(bytes: &[u8], limits: Limits) -> Result<Held, String> {
    let split = bytes.iter().position(|byte| *byte == b'\n');
    let (head, body) = bytes.split_at(split.map_or(bytes.len(), |at| at + 1));
    let mut words = std::str::from_utf8(head)
        .map_err(|_| "its first line is not text")?
        .split_ascii_whitespace();
    if words.next() != Some(MAGIC) {
        return Err(format!("it does not begin with {MAGIC}"));
    }
    let count: Option<u64> = words.next().and_then(|text| text.parse().ok());
    let sum = words
        .next()
        .and_then(|text| u32::from_str_radix(text, 16).ok());
    if sum != Some(crc32fast::hash(body)) {
        return Err("its checksum is wrong".to_owned());
    }
    let (mut held, now, mut lines) = (Held::new(limits), unix_seconds(), 0);
    for text in body.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()) {
        lines += 1;
        let line: Line =
            serde_json::from_slice(text).map_err(|error| format!("rule {lines}: {error}"))?;
        let cidr = line
            .cidr
            .parse()
            .map_err(|_| format!("rule {lines}: no network"))?;
        let key = Key::new(cidr, &line.tag).map_err(|e| format!("rule {lines}: {e}"))?;
        let Some(ban) = line.ban else {
            held.remove(key);
            continue;
        };
        let texts = Texts {
            kind: ban.kind.into(),
            detail: ban.detail.into(),
            extra: ban.extra.map(Into::into),
        };
        let end = if ban.until == 0 { NEVER } else { ban.until };
        held.ban(key, end, texts, now);
    }
    if count == Some(lines) {
        Ok(held)
    } else {
        Err(format!(
            "it has {}, not as many as it says",
            counted(lines, "rule", "rules")
        ))
    }
}

fn set_aside(path: &Path, why: &str) -> io::Result<String> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    fs::rename(path, &aside)?;
    let damage = format!(
        "the file of rules that could not be sent is damaged ({why}): it is now {}, and none of its rules is sent",
        Path::new(&aside).display()
    );
    tracing::error!("{damage}");
    Ok(damage)
}
