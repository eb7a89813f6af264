//! Random changes, snapshots and starts, and truncation at any byte.

use std::fs;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Claims of owners 0.. on a rule.
    Set(u32, u8),
    Commit,
    Snapshot,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0_u32..12, 0_u8..4).prop_map(|(key, owners)| Step::Set(key, owners)),
        3 => Just(Step::Commit),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Restart),
    ]
}

/// A run of the daemon, and all its states: one more for each change.
pub(super) struct Run {
    pub(super) home: Home,
    pub(super) journal: Journal,
    pub(super) table: Table,
    pub(super) states: Vec<Rules>,
    /// How many changes were made before the last log was started.
    before_log: usize,
}

impl Run {
    fn new() -> Self {
        let home = Home::new();
        let journal = home.open().0;
        Self {
            home,
            journal,
            table: Table::default(),
            states: vec![Rules::new()],
            before_log: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Set(n, owners) => {
                let at = self.states.len() as u64;
                let claims = (0..*owners).map(|owner| claim(owner, at)).collect();
                self.table.set(&self.journal, key(*n), claims);
                self.states.push(self.table.rules());
            }
            Step::Commit => self.journal.commit(),
            Step::Snapshot => {
                self.journal.compact(&[&self.table]).unwrap();
                self.before_log = self.states.len() - 1;
            }
            Step::Restart => {
                self.journal.close();
                let (journal, rules) = self.home.open();
                assert_eq!(rules, self.table.rules());
                assert_eq!(journal.problems(), []);
                self.journal = journal;
                self.before_log = self.states.len() - 1;
            }
        }
    }

    pub(super) fn of(steps: &[Step]) -> Self {
        let mut run = Self::new();
        steps.iter().for_each(|step| run.step(step));
        run.journal.close();
        run
    }
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn committed_changes_are_recovered_after_any_run(steps in steps()) {
        let run = Run::of(&steps);
        prop_assert_eq!(&run.home.read(), run.states.last().unwrap());
    }

    #[test]
    fn a_log_truncated_anywhere_gives_an_earlier_state(
        steps in steps(),
        cut in any::<prop::sample::Index>(),
    ) {
        let run = Run::of(&steps);
        let (name, path) = run.home.state_files().pop().unwrap();
        prop_assert_eq!(name.kind, Kind::Log);
        let mut bytes = fs::read(&path).unwrap();
        let whole = bytes.len();
        bytes.truncate(cut.index(whole + 1));
        fs::write(&path, &bytes).unwrap();
        let folder = Folder::new(&run.home.dir(), FORMAT);
        let left = folder.read(&name, |_| true).unwrap().records as usize;
        let (journal, rules) = run.home.open();
        // Each truncated record is one state back.
        prop_assert_eq!(&rules, &run.states[run.before_log + left]);
        // It was synced, so what is missing is told. A log of versions before had this header alone.
        let is_told = !journal.problems().is_empty();
        prop_assert_eq!(is_told, bytes.len() < whole && bytes.len() != 16);
    }
}

#[test]
fn many_starts_leave_few_files() {
    let home = Home::new();
    let table = Table::default();
    for n in 0..40 {
        let (journal, rules) = home.open();
        assert_eq!(rules, table.rules());
        table.set(&journal, key(n), vec![claim(0, 1)]);
        journal.commit();
        journal.maintain(&[&table]);
        assert!(home.files().len() <= 10, "{:?}", home.files());
    }
    assert_eq!(home.read(), table.rules());
}

#[test]
fn a_long_log_is_replaced_by_a_snapshot() {
    let home = Home::new();
    let (journal, _) = home.open();
    let table = Table::default();
    let mut longest = 0;
    for round in 0..40_u64 {
        for n in 0..30_000 {
            table.set(&journal, key(n % 100), vec![claim(0, round)]);
        }
        journal.commit();
        longest = longest.max(journal.figures().log_bytes);
        journal.maintain(&[&table]);
    }
    let figures = journal.figures();
    assert!(longest < 36 << 20, "{longest}");
    assert!(figures.snapshot_bytes > 0 && figures.records == 1_200_000);
    assert_eq!(home.read(), table.rules());
}

#[test]
fn the_temporary_file_of_an_interrupted_snapshot_is_removed() {
    let home = Home::new();
    let (journal, _) = home.open();
    Table::default().set(&journal, key(1), vec![claim(0, 1)]);
    journal.close();
    let half = home.dir().join("journal-0000000002-00000000.snap.tmp");
    fs::write(&half, "half").unwrap();
    let (journal, rules) = home.open();
    assert_eq!((rules.len(), journal.problems().len()), (1, 0));
    assert!(!half.exists());
}
