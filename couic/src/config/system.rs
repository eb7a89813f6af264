//! The keys for this machine: interfaces, owner, limits, log, socket.

use std::{collections::BTreeSet, path::PathBuf};

use couic_settings::Section;
use nix::unistd::{Group, User};

use couic_common::RailError;
use couic_files::Account;
use couic_firewall::{dataplane::Limits, guard::Rails};

/// `IFNAMSIZ` less its terminator.
const LONGEST_INTERFACE: usize = 15;

/// `sun_path` less its terminator.
const LONGEST_SOCKET: usize = 107;

/// The most entries per key. [`Limits::check`] checks both limits together.
const MOST_ENTRIES: u64 = 1 << 24;

/// `[logging]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// The directory of log files.
    pub dir: PathBuf,
    /// The rotation of log files.
    pub rotation: Rotation,
    /// The number of log files to keep.
    pub max_log_files: usize,
    /// The size of a dated log file from which another one follows.
    pub max_file_mib: u64,
    /// Text or JSON.
    pub format: LogFormat,
    /// The lowest severity that is logged.
    pub level: LogLevel,
    /// Whether to log to standard output, too.
    pub stdout: bool,
    /// Whether there is an audit log.
    pub audit: bool,
    /// The size of all its files together.
    pub audit_max_mib: u64,
}

/// The rotation of log files, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// At midnight.
    Daily,
    /// At midnight before Sunday.
    Weekly,
    /// No rotation.
    Never,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one object per line.
    Json,
}

/// The least severe lines that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Errors.
    Error,
    /// Warnings too.
    Warn,
    /// Changes and milestones too.
    Info,
    /// Details for troubleshooting.
    Debug,
    /// All.
    Trace,
}

/// Valid by the kernel's `dev_valid_name`, which accepts the `*` and `?` of patterns.
fn interface_name(text: &str) -> bool {
    (1..=LONGEST_INTERFACE).contains(&text.len())
        && text != "."
        && text != ".."
        && !text
            .bytes()
            .any(|b| b == b'/' || b == b':' || b == 0 || b.is_ascii_whitespace() || b == 0x0b)
}

pub(super) fn ifaces(root: &mut Section<'_>) -> Option<Vec<String>> {
    const KEY: &str = "ifaces";
    let Some(line) = root.get(KEY).map(|f| f.line) else {
        let message =
            "is missing: name the interfaces to filter on, as in [\"eth0\"], or run couicctl setup";
        return root.mistake(None, KEY, message.to_owned());
    };
    let names = root.strings(KEY)?;
    if names.is_empty() {
        let message =
            "is empty: name at least one interface, as in [\"eth0\"], or run couicctl setup";
        return root.mistake(Some(line), KEY, message.to_owned());
    }
    let mut seen = BTreeSet::new();
    let mut fine = true;
    for (name, line) in &names {
        let problem = if name.contains(',') {
            "names several at once: write one string for each, as in [\"eth0\", \"eth1\"]"
        } else if name.contains('$') {
            "is not replaced: variables of a shell mean nothing in this file, write the name itself"
        } else if !interface_name(name) {
            "cannot be the name of an interface"
        } else if seen.insert(name) {
            continue;
        } else {
            "is named twice"
        };
        root.mistake::<()>(Some(*line), KEY, format!("{name:?} {problem}"));
        fine = false;
    }
    fine.then(|| names.into_iter().map(|(name, _)| name).collect())
}

pub(super) fn owner(root: &mut Section<'_>) -> Option<Account> {
    let user = account(root, "user", |name| {
        Ok(User::from_name(name)?.map(|u| u.uid.as_raw()))
    });
    let group = account(root, "group", |name| {
        Ok(Group::from_name(name)?.map(|g| g.gid.as_raw()))
    });
    let ((user, uid), (group, gid)) = (user?, group?);
    Some(Account {
        user,
        group,
        uid,
        gid,
    })
}

fn account(
    root: &mut Section<'_>,
    key: &'static str,
    find: impl Fn(&str) -> nix::Result<Option<u32>>,
) -> Option<(String, u32)> {
    let (name, line) = match root.string(key).ok()? {
        Some((name, line)) => (name, Some(line)),
        None => ("couic", None),
    };
    let message = match find(name) {
        Ok(Some(id)) => return Some((name.to_owned(), id)),
        Ok(None) => format!(
            "there is no {key} {name:?} on this machine: run {key}add --system {name}, or name another"
        ),
        Err(e) => format!("the {key} {name:?} cannot be looked up: {e}"),
    };
    root.mistake(line, key, message)
}

pub(super) fn limits(root: &mut Section<'_>) -> Option<Limits> {
    let default = Limits::default();
    let mut section = root.table("limits");
    let mut entries = |key, default: usize| {
        let found = section.int(key, 1..=MOST_ENTRIES, u64::try_from(default).ok());
        found.and_then(|n| usize::try_from(n).ok())
    };
    let drop_entries = entries("drop_entries", default.drop_entries);
    let ignore_entries = entries("ignore_entries", default.ignore_entries);
    let limits = drop_entries
        .zip(ignore_entries)
        .map(|(drop_entries, ignore_entries)| Limits {
            drop_entries,
            ignore_entries,
        });
    let limits = limits.and_then(|limits| match limits.check() {
        Ok(()) => Some(limits),
        Err(e) => section.mistake(None, "drop_entries", e.to_string()),
    });
    section.finish();
    limits
}

/// Whether hits are counted per rule.
pub(super) fn statistics(root: &mut Section<'_>) -> Option<bool> {
    let mut section = root.table("statistics");
    let per_rule = section.bool("per_rule", false);
    section.finish();
    per_rule
}

/// Whether rules survive a restart, and whether the filter stays attached when the daemon ends.
pub(super) fn state(root: &mut Section<'_>) -> Option<(bool, bool)> {
    let mut section = root.table("state");
    let persist = section.bool("persist", true);
    let choices = [("auto", true), ("never", false)];
    let keep_filter = section.one_of("keep_filter", &choices, true);
    section.finish();
    persist.zip(keep_filter)
}

pub(super) fn logging(root: &mut Section<'_>) -> Option<Logging> {
    let mut section = root.table("logging");
    let dir = section.path("dir", "/var/log/couic");
    let rotations = [
        ("daily", Rotation::Daily),
        ("weekly", Rotation::Weekly),
        ("never", Rotation::Never),
    ];
    let rotation = section.one_of("rotation", &rotations, Rotation::Daily);
    let max_log_files = section.int("max_log_files", 1..=10_000, Some(7));
    let max_file_mib = section.int("max_file_mib", 1..=1_000_000, Some(100));
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = section.one_of("format", &formats, LogFormat::Text);
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    let level = section.one_of("level", &levels, LogLevel::Info);
    let stdout = section.bool("stdout", true);
    let audit = section.bool("audit", true);
    let audit_max_mib = section.int("audit_max_mib", 4..=1_000_000, Some(256));
    section.finish();
    Some(Logging {
        dir: dir?,
        rotation: rotation?,
        max_log_files: usize::try_from(max_log_files?).ok()?,
        max_file_mib: max_file_mib?,
        format: format?,
        level: level?,
        stdout: stdout?,
        audit: audit?,
        audit_max_mib: audit_max_mib?,
    })
}

pub(super) fn socket(root: &mut Section<'_>) -> Option<PathBuf> {
    let mut section = root.table("server");
    let socket = section.path("socket", "/var/run/couic/couic.sock");
    let line = section.get("socket").map(|f| f.line);
    let socket = socket.and_then(|path| {
        let length = path.as_os_str().len();
        if path.file_name().is_none() || path.to_string_lossy().ends_with('/') {
            return section.mistake(line, "socket", "must name a file".to_owned());
        }
        if length > LONGEST_SOCKET {
            let message = format!(
                "has {length} bytes, but a socket's path has at most {LONGEST_SOCKET}: choose a shorter one"
            );
            return section.mistake(line, "socket", message);
        }
        Some(path)
    });
    section.finish();
    socket
}

/// `[guard]`.
#[derive(Clone, Copy, Debug)]
pub struct GuardRails {
    /// Whether they hold for requests that do not ask for them.
    pub enforce: bool,
    /// Those that hold for none.
    pub off: Rails,
}

pub(super) fn guard(root: &mut Section<'_>) -> Option<GuardRails> {
    let mut section = root.table("guard");
    let enforce = section.bool("enforce", false);
    let off = rails(&mut section, "off");
    section.finish();
    Some(GuardRails {
        enforce: enforce?,
        off: off?,
    })
}

pub(super) fn plugins(root: &mut Section<'_>) -> Option<PathBuf> {
    let mut section = root.table("plugins");
    let dir = section.path("dir", "/usr/lib/couic/plugins");
    section.finish();
    dir
}

/// Names of guard rails.
fn rails(section: &mut Section<'_>, key: &'static str) -> Option<Rails> {
    if section.get(key).is_none() {
        return Some(Rails::default());
    }
    let mut fine = true;
    let mut rails = Rails::default();
    for (text, line) in section.strings(key)? {
        match text.parse() {
            Ok(rail) => rails.insert(rail),
            Err(error) => {
                let error: RailError = error;
                section.mistake::<()>(Some(line), key, error.to_string());
                fine = false;
            }
        }
    }
    fine.then_some(rails)
}
