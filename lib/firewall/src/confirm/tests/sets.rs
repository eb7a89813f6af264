//! Sets: their files and their rules.

mod orphans;

use couic_common::{SetName, Verdict};

use super::*;
use crate::rules::SetEntries;

const OLD: &str = "# by hand\n192.0.2.1/32\n";

fn name() -> SetName {
    "s".parse().unwrap()
}

fn cidrs(texts: &[&str]) -> Vec<Cidr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

impl Lab {
    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("sets/drop/s.couic")
    }

    fn text(&self) -> Option<String> {
        fs::read_to_string(self.path()).ok()
    }

    fn reload(&self) {
        self.firewall
            .replace_sets(&self.sets.load_strict().unwrap())
            .unwrap();
    }

    fn drops(&self, ip: &str) -> bool {
        self.plane.packet(ip.parse().unwrap(), 60) == Verdict::Drop
    }

    /// As the API does it.
    fn replace(&self, entries: &[&str]) -> ConfirmId {
        let entries = cidrs(entries);
        let change = Change::File(FileChange {
            policy: Policy::Drop,
            set: name(),
            before: self.text(),
            after: Some(SetStore::text_of(&entries)),
        });
        self.make(change, || self.write(&SetStore::text_of(&entries)))
    }

    fn make(&self, change: Change, work: impl FnOnce()) -> ConfirmId {
        let mut making = self.begin();
        let work = || {
            work();
            Ok::<(), ConfirmError>(())
        };
        making.make(vec![change], work).unwrap().unwrap();
        making.finish().unwrap().id
    }

    fn reload_confirmably(&self) -> ConfirmId {
        let key = (Policy::Drop, name());
        let of = |sets: &SetEntries| sets.get(&key).cloned().unwrap_or_default();
        let change = Change::Set(SetChange {
            policy: Policy::Drop,
            set: name(),
            before: of(&self.firewall.sets_in_force()),
            after: of(&self.sets.load_strict().unwrap().entries()),
        });
        self.make(change, || self.reload())
    }
}

/// A set in force, then another text of it, in force as well.
fn changed() -> (Lab, ConfirmId) {
    let lab = Lab::new();
    lab.write(OLD);
    lab.reload();
    let id = lab.replace(&["192.0.2.2/32"]);
    (lab, id)
}

fn is_as_before(lab: &Lab) {
    assert_eq!(lab.text().as_deref(), Some(OLD));
    assert!(lab.drops("192.0.2.1") && !lab.drops("192.0.2.2"));
}

#[test]
fn a_file_that_was_not_reloaded_comes_back_and_rules_stay() {
    let (lab, id) = changed();
    assert_eq!(lab.all.list(None).pending[0].sets, ["drop/s"]);
    assert_eq!(lab.all.undo(id, None).unwrap().restored, 1);
    is_as_before(&lab);
}

#[test]
fn the_rules_follow_a_file_that_was_reloaded() {
    let (lab, id) = changed();
    lab.reload();
    assert!(!lab.drops("192.0.2.1") && lab.drops("192.0.2.2"));
    lab.all.undo(id, None).unwrap();
    is_as_before(&lab);
}

#[test]
fn file_and_reload_are_undone_in_either_order() {
    for file_first in [true, false] {
        let (lab, file) = changed();
        let reload = lab.reload_confirmably();
        let order = if file_first {
            [file, reload]
        } else {
            [reload, file]
        };
        for id in order {
            lab.all.undo(id, None).unwrap();
            assert!(
                lab.drops("192.0.2.1") && !lab.drops("192.0.2.2"),
                "rules go first"
            );
        }
        is_as_before(&lab);
        lab.reload();
        is_as_before(&lab);
    }
}

#[test]
fn both_are_undone_at_their_time_also_by_a_start() {
    let (mut lab, _) = changed();
    lab.reload_confirmably();
    lab.clock.advance(WITHIN);
    lab.restart();
    is_as_before(&lab);
    assert_eq!(lab.records(), 0);
}

#[test]
fn an_undone_reload_keeps_a_new_file_aside() {
    let lab = Lab::new();
    lab.write(OLD);
    let id = lab.reload_confirmably();
    assert!(lab.drops("192.0.2.1"));
    lab.all.undo(id, None).unwrap();
    assert!(!lab.drops("192.0.2.1"));
    assert_eq!(lab.text(), None);
    let aside = lab.dir.path().join("sets/drop/s.couic.reverted");
    assert_eq!(fs::read_to_string(aside).unwrap(), OLD);
    lab.reload();
    assert!(!lab.drops("192.0.2.1"), "no reload brings it back");
}

#[test]
fn a_file_that_was_changed_afterwards_is_left_alone() {
    let (lab, id) = changed();
    lab.write("192.0.2.3/32\n");
    let undone = lab.all.undo(id, None).unwrap();
    assert_eq!(undone.left_alone, ["file of set drop/s"]);
    assert_eq!(lab.text().as_deref(), Some("192.0.2.3/32\n"));
    assert!(lab.drops("192.0.2.1"));
}

#[test]
fn rules_of_a_set_that_were_reloaded_afterwards_are_left_alone() {
    let (lab, _) = changed();
    let id = lab.reload_confirmably();
    lab.write("192.0.2.3/32\n");
    lab.reload();
    let undone = lab.all.undo(id, None).unwrap();
    assert_eq!(undone.left_alone, ["rules of set drop/s"]);
    assert!(lab.drops("192.0.2.3") && !lab.drops("192.0.2.1"));
}

#[test]
fn of_two_changes_that_wait_the_first_leads_back_to_the_beginning() {
    let (lab, first) = changed();
    let second = lab.replace(&["192.0.2.3/32"]);
    lab.all.undo(first, None).unwrap();
    assert_eq!(lab.text().as_deref(), Some("192.0.2.3/32\n"));
    lab.all.undo(second, None).unwrap();
    is_as_before(&lab);
}

#[test]
fn a_disk_that_fails_is_tried_again() {
    let (lab, id) = changed();
    lab.reload();
    let (folder, away) = (
        lab.dir.path().join("sets/drop"),
        lab.dir.path().join("sets/away"),
    );
    fs::rename(&folder, &away).unwrap();
    // Something that is no folder: nothing can be written below it.
    fs::write(&folder, "").unwrap();
    let told = lab.all.undo(id, None).unwrap_err().to_string();
    assert!(told.contains("is tried again"), "{told}");
    assert_eq!(lab.all.waiting_count(), 1);
    assert!(
        lab.drops("192.0.2.1"),
        "what needs no disk is undone already"
    );
    fs::remove_file(&folder).unwrap();
    fs::rename(&away, &folder).unwrap();
    lab.all.undo(id, None).unwrap();
    is_as_before(&lab);
}
