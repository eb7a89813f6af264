//! The file with this machine's number.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use couic_peering::{DigestRequest, Face, NodeId, Of};

use super::{
    super::identity::{Identity, MACHINE, load},
    *,
};

const ONE: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

fn number(dir: &Path, id: Option<&str>) -> u32 {
    let Identity { number, was_copied } = load(dir, id).unwrap();
    assert!(!was_copied);
    number
}

#[test]
fn the_number_stays_and_a_torn_file_is_replaced_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(MACHINE);
    let first = number(dir.path(), None);
    assert_eq!(number(dir.path(), None), first);
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{first:08x}\n"));
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    let whole = format!("{first:08x}\n0123456789abcdef\n");
    for torn in (0..whole.len()).filter(|cut| *cut != 9) {
        fs::write(&path, &whole[..torn]).unwrap();
        let again = number(dir.path(), Some(ONE));
        assert_eq!(number(dir.path(), Some(ONE)), again);
    }
    // The content was written aside and renamed: nothing else is left.
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn the_number_written_by_the_version_before_stays_and_is_bound_to_the_host() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(MACHINE);
    fs::write(&path, "911f49b1\n").unwrap();
    assert_eq!(number(dir.path(), None), 0x911f_49b1);
    assert_eq!(fs::read_to_string(&path).unwrap(), "911f49b1\n");
    assert_eq!(number(dir.path(), Some(ONE)), 0x911f_49b1);
    let bound = fs::read_to_string(&path).unwrap();
    assert_eq!(bound.len(), 9 + 17);
    assert!(!bound.contains(&ONE[..8]), "the id itself is not in it");
    // A host that has no id for a while is not another one.
    assert_eq!(number(dir.path(), None), 0x911f_49b1);
    assert_eq!(fs::read_to_string(&path).unwrap(), bound);
}

#[test]
fn a_copy_on_another_host_takes_a_number_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let original = number(dir.path(), Some(ONE));
    let copy = load(dir.path(), Some(OTHER)).unwrap();
    assert!(copy.was_copied);
    assert_ne!(copy.number, original);
    // It is told once.
    assert_eq!(number(dir.path(), Some(OTHER)), copy.number);
}

#[test]
fn two_nodes_with_one_number_are_a_problem_with_advice() {
    let here = Node::new(&["a", "b"], &Limits::default(), 0, ROOM);
    let me = here.engine.state.lock().replica.node().machine();
    let says = |name: &str, machine: u32| {
        let mut from = Face::of(&here.engine.state.lock().replica, here.engine.now());
        from.node = NodeId::started(machine, 5);
        let request = DigestRequest { from, of: Of::Root };
        here.engine
            .digests(&super::name(name), Policy::Drop, &request)
    };
    let problems = || -> Vec<(String, String)> {
        let all = here.engine.problems().into_iter();
        all.map(|problem| (problem.name.to_string(), problem.problem))
            .collect()
    };
    says("a", 1_000).unwrap();
    assert_eq!(problems(), []);
    says("b", 1_000).unwrap();
    let found = problems();
    assert_eq!((found.len(), found[0].0.as_str()), (1, "b"));
    assert!(
        found[0]
            .1
            .starts_with("has the machine number of the peer a"),
        "{found:?}"
    );
    assert!(
        found[0].1.contains("remove the file peering-machine"),
        "{found:?}"
    );
    says("a", me).unwrap_err();
    let found = problems();
    assert_eq!(found.len(), 2);
    assert!(
        found[0]
            .1
            .starts_with("has the machine number of this node"),
        "{found:?}"
    );
}
