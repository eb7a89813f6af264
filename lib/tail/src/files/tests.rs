//! Rotation, restarts, storms and refusals, each driven step by step.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use tempfile::TempDir;

use super::*;
use crate::{
    Figures, STORM_KEEP, Source, TailError, start,
    testing::{Got, Seen},
};

/// A source that is moved by hand: dropping it is a kill.
struct Rig {
    files: Files,
    seen: Seen,
    stop: Stop,
}

impl Rig {
    fn with(dir: &Path, pattern: &str, change: impl FnOnce(&mut Options)) -> Self {
        let pattern = dir.join(pattern).to_str().unwrap().to_owned();
        let patterns = Patterns::new(vec![pattern]).unwrap();
        let mut options = Options::new(dir.join("state"));
        change(&mut options);
        let (seen, output) = Seen::output();
        let state = options.state_dir.join("s.tail.json");
        Self {
            files: Files::new(patterns, options, state, output).unwrap(),
            seen,
            stop: Stop::new().unwrap(),
        }
    }

    fn new(dir: &Path, pattern: &str) -> Self {
        Self::with(dir, pattern, |_| {})
    }

    fn until(&mut self, is: impl Fn(&Got) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !is(&self.seen.get()) {
            assert!(Instant::now() < end, "not in time: {:?}", self.seen.get());
            self.files.turn(&self.stop).unwrap();
        }
    }

    /// Reads everything that is there.
    fn settle(&mut self) {
        self.files.tick();
        loop {
            let [events] = self
                .stop
                .wait([self.files.watch.fd()], Duration::ZERO)
                .unwrap();
            let dirty = self.files.known.values().any(|file| file.dirty);
            if !events && !dirty && self.files.gaps.is_empty() {
                return;
            }
            self.files.turn(&self.stop).unwrap();
        }
    }

    fn live(&mut self) -> Vec<String> {
        self.settle();
        self.seen.get().live
    }

    fn figures(&self) -> Figures {
        self.files.output.counters.figures()
    }

    fn save(&mut self) {
        self.files.save();
        self.files.saver.settle();
    }

    fn end(self) -> Got {
        self.stop.stop();
        self.files.run(&self.stop).unwrap();
        self.seen.get()
    }
}

fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("state")).unwrap();
    dir
}

fn append(path: impl AsRef<Path>, text: &str) {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn truncate(path: &Path) {
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_len(0)
        .unwrap();
}

/// A first line that is long enough to tell files apart.
fn begin(name: &str) -> String {
    format!("[01/Dec/2026:06:00:00 +0000] the first line of {name}\n")
}

fn lines(name: &str, range: std::ops::Range<u32>) -> String {
    range
        .map(|n| format!("{name} line {n} with some text behind it\n"))
        .collect()
}

fn all(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[test]
fn a_first_start_reads_from_the_end_and_new_files_from_their_beginning() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    append(at("a.log"), "old\nha");
    let mut rig = Rig::new(dir.path(), "*.log");
    assert!(rig.live().is_empty());
    append(at("a.log"), "lf\nnew\n");
    assert_eq!(rig.live(), ["half", "new"]);
    append(at("b.log"), "first\n");
    assert_eq!(rig.live(), ["half", "new", "first"]);
    assert_eq!(rig.end().open, 0);
}

#[test]
fn a_renamed_file_is_read_as_long_as_its_writer_has_it() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    append(at("a.log"), "one\n");
    let mut rig = Rig::new(dir.path(), "a.log");
    rig.settle();
    let mut old = OpenOptions::new().append(true).open(at("a.log")).unwrap();
    old.write_all(b"two\n").unwrap();
    fs::rename(at("a.log"), at("a.log.1")).unwrap();
    append(at("a.log"), "three\n");
    assert_eq!(rig.live(), ["two", "three"]);
    old.write_all(b"late\n").unwrap();
    append(at("a.log"), "four\n");
    assert_eq!(rig.live()[2..], ["late", "four"]);
    assert_eq!(rig.figures().rotations, 1);
    fs::remove_file(at("a.log.1")).unwrap();
    old.write_all(b"later\n").unwrap();
    assert_eq!(rig.live()[4..], ["later"]);
}

#[test]
fn files_that_come_and_go_between_two_looks_are_read() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    let mut rig = Rig::new(dir.path(), "a.log");
    rig.settle();
    for n in 1..=4 {
        append(at("a.log"), &format!("{n}\n"));
        if n > 1 {
            fs::rename(at("a.log.1"), at(&format!("a.log.{n}"))).unwrap();
        }
        fs::rename(at("a.log"), at("a.log.1")).unwrap();
    }
    append(at("a.log"), "5\n");
    assert_eq!(rig.live(), ["1", "2", "3", "4", "5"]);
}

#[test]
fn a_truncated_file_begins_anew_whatever_its_size_and_its_copy_has_the_rest() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    let first = begin("a");
    append(at("a.log"), &first);
    let mut rig = Rig::new(dir.path(), "a.log*");
    rig.settle();
    let mut expected = String::new();
    for (round, size) in [(0, 5), (1, 50), (2, 5_000), (3, 1)] {
        // Not read before the truncation: only the copy has it.
        let before = lines(&format!("before {round}"), 0..20);
        append(at("a.log"), &before);
        if round % 2 == 0 {
            rig.settle();
        }
        fs::copy(at("a.log"), at(&format!("a.log.{round}"))).unwrap();
        truncate(&at("a.log"));
        let after = begin(&round.to_string()) + &lines(&format!("after {round}"), 0..size);
        append(at("a.log"), &after);
        expected += &before;
        expected += &after;
        let (mut got, mut wanted) = (rig.live(), all(&expected));
        got.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(got, wanted, "round {round}");
    }
    assert_eq!(rig.figures().lost_bytes, 0);
}

#[test]
fn a_copy_that_a_pattern_finds_is_not_read_twice() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    append(at("a.log"), &begin("a"));
    let mut rig = Rig::new(dir.path(), "a.log*");
    append(at("a.log"), "one\n");
    rig.settle();
    fs::copy(at("a.log"), at("a.log.1")).unwrap();
    rig.settle();
    append(at("a.log"), "two\n");
    assert_eq!(rig.live(), ["one", "two"]);
    // Another site whose log begins alike is no copy.
    fs::copy(at("a.log"), at("a.log-api")).unwrap();
    assert_eq!(rig.live().len(), 5);
}

/// Logs without times, or with a headline: the new file is no copy of the one before.
#[test]
fn a_log_that_begins_as_the_one_before_is_read_from_its_beginning() {
    let headline = "-".repeat(300) + "\n";
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    append(at("a.log"), &headline);
    let mut rig = Rig::new(dir.path(), "a.log*");
    rig.settle();
    for round in 1..=4 {
        append(at("a.log"), &format!("round {round}\n"));
        rig.settle();
        for n in (1..round).rev() {
            let to = at(&format!("a.log.{}", n + 1));
            fs::rename(at(&format!("a.log.{n}")), to).unwrap();
        }
        fs::rename(at("a.log"), at("a.log.1")).unwrap();
        append(at("a.log"), &headline);
        if round == 3 {
            rig.save();
            rig = Rig::new(dir.path(), "a.log*");
        }
    }
    append(at("a.log"), "end\n");
    // What was read before the restart is in the first rig.
    let live = rig.live();
    let read: Vec<&str> = (live.iter().map(String::as_str))
        .filter(|line| line.len() < 300)
        .collect();
    assert_eq!(read, ["round 4", "end"]);
    assert_eq!(live.len() - read.len(), 2, "{live:?}");
}

#[test]
fn a_writer_that_does_not_append_leaves_no_line_of_zeros() {
    let dir = folder();
    let path = dir.path().join("a.log");
    let mut writer = File::create(&path).unwrap();
    let mut rig = Rig::new(dir.path(), "a.log");
    let text = begin("a") + &lines("a", 0..2_000);
    writer.write_all(text.as_bytes()).unwrap();
    assert_eq!(rig.live().len(), 2_001);
    writer.set_len(0).unwrap();
    rig.settle();
    writer.write_all(b"after\n").unwrap();
    assert_eq!(rig.live()[2_001..], ["after"]);
    assert_eq!(rig.figures().cut_lines, 0);
}

#[test]
fn a_restart_goes_on_in_the_middle_of_a_line() {
    let dir = folder();
    let path = dir.path().join("a.log");
    append(&path, &begin("a"));
    let mut rig = Rig::new(dir.path(), "a.log");
    append(&path, "one\ntw");
    assert_eq!(rig.live(), ["one"]);
    rig.end();
    append(&path, "o\nthree\n");
    let mut rig = Rig::new(dir.path(), "a.log");
    assert_eq!(rig.live(), ["two", "three"]);
}

#[test]
fn a_restart_finds_files_that_were_renamed_copied_or_came_and_went() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    append(at("a.log"), &begin("a"));
    append(at("b.log"), &begin("b"));
    append(at("a.log.9"), "never\n");
    let old = SystemTime::now() - Duration::from_secs(30);
    File::options()
        .write(true)
        .open(at("a.log.9"))
        .unwrap()
        .set_modified(old)
        .unwrap();
    let mut rig = Rig::new(dir.path(), "*.log");
    append(at("a.log"), "a1\n");
    append(at("b.log"), "b1\n");
    rig.settle();
    rig.end();
    append(at("a.log"), "a2\n");
    fs::rename(at("a.log"), at("a.log.2")).unwrap();
    append(at("a.log"), "a3\n");
    fs::rename(at("a.log"), at("a.log.1")).unwrap();
    append(at("a.log"), "a4\n");
    append(at("b.log"), "b2\n");
    fs::copy(at("b.log"), at("b.log.1")).unwrap();
    truncate(&at("b.log"));
    append(at("b.log"), &lines("b", 0..100));
    let mut rig = Rig::new(dir.path(), "*.log");
    let mut got = rig.live();
    got.sort_unstable();
    let rest = lines("b", 0..100);
    let mut expected = vec!["a2", "a3", "a4", "b2"];
    expected.extend(all(&rest));
    expected.sort_unstable();
    assert_eq!(got, expected);
    rig.end();
    assert!(
        Rig::new(dir.path(), "*.log").live().is_empty(),
        "and not again"
    );
}

#[test]
fn a_file_that_is_new_to_new_patterns_is_read_from_its_end() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    append(at("a.log"), &begin("a"));
    append(at("b.txt"), "old\n");
    Rig::new(dir.path(), "*.log").end();
    append(at("a.log"), "news\n");
    assert_eq!(Rig::new(dir.path(), "*").live(), ["news"]);
}

/// As if the last checkpoint were so old.
fn age_checkpoint(dir: &Path, by: Duration) {
    let path = dir.join("state/s.tail.json");
    let mut checkpoint = resume::load(&path).unwrap();
    checkpoint.taken_ms -= u64::try_from(by.as_millis()).unwrap();
    fs::write(&path, serde_json::to_vec(&checkpoint).unwrap()).unwrap();
}

#[test]
fn what_is_older_than_the_catch_up_is_left_out_and_the_rest_comes_late() {
    let dir = folder();
    let path = dir.path().join("a.log");
    append(&path, &begin("a"));
    let away = |lasted: u64| {
        Rig::new(dir.path(), "a.log").end();
        append(&path, &lines("away", 0..1_000));
        age_checkpoint(dir.path(), Duration::from_secs(lasted));
    };
    away(300);
    let mut rig = Rig::new(dir.path(), "a.log");
    append(&path, "now\n");
    rig.settle();
    let got = rig.seen.get();
    assert_eq!(
        (got.live.as_slice(), got.late.len()),
        (&["now".to_owned()][..], 1_000)
    );
    rig.end();
    // An hour of which ten minutes are wanted: a sixth.
    away(3_600);
    let mut rig = Rig::new(dir.path(), "a.log");
    rig.settle();
    let got = rig.seen.get();
    assert!((160..=167).contains(&got.late.len()), "{}", got.late.len());
    assert_eq!(
        got.late.last().unwrap(),
        "away line 999 with some text behind it"
    );
    assert_eq!(got.live.len(), 0);
    let figures = rig.figures();
    assert!(figures.skipped_bytes > 5 * figures.late_bytes);
    rig.end();
    // All of it is old.
    away(3_600);
    let old = SystemTime::now() - Duration::from_secs(1_800);
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(old)
        .unwrap();
    let mut rig = Rig::new(dir.path(), "a.log");
    rig.settle();
    assert!(rig.seen.get().late.is_empty() && rig.seen.get().live.is_empty());
}

fn storm(path: &Path, bytes: usize) -> Vec<String> {
    let mut text = String::with_capacity(bytes + 100);
    let mut n = 0;
    while text.len() < bytes {
        text += &format!("storm line {n} {}\n", "x".repeat(150));
        n += 1;
    }
    append(path, &text);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn in_a_storm_the_newest_lines_come_first_and_each_line_once() {
    let dir = folder();
    let path = dir.path().join("a.log");
    append(&path, &begin("a"));
    let mut rig = Rig::new(dir.path(), "a.log");
    rig.settle();
    let written = storm(&path, 12 << 20);
    rig.settle();
    let got = rig.seen.get();
    let live: usize = got.live.iter().map(|line| line.len() + 1).sum();
    assert!((live as u64).abs_diff(STORM_KEEP) < 500, "{live}");
    assert_eq!([got.late.clone(), got.live].concat(), written);
    let figures = rig.figures();
    assert_eq!(figures.skipped_bytes, figures.late_bytes);
    assert_eq!((figures.behind_bytes, figures.lost_bytes), (0, 0));
}

#[test]
fn a_gap_outlives_a_kill_and_a_renaming() {
    let dir = folder();
    let path = dir.path().join("a.log");
    append(&path, &begin("a"));
    let mut rig = Rig::new(dir.path(), "a.log");
    rig.settle();
    let written = storm(&path, 12 << 20);
    rig.until(|got| got.live.last() == written.last() && got.late.len() > 100);
    rig.save();
    let before = rig.seen.get();
    assert!(
        before.late.len() + before.live.len() < written.len(),
        "a gap is left"
    );
    drop(rig);
    fs::rename(&path, dir.path().join("a.log.1")).unwrap();
    let mut rig = Rig::new(dir.path(), "a.log");
    rig.settle();
    let after = rig.seen.get();
    assert!(after.live.is_empty());
    assert_eq!([before.late, after.late, before.live].concat(), written);
}

#[test]
fn a_gap_of_a_file_that_is_truncated_or_gone_is_counted_as_lost() {
    let dir = folder();
    let path = dir.path().join("a.log");
    append(&path, &begin("a"));
    let mut rig = Rig::new(dir.path(), "a.log");
    rig.settle();
    let written = storm(&path, 12 << 20);
    rig.until(|got| got.live.last() == written.last());
    rig.save();
    truncate(&path);
    append(&path, "after\n");
    rig.settle();
    let figures = rig.figures();
    assert!(figures.lost_bytes > 0);
    assert_eq!(
        figures.skipped_bytes,
        figures.late_bytes + figures.lost_bytes
    );
    drop(rig);
    let mut rig = Rig::new(dir.path(), "a.log");
    rig.settle();
    assert!(rig.figures().lost_bytes > 0 && rig.seen.get().late.is_empty());
}

#[test]
fn directories_may_come_go_and_come_again() {
    let dir = folder();
    let logs = dir.path().join("deep/er/logs");
    let mut rig = Rig::new(dir.path(), "deep/*/logs/*.log");
    rig.settle();
    fs::create_dir_all(&logs).unwrap();
    append(logs.join("a.log"), "one\n");
    rig.until(|got| got.live == ["one"]);
    fs::remove_dir_all(dir.path().join("deep")).unwrap();
    rig.settle();
    fs::create_dir_all(&logs).unwrap();
    append(logs.join("a.log"), "two\n");
    rig.until(|got| got.live == ["one", "two"]);
}

#[test]
fn symbolic_links_are_followed_to_what_they_lead_to_now() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    for sub in ["pods", "containers"] {
        fs::create_dir(at(sub)).unwrap();
    }
    append(at("pods/0.log"), "old\n");
    symlink(at("pods/0.log"), at("containers/a.log")).unwrap();
    let mut rig = Rig::new(dir.path(), "containers/*.log");
    append(at("pods/0.log"), "one\n");
    assert_eq!(rig.live(), ["one"]);
    append(at("pods/1.log"), "two\n");
    fs::remove_file(at("containers/a.log")).unwrap();
    symlink(at("pods/1.log"), at("containers/a.log")).unwrap();
    assert_eq!(rig.live(), ["one", "two"]);
    append(at("pods/1.log"), "three\n");
    rig.until(|got| got.live.len() == 3);
}

#[test]
fn what_stands_before_the_first_line_is_told_where_it_is_known() {
    let dir = folder();
    let path = |name: &str| dir.path().join(name);
    append(path("a.log"), "one\ntwo\n");
    append(path("torn.log"), "one\ntw");
    append(path("old.log.1.gz"), "");
    append(path("old.log"), "");
    let mut rig = Rig::new(dir.path(), "*.log");
    append(path("new.log"), "x\n");
    rig.settle();
    fs::rename(path("new.log"), path("new.log.1")).unwrap();
    append(path("new.log"), "y\n");
    rig.settle();
    truncate(&path("a.log"));
    append(path("a.log"), "z\n");
    rig.settle();
    let mut told = rig.seen.get().before;
    told.sort();
    let is = |name: &str, before: &str| {
        let path = path(name).to_str().unwrap().to_owned();
        (path, before.to_owned())
    };
    let gap = ("-".to_owned(), String::new());
    let expected = [
        gap,
        is("a.log", "one\ntwo\n"),
        is("new.log", ""),
        is("torn.log", "one\n"),
    ];
    assert_eq!(told, expected);
    let long = "x".repeat(1_000) + "\n";
    append(path("a.log"), &long.repeat(100));
    rig.settle();
    rig.end();
    let rig = Rig::new(dir.path(), "*.log");
    let told = rig.seen.get().before;
    assert!(told.contains(&is("a.log", &long.repeat(65))), "{told:?}");
}

#[test]
fn what_cannot_be_read_is_told_once_and_read_as_soon_as_it_can() {
    let dir = folder();
    let path = dir.path().join("a.log");
    symlink(&path, &path).unwrap();
    let mut rig = Rig::new(dir.path(), "a.log");
    for _ in 0..3 {
        rig.settle();
    }
    assert_eq!(rig.figures().errors, 1);
    let unread = |rig: &Rig| rig.files.output.counters.unread.lock().clone();
    assert_eq!(unread(&rig)[0].path, path);
    fs::remove_file(&path).unwrap();
    append(&path, "one\n");
    assert_eq!(rig.live(), ["one"]);
    assert_eq!(unread(&rig), []);
}

#[test]
fn what_is_not_there_for_a_minute_is_a_problem_until_it_is() {
    let dir = folder();
    let path = dir.path().join("deep/er");
    let mut rig = Rig::new(dir.path(), "deep/er/*.log");
    let unread = |rig: &mut Rig| {
        rig.files.scan();
        rig.files.output.counters.unread.lock().clone()
    };
    assert_eq!(unread(&mut rig), []);
    let since = rig.files.missing.get_mut(&path).unwrap();
    *since = since.checked_sub(Duration::from_secs(60)).unwrap();
    let told = unread(&mut rig);
    assert_eq!((told.len(), &told[0].path), (1, &path));
    assert_eq!(told[0].kind, io::ErrorKind::NotFound);
    fs::create_dir_all(&path).unwrap();
    assert_eq!(unread(&mut rig), []);
}

#[test]
fn own_logs_are_refused_by_any_name_also_rotated() {
    let dir = folder();
    let at = |name: &str| dir.path().join(name);
    append(at("own.log"), "x\n");
    symlink(at("own.log"), at("link.log")).unwrap();
    fs::hard_link(at("own.log"), at("hard.log")).unwrap();
    let own = |options: &mut Options| options.own_log = vec![at("own.log")];
    let mut rig = Rig::with(dir.path(), "*.log*", own);
    append(at("own.log"), "own\n");
    append(at("good.log"), "good\n");
    rig.settle();
    fs::rename(at("own.log"), at("own.log.1")).unwrap();
    append(at("own.log"), "own\n");
    append(at("own.log.1"), "own\n");
    assert_eq!(rig.live(), ["good"]);
    rig.save();
    drop(rig);
    // After a restart, the rotated one is known by its name.
    append(at("own.log.1"), "own\n");
    assert_eq!(Rig::with(dir.path(), "*.log*", own).live(), [""; 0]);
    let mut options = Options::new(at("state"));
    own(&mut options);
    for name in ["own.log", "link.log"] {
        let patterns = vec![at(name).to_str().unwrap().to_owned()];
        let refused = start(
            "s",
            Source::File { patterns },
            options.clone(),
            Box::new(Seen::default()),
            Stop::new().unwrap(),
        );
        // Renamed meanwhile, the link leads to the new file.
        assert!(matches!(refused, Err(TailError::OwnLog(_))), "{name}");
    }
}

#[test]
fn more_files_than_may_be_open_are_read_all_the_same() {
    let dir = folder();
    let at = |n: usize| dir.path().join(format!("{n}.log"));
    (0..20).for_each(|n| append(at(n), "old\n"));
    let mut rig = Rig::with(dir.path(), "*.log", |options| options.max_open = 3);
    rig.settle();
    for round in 0..3 {
        (0..20).for_each(|n| append(at(n), &format!("{round} {n}\n")));
        assert_eq!(rig.live().len(), 20 * (round + 1));
        rig.files.tick();
        let open = rig
            .files
            .known
            .values()
            .filter(|file| file.file.is_some())
            .count();
        assert_eq!(open, 3);
    }
    // Written to and renamed at once, while closed.
    for n in 0..20 {
        append(at(n), "last\n");
        fs::rename(at(n), dir.path().join(format!("{n}.log.1"))).unwrap();
    }
    assert_eq!(rig.live().len(), 80);
}

#[test]
fn a_checkpoint_that_cannot_be_written_or_read_stops_nothing() {
    let dir = folder();
    let path = dir.path().join("a.log");
    append(&path, "old\n");
    let missing = |options: &mut Options| options.state_dir = dir.path().join("missing");
    let mut rig = Rig::with(dir.path(), "a.log", missing);
    append(&path, "one\n");
    rig.settle();
    rig.save();
    append(&path, "two\n");
    assert_eq!(rig.live(), ["one", "two"]);
    assert!(rig.figures().errors > 0);
    assert_eq!(rig.figures().checkpoints, 0);
    drop(rig);
    fs::write(dir.path().join("state/s.tail.json"), "{\"patterns\":7").unwrap();
    let mut rig = Rig::new(dir.path(), "a.log");
    append(&path, "three\n");
    assert_eq!(rig.live(), ["three"]);
}

#[test]
fn long_lines_are_cut_and_the_next_is_whole() {
    let dir = folder();
    let path = dir.path().join("a.log");
    let mut rig = Rig::new(dir.path(), "a.log");
    append(&path, &("x".repeat(3 << 20) + "\nnext\n"));
    assert_eq!(rig.live(), ["next"]);
    assert_eq!(rig.seen.get().cut[0].len(), crate::MAX_LINE);
    assert_eq!((rig.figures().cut_lines, rig.figures().lines), (1, 2));
}

#[test]
fn a_source_runs_on_its_thread_until_it_is_stopped_and_goes_on_at_the_next_start() {
    let dir = folder();
    let path = dir.path().join("a.log");
    append(&path, &begin("a"));
    let patterns = vec![path.to_str().unwrap().to_owned()];
    let run = |name: &str, expected: &str| {
        let (seen, stop) = (Seen::default(), Stop::new().unwrap());
        let options = Options::new(dir.path().join("state"));
        let source = Source::File {
            patterns: patterns.clone(),
        };
        let handle = start(name, source, options, Box::new(seen.clone()), stop.clone())?;
        append(&path, &format!("{expected}\n"));
        seen.wait_for(|got| got.live.last().is_some_and(|line| line == expected));
        stop.stop();
        assert!(handle.join());
        Ok::<_, TailError>(seen.get().live)
    };
    assert_eq!(run("web", "one").unwrap(), ["one"]);
    append(&path, "between\n");
    assert_eq!(run("web", "two").unwrap(), ["between", "two"]);
    for name in ["", "a/b", "..", &"x".repeat(65)] {
        assert!(matches!(run(name, "x"), Err(TailError::Name(_))), "{name}");
    }
    let relative = Source::File {
        patterns: vec!["x.log".to_owned()],
    };
    let refused = start(
        "x",
        relative,
        Options::new(PathBuf::new()),
        Box::new(Seen::default()),
        Stop::new().unwrap(),
    );
    assert!(matches!(refused, Err(TailError::Pattern { .. })));
}
