//! With a script in place of journalctl, and with the real one over a journal of our own where it can be made.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread::JoinHandle,
};

use super::*;
use crate::{Figures, figures::Counters, testing::Seen};

struct Running {
    seen: Seen,
    stop: Stop,
    counters: Arc<Counters>,
    thread: JoinHandle<io::Result<()>>,
}

impl Running {
    fn start(dir: &Path, program: PathBuf, matches: &[&str], catch_up: Duration) -> Self {
        let (seen, output) = Seen::output();
        let counters = Arc::clone(&output.counters);
        let options = Options {
            journalctl: program,
            catch_up,
            ..Options::new(dir.to_owned())
        };
        let matches = matches.iter().map(|one| (*one).to_owned()).collect();
        let mut journal = Journal::new(matches, &options, dir.join("j.tail.json"), output).unwrap();
        let stop = Stop::new().unwrap();
        let asked = stop.clone();
        let thread = std::thread::spawn(move || journal.run(&asked));
        Self {
            seen,
            stop,
            counters,
            thread,
        }
    }

    fn end(self) -> (crate::testing::Got, Figures) {
        self.stop.stop();
        self.thread.join().unwrap().unwrap();
        (self.seen.get(), self.counters.figures())
    }
}

/// A journalctl that appends its arguments to `args` and then runs `body`.
fn script(dir: &Path, body: &str) -> PathBuf {
    let path = dir.join("journalctl");
    let text = format!(
        "#!/bin/sh\ncd {}\necho \"$@\" >> args\n{body}\n",
        dir.display()
    );
    // Written under another name and renamed: a file that is open for writing cannot be run.
    let aside = dir.join("aside");
    fs::write(&aside, text).unwrap();
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&aside, &path).unwrap();
    path
}

fn arguments(dir: &Path) -> Vec<String> {
    let text = fs::read_to_string(dir.join("args")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

const HOUR: Duration = Duration::from_secs(3_600);
const ONE: &str =
    r#"printf '__CURSOR=s=%s\nSYSLOG_IDENTIFIER=sshd\nMESSAGE=line %s\n\n' "$n" "$n""#;

#[test]
fn a_child_that_ends_is_started_again_behind_the_last_entry() {
    let dir = tempfile::tempdir().unwrap();
    let body = format!("n=$(wc -l < args); {ONE}; [ $n = 1 ] && exit 1; exec sleep 1000");
    let running = Running::start(
        dir.path(),
        script(dir.path(), &body),
        &["_SYSTEMD_UNIT=ssh.service"],
        HOUR,
    );
    running
        .seen
        .wait_for(|got| got.live == ["line 1", "line 2"]);
    let (got, figures) = running.end();
    assert_eq!((got.names, got.open), (vec!["sshd".to_owned()], 0));
    assert_eq!((figures.lines, figures.errors), (2, 1));
    let asked = arguments(dir.path());
    assert!(asked[0].contains("--lines=0") && asked[0].ends_with("-- _SYSTEMD_UNIT=ssh.service"));
    assert!(
        asked[1].contains("--no-tail --after-cursor=s=1"),
        "{asked:?}"
    );
    // The next run goes on behind the second.
    let running = Running::start(dir.path(), script(dir.path(), &body), &[], HOUR);
    running.seen.wait_for(|got| got.live == ["line 3"]);
    running.end();
    assert!(arguments(dir.path())[2].contains("--after-cursor=s=2"));
}

#[test]
fn a_cursor_that_is_refused_is_given_up_for_the_end() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("j.tail.json"),
        format!(r#"{{"cursor":"s=9","taken":{}}}"#, unix_time().as_secs()),
    )
    .unwrap();
    let body = format!(
        r#"case "$*" in *after-cursor*) echo 'Failed to seek to cursor: Invalid argument' >&2; exit 1;; esac
        n=new; {ONE}; exec sleep 1000"#
    );
    let running = Running::start(dir.path(), script(dir.path(), &body), &[], HOUR);
    running.seen.wait_for(|got| got.live == ["line new"]);
    running.end();
    let asked = arguments(dir.path());
    assert_eq!(asked.len(), 2);
    assert!(asked[1].contains("--lines=0"));
}

#[test]
fn after_a_long_pause_entries_are_read_since_the_catch_up() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(
        dir.path().join("j.tail.json"),
        r#"{"cursor":"s=9","taken":1000}"#,
    )
    .unwrap();
    let running = Running::start(
        dir.path(),
        script(dir.path(), &format!("n=1; {ONE}; exec sleep 1000")),
        &[],
        HOUR,
    );
    running.seen.wait_for(|got| got.live.len() == 1);
    running.end();
    assert!(arguments(dir.path())[0].contains("--no-tail --since=@"));
}

#[test]
fn old_entries_come_late_and_the_lag_ends_with_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let body = format!(
        r"printf '__CURSOR=a\n__REALTIME_TIMESTAMP=1000000\nMESSAGE=old\n\n'
        printf '__CURSOR=b\n__REALTIME_TIMESTAMP={}000000\nMESSAGE=new\n\n'
        printf '__CURSOR=c\n__REALTIME_TIMESTAMP=1000000\nMESSAGE=older\n\n'; exec sleep 1000",
        unix_time().as_secs()
    );
    let running = Running::start(dir.path(), script(dir.path(), &body), &[], HOUR);
    running
        .seen
        .wait_for(|got| got.late == ["old", "older"] && got.live == ["new"]);
    let lag = || running.counters.figures().lag;
    let until = Instant::now() + Duration::from_secs(20);
    while lag() > Duration::ZERO {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(10));
    }
    running.end();
}

#[test]
fn the_child_is_gone_after_the_stop_and_own_messages_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let body = format!(
        r"echo $$ > pid; printf '__CURSOR=a\n_PID={}\nMESSAGE=own\n\n'; n=1; {ONE}; exec sleep 1000",
        std::process::id()
    );
    let running = Running::start(dir.path(), script(dir.path(), &body), &[], HOUR);
    running.seen.wait_for(|got| got.live == ["line 1"]);
    let pid = fs::read_to_string(dir.path().join("pid")).unwrap();
    let process = PathBuf::from(format!("/proc/{}", pid.trim()));
    assert!(process.exists());
    running.end();
    assert!(!process.exists());
}

#[test]
fn output_that_is_no_journal_and_a_program_that_is_missing_are_errors_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    for program in [
        script(dir.path(), "yes; exit 0"),
        PathBuf::from("/nonexistent/journalctl"),
    ] {
        let running = Running::start(dir.path(), program, &[], HOUR);
        while running.counters.figures().errors == 0 {
            std::thread::yield_now();
        }
        let (got, _) = running.end();
        assert!(got.live.is_empty());
    }
}

#[test]
fn matches_are_no_options_and_no_paths() {
    for good in ["_SYSTEMD_UNIT=ssh.service", "SYSLOG_IDENTIFIER=a b=c", "+"] {
        assert!(is_match(good), "{good}");
    }
    for bad in [
        "--file=/etc/shadow",
        "-f",
        "/usr/sbin/sshd",
        "unit=x",
        "=x",
        "",
    ] {
        assert!(!is_match(bad), "{bad}");
    }
}

/// A journal of ten entries, every second of ssh.service, the third with a newline. `None` if it cannot be made here.
fn real_journal(dir: &Path) -> Option<PathBuf> {
    let remote = std::env::var_os("SYSTEMD_JOURNAL_REMOTE").map_or_else(
        || PathBuf::from("/usr/lib/systemd/systemd-journal-remote"),
        PathBuf::from,
    );
    let version = |program: &Path| {
        let mut command = Command::new(program);
        command.arg("--version").stdout(Stdio::null()).status()
    };
    version(&remote)
        .and(version(Path::new("journalctl")))
        .ok()?;
    let export: Vec<u8> = (0..10).flat_map(journal_entry).collect();
    fs::write(dir.join("export"), export).unwrap();
    let file = dir.join("one.journal");
    let mut make = Command::new(&remote);
    make.arg(format!("--output={}", file.display()))
        .arg(dir.join("export"));
    assert!(make.status().unwrap().success());
    Some(file)
}

fn journal_entry(n: u64) -> Vec<u8> {
    let unit = if n.is_multiple_of(2) {
        "ssh.service"
    } else {
        "cron.service"
    };
    let message = if n == 2 {
        let text = b"two\nlines";
        [
            b"MESSAGE\n".as_slice(),
            &(text.len() as u64).to_le_bytes(),
            text,
            b"\n",
        ]
        .concat()
    } else {
        format!("MESSAGE=message {n}\n").into_bytes()
    };
    let time = (unix_time().as_secs() - 1) * 1_000_000 + n;
    let head = format!(
        "__REALTIME_TIMESTAMP={time}\n__MONOTONIC_TIMESTAMP={n}\n_BOOT_ID=0123456789abcdef0123456789abcdef\n\
         _SYSTEMD_UNIT={unit}\nSYSLOG_IDENTIFIER=sshd\n_PID=1\n"
    );
    [head.as_bytes(), &message, b"\n"].concat()
}

#[test]
fn the_real_journalctl_gives_the_entries_of_a_journal() {
    let dir = tempfile::tempdir().unwrap();
    let Some(file) = real_journal(dir.path()) else {
        println!("skipped: no systemd-journal-remote or no journalctl");
        return;
    };
    let body = format!("exec journalctl --file={} \"$@\"", file.display());
    let state = dir.path().join("j.tail.json");
    fs::write(&state, r#"{"cursor":"s=9","taken":1000}"#).unwrap();
    let program = script(dir.path(), &body);
    let unit = "_SYSTEMD_UNIT=ssh.service";
    let running = Running::start(dir.path(), program.clone(), &[unit], HOUR);
    let expected = [
        "message 0",
        "two\nlines",
        "message 4",
        "message 6",
        "message 8",
    ];
    running.seen.wait_for(|got| got.live == expected);
    running.end();
    // Behind the last entry, the next run has nothing to tell.
    let cursor = load(&state).cursor;
    assert!(cursor.contains("i="), "{cursor}");
    let mut child = Child::start(&program, &[unit.to_owned()], &From::Cursor(cursor)).unwrap();
    let stop = Stop::new().unwrap();
    let mut buffer = [0; 64];
    let more = child.read(&stop, Duration::from_millis(500), &mut buffer);
    assert_eq!(more.unwrap(), None);
    drop(child);
    let refused = Child::start(&program, &[], &From::Cursor("nonsense".to_owned())).unwrap();
    let told = refused.end();
    assert!(told.to_lowercase().contains("cursor"), "{told}");
}
