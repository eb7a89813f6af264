//! Set files that undoing left alone: they are reported until they agree with the rules, or are loaded.

use super::*;

/// A reload that waits, and whose file was edited meanwhile.
fn reloaded_then_edited(text: &str) -> (Lab, ConfirmId) {
    let lab = Lab::new();
    lab.write(OLD);
    lab.reload();
    lab.write("192.0.2.2/32\n");
    let id = lab.reload_confirmably();
    lab.write(text);
    (lab, id)
}

#[test]
fn an_undone_reload_names_the_file_that_it_left_alone() {
    let (lab, id) = reloaded_then_edited("192.0.2.3/32\n");
    assert_eq!(lab.all.problems(), [""; 0]);
    let undone = lab.all.undo(id, None).unwrap();
    assert_eq!(undone.restored, 1, "the rules");
    assert_eq!(undone.left_alone, ["file of set drop/s"]);
    assert!(lab.drops("192.0.2.1") && !lab.drops("192.0.2.3"));
    assert_eq!(lab.text().as_deref(), Some("192.0.2.3/32\n"));
    let told = lab.all.problems();
    assert_eq!(told.len(), 1);
    let what = ["sets/drop/s.couic", "couicctl sets reload", "ops's change"];
    assert!(what.iter().all(|part| told[0].contains(part)), "{told:?}");
    assert_eq!(lab.all.list(None).problems, told);
    lab.all.recheck_now();
    assert_eq!(lab.all.problems(), told, "looking at it mends nothing");
}

#[test]
fn it_is_told_until_the_file_says_what_is_in_force_or_is_followed() {
    let (lab, id) = reloaded_then_edited("192.0.2.3/32\n");
    lab.all.undo(id, None).unwrap();
    // The same entries in another form will do.
    lab.write("192.0.2.1/32 # back\n\n");
    lab.all.recheck_now();
    assert_eq!(lab.all.problems(), [""; 0]);

    let (lab, id) = reloaded_then_edited("192.0.2.3/32\n");
    lab.all.undo(id, None).unwrap();
    lab.reload();
    lab.all.files_followed();
    assert_eq!(lab.all.problems(), [""; 0]);
}

#[test]
fn a_file_that_is_gone_or_cannot_be_read_is_told_too() {
    let (lab, id) = reloaded_then_edited("nonsense\n");
    lab.all.undo(id, None).unwrap();
    let told = lab.all.problems();
    assert!(
        told[0].contains("s.couic line 1: not an IPv4 or IPv6 address"),
        "{told:?}"
    );
    fs::remove_file(lab.path()).unwrap();
    lab.all.recheck_now();
    let told = lab.all.problems();
    assert!(told[0].contains("NOT in force") && !told[0].contains("line 1"));
    lab.write(OLD);
    lab.all.recheck_now();
    assert_eq!(lab.all.problems(), [""; 0]);
}

#[test]
fn a_set_that_was_not_in_force_may_be_deleted() {
    let lab = Lab::new();
    lab.write(OLD);
    let id = lab.reload_confirmably();
    lab.write("192.0.2.3/32\n");
    lab.all.undo(id, None).unwrap();
    let told = lab.all.problems();
    assert!(told[0].contains("couicctl sets delete drop s"), "{told:?}");
    fs::remove_file(lab.path()).unwrap();
    lab.all.recheck_now();
    assert_eq!(lab.all.problems(), [""; 0]);
}

#[test]
fn the_first_change_that_left_a_file_alone_is_named() {
    let (lab, file) = changed();
    let reload = lab.reload_confirmably();
    lab.write("192.0.2.3/32\n");
    for id in [reload, file] {
        lab.all.undo(id, None).unwrap();
        let told = lab.all.problems();
        assert!(told.len() == 1 && told[0].contains(&reload.to_string()));
    }
    assert!(lab.drops("192.0.2.1") && !lab.drops("192.0.2.3"));
}

#[test]
fn undoing_another_change_counts_as_what_is_in_force() {
    let lab = Lab::new();
    lab.write(OLD);
    lab.reload();
    lab.write("192.0.2.2/32\n");
    let first = lab.reload_confirmably();
    lab.write("192.0.2.3/32\n");
    let second = lab.reload_confirmably();
    lab.write("192.0.2.2/32\n");
    lab.all.undo(second, None).unwrap();
    assert_eq!(
        lab.all.problems(),
        [""; 0],
        "it agrees with the rules in force"
    );
    lab.write("192.0.2.9/32\n");
    lab.all.undo(first, None).unwrap();
    assert_eq!(lab.all.problems().len(), 1);
    lab.write(OLD);
    lab.all.recheck_now();
    assert_eq!(lab.all.problems(), [""; 0]);
}
