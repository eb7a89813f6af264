//! Damaged and missing files.

use std::fs;

use proptest::prelude::*;

use super::{
    super::record::{self, Payload},
    FORMAT,
    crash::{Run, steps},
    *,
};

/// What every log begins with: the header, and how far it was synced.
const LOG_HEAD: usize = 30;

/// The rules whose records contain these bytes of a file.
fn keys_at(folder: &Folder, name: Name, hit: &[usize]) -> Vec<RuleKey> {
    let mut keys = Vec::new();
    let mut at = match name.kind {
        Kind::Log => LOG_HEAD,
        Kind::Snapshot => 16,
    };
    let read = folder.read(&name, |payload| {
        let end = at + 10 + payload.len();
        if hit.iter().any(|byte| (at..end).contains(byte))
            && let Some(Payload::Record(Record::Claims(rule))) = record::read(payload)
        {
            keys.push(rule.key);
        }
        at = end;
        true
    });
    read.unwrap();
    keys
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Nothing is invented, and only records that are hit are lost.
    #[test]
    fn flipped_bits_cost_the_records_that_they_hit(
        steps in steps(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 1..6),
    ) {
        let run = Run::of(&steps);
        let files = run.home.state_files();
        let mut hit = Vec::new();
        for (name, path) in &files {
            let mut bytes = fs::read(path).unwrap();
            let mut places = Vec::new();
            for (file, bit) in &flips {
                if files[file.index(files.len())].0 == *name {
                    let bit = bit.index(bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                    places.push(bit / 8);
                }
            }
            hit.extend(keys_at(&Folder::new(&run.home.dir(), FORMAT), *name, &places));
            fs::write(path, bytes).unwrap();
        }
        let (journal, rules) = run.home.open();
        let wanted = run.states.last().unwrap();
        for key in rules.keys().chain(wanted.keys()) {
            if hit.contains(key) {
                let value = rules.get(key);
                prop_assert!(run.states.iter().any(|state| state.get(key) == value));
            } else {
                prop_assert_eq!(rules.get(key), wanted.get(key));
            }
        }
        // The daemon continues with the rest.
        let table = Table(Mutex::new(rules.clone()));
        journal.maintain(&[&table]);
        journal.close();
        prop_assert_eq!(run.home.read(), rules);
    }

    #[test]
    fn no_bytes_keep_it_from_starting(bytes in prop::collection::vec(any::<u8>(), 0..400), snapshot in any::<bool>()) {
        let run = Run::of(&[]);
        let kind = if snapshot { Kind::Snapshot } else { Kind::Log };
        let path = run.home.dir().join(Name::new(FORMAT.prefix, 1, kind).to_string());
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        prop_assert_eq!(run.home.open().1, Rules::new());
    }
}

/// Ten rules, in a log, or in a snapshot and an empty log.
fn ten_rules(in_snapshot: bool) -> (Home, Table) {
    let home = Home::new();
    let (journal, _) = home.open();
    let table = Table::default();
    for n in 0..10 {
        table.set(&journal, key(n), vec![claim(0, 1)]);
    }
    journal.commit();
    if in_snapshot {
        journal.compact(&[&table]).unwrap();
    }
    journal.close();
    (home, table)
}

fn spoil(home: &Home, kind: Kind, byte: usize) -> Name {
    let files = home.state_files();
    let (name, path) = files.iter().find(|(name, _)| name.kind == kind).unwrap();
    let mut bytes = fs::read(path).unwrap();
    bytes[byte] ^= 1;
    fs::write(path, bytes).unwrap();
    *name
}

#[test]
fn a_damaged_file_is_named_and_kept_until_an_operator_deletes_it() {
    for kind in [Kind::Log, Kind::Snapshot] {
        let (home, _) = ten_rules(kind == Kind::Snapshot);
        let name = spoil(&home, kind, 60);
        let (journal, rules) = home.open();
        assert_eq!(rules.len(), 9);
        let problem = &journal.problems()[0];
        assert_eq!(problem.file, Some(name.to_string()));
        let prefix = "is damaged: ";
        assert!(problem.message.starts_with(prefix), "{}", problem.message);
        // It stays until a snapshot replaces it.
        assert!(home.dir().join(name.to_string()).exists());
        let table = Table(Mutex::new(rules.clone()));
        journal.maintain(&[&table]);
        let kept = home.files().into_iter().find(|f| f.contains(".damaged-"));
        let kept = kept.unwrap();
        assert!(kept.starts_with(&name.to_string()), "{kept}");
        let (journal, again) = home.open();
        assert_eq!(again, rules);
        assert_eq!(journal.problems()[0].file.as_ref(), Some(&kept));
        fs::remove_file(home.dir().join(kept)).unwrap();
        journal.maintain(&[&table]);
        assert_eq!(journal.problems(), []);
    }
}

#[test]
fn a_damaged_header_costs_nothing_but_is_reported() {
    for kind in [Kind::Log, Kind::Snapshot] {
        let (home, table) = ten_rules(kind == Kind::Snapshot);
        spoil(&home, kind, 9);
        let (journal, rules) = home.open();
        assert_eq!(rules, table.rules());
        let problems = journal.problems();
        assert_eq!(problems.len(), 1);
        let message = &problems[0].message;
        assert!(message.contains("costs no record"), "{message}");
    }
}

#[test]
fn a_log_of_garbage_is_no_torn_end() {
    for garbage in [0, 0x5a] {
        let (home, _) = ten_rules(false);
        let mut files = home.state_files();
        files.retain(|(_, path)| fs::metadata(path).unwrap().len() > LOG_HEAD as u64);
        let (name, path) = &files[0];
        let length = usize::try_from(fs::metadata(path).unwrap().len()).unwrap();
        fs::write(path, vec![garbage; length]).unwrap();
        let (journal, rules) = home.open();
        assert!(rules.is_empty(), "{rules:?}");
        assert_eq!(journal.problems()[0].file, Some(name.to_string()));
    }
}

#[test]
fn a_file_of_a_later_version_is_kept_and_not_read() {
    let (home, _) = ten_rules(false);
    let (name, path) = home.state_files().pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let later = FORMAT.version + 1;
    bytes[8..12].copy_from_slice(&later.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..12]);
    bytes[12..16].copy_from_slice(&sum.to_le_bytes());
    fs::write(&path, &bytes).unwrap();
    let (journal, rules) = home.open();
    assert_eq!(rules, Rules::new());
    let message = &journal.problems()[0].message;
    let of = format!("is of format {later},");
    assert!(message.starts_with(&of), "{message}");
    journal.maintain(&[&Table::default()]);
    let kept = home.files().into_iter().find(|f| f.contains(".damaged-"));
    let kept = home.dir().join(kept.unwrap());
    assert!(kept.to_string_lossy().contains(&name.to_string()));
    assert_eq!(fs::read(kept).unwrap(), bytes, "as it was");
}

#[test]
fn a_removed_log_is_reported() {
    let home = Home::new();
    for n in 0..3 {
        let (journal, _) = home.open();
        Table::default().set(&journal, key(n), vec![claim(0, 1)]);
        journal.close();
    }
    fs::remove_file(&home.state_files()[1].1).unwrap();
    let (journal, rules) = home.open();
    assert_eq!(rules.len(), 2);
    let message = &journal.problems()[0].message;
    assert!(message.contains("the log 2 are missing"), "{message}");
}

#[test]
fn a_damaged_snapshot_falls_back_to_older_files_that_still_exist() {
    let (home, table) = ten_rules(false);
    let (old, path) = home.state_files().pop().unwrap();
    let log = fs::read(path).unwrap();
    let (journal, _) = home.open();
    journal.compact(&[&table]).unwrap();
    drop(journal);
    // As after a crash before the old log was removed.
    let path = home.dir().join(old.to_string());
    fs::write(&path, log).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    spoil(&home, Kind::Snapshot, 60);
    let (journal, rules) = home.open();
    assert_eq!(rules, table.rules());
    assert_eq!(journal.problems().len(), 1);
}

/// A log of 100 rules as kill -9 leaves it: written, and synced up to `synced` of them.
fn killed(synced: u32) -> (Home, PathBuf) {
    let home = Home::new();
    let (journal, _) = home.open();
    let table = Table::default();
    for n in 0..100 {
        table.set(&journal, key(n), vec![claim(0, 1)]);
        journal.commit();
        if n + 1 == synced {
            journal.sync();
        }
    }
    drop(journal);
    let path = home.state_files().pop().unwrap().1;
    (home, path)
}

/// Changes the file, and returns how many rules are back and what is told of it.
fn after(home: &Home, path: &PathBuf, change: impl FnOnce(&mut Vec<u8>)) -> (usize, String) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
    let (journal, rules) = home.open();
    let problems = journal.problems();
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(problems.iter().all(|p| p.file.as_deref() == Some(name)));
    let told = problems.into_iter().map(|p| p.message).collect();
    // It is kept, and named until an operator deletes it.
    journal
        .compact(&[&Table(Mutex::new(rules.clone()))])
        .unwrap();
    let kept = home.files().into_iter().any(|f| f.contains(".damaged-"));
    assert_eq!(kept, !String::is_empty(&told), "{told}");
    (rules.len(), told)
}

#[test]
fn a_killed_daemon_and_its_last_record_cut_in_the_middle_are_no_damage() {
    for synced in [0, 50, 100] {
        let (home, path) = killed(synced);
        assert_eq!(after(&home, &path, |_| {}), (100, String::new()));
    }
    for cut in 1..40 {
        let (home, path) = killed(50);
        let (rules, told) = after(&home, &path, |bytes| bytes.truncate(bytes.len() - cut));
        assert!((98..100).contains(&rules) && told.is_empty(), "{told}");
    }
}

#[test]
fn junk_over_the_end_of_the_last_log_is_told_as_damage() {
    for (byte, over) in [(0, 400), (0x5a, 400), (0xc0, 400), (0, 0), (0x5a, 0)] {
        for synced in [0, 50, 100] {
            let (home, path) = killed(synced);
            let (rules, told) = after(&home, &path, |bytes| {
                bytes.truncate(bytes.len() - over);
                bytes.resize(bytes.len() + 4096, byte);
            });
            let lost = if over == 0 { 0..1 } else { 5..20 };
            assert!(lost.contains(&(100 - rules)), "{rules}");
            assert!(told.starts_with("is damaged: "), "{byte} {over}: {told}");
        }
    }
}

#[test]
fn a_last_log_that_was_cut_is_told_as_damage() {
    for cut in [17, 29, 30, 31, 100, 1000, 2000] {
        let (home, path) = killed(100);
        let (rules, told) = after(&home, &path, |bytes| bytes.truncate(cut));
        assert!(rules < 100, "{rules}");
        assert!(told.starts_with("is damaged: "), "{cut}: {told}");
        let says_missing = told.contains("are missing at its end");
        assert_eq!(says_missing, cut >= LOG_HEAD, "{told}");
    }
    for cut in [0, 1, 15] {
        let (home, path) = killed(0);
        let (_, told) = after(&home, &path, |bytes| bytes.truncate(cut));
        assert!(
            told.contains(&format!("it was cut to {cut} bytes")),
            "{told}"
        );
    }
}

#[test]
fn a_last_log_under_a_name_with_another_salt_is_told_as_damage() {
    let (home, path) = killed(100);
    let text = path.to_str().unwrap();
    let salt = text.len() - "00000000.log".len();
    let other = PathBuf::from(format!("{}{:08x}.log", &text[..salt], 7));
    fs::rename(&path, &other).unwrap();
    let (rules, told) = after(&home, &other, |_| {});
    assert_eq!(rules, 0);
    assert!(
        told.starts_with("is damaged: 0 records could be read"),
        "{told}"
    );
}
