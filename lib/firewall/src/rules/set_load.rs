//! Loading all set files: leniently at the start, strictly for a reload.

use couic_common::{Cidr, Policy, RuleKey, SetName, SetProblem};

use crate::guard::Guard;

use super::{
    Firewall, SetError, SetStore,
    reload::{LoadedSet, SetCatalog},
    sets::file_name,
};

/// How many files are named that look cut off.
const MOST_NOTES: usize = 20;

impl SetStore {
    /// Every set that can be read, and the problems of the others: for the start, when a bad file must not keep the
    /// good ones from working.
    #[must_use]
    pub fn load_lenient(&self) -> (SetCatalog, Vec<SetProblem>) {
        let (mut sets, mut problems) = (Vec::new(), Vec::new());
        for policy in Policy::ALL {
            let names = self.names(policy).unwrap_or_else(|error| {
                problems.push(problem(policy, String::new(), &error));
                Vec::new()
            });
            let mut total = 0;
            for name in names {
                let file = file_name(&name);
                match self.load_bounded(policy, name, &mut total) {
                    Ok(set) => {
                        if set.is_suspect {
                            let error = SetError::Empty {
                                policy,
                                file: file.clone(),
                            };
                            problems.push(problem(policy, file, &error));
                        }
                        sets.push(set);
                    }
                    Err(error) => problems.push(problem(policy, file, &error)),
                }
            }
        }
        problems.extend(self.skipped().into_iter().filter(SetProblem::is_of_set));
        (SetCatalog(sets), problems)
    }

    /// Every set, or the first thing that is wrong: for a reload.
    ///
    /// # Errors
    /// `BadLine`, `TooLarge`, `TooMany`, `Unreadable`, `Io`.
    pub fn load_strict(&self) -> Result<SetCatalog, SetError> {
        let mut sets = Vec::new();
        for policy in Policy::ALL {
            let mut total = 0;
            for name in self.names(policy)? {
                match self.load_bounded(policy, name, &mut total) {
                    Ok(set) => sets.push(set),
                    // Deleted since its folder was read.
                    Err(SetError::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(SetCatalog(sets))
    }

    /// One set, while all together are not too many. Counts its entries.
    fn load_bounded(
        &self,
        policy: Policy,
        name: SetName,
        total: &mut usize,
    ) -> Result<LoadedSet, SetError> {
        let set = self.load(policy, name)?;
        let (sum, most) = (*total + set.entries.len(), self.most(policy));
        if sum > most {
            let file = file_name(&set.name);
            return Err(SetError::TooMany { policy, file, most });
        }
        *total = sum;
        Ok(set)
    }

    fn load(&self, policy: Policy, name: SetName) -> Result<LoadedSet, SetError> {
        let bytes = self.bytes(policy, &name)?;
        let lines = self.parse(policy, &name, &bytes)?;
        Ok(LoadedSet {
            is_suspect: lines.is_suspect(),
            is_cut: bytes.last().is_some_and(|last| *last != b'\n'),
            policy,
            name,
            entries: lines.finish(),
        })
    }

    /// Whether the problem of a set's file is solved: it is gone, or it can be read and is in force but for what the guard
    /// rails refuse. Those that [`Self::skipped`] finds are not asked about.
    #[must_use]
    pub fn is_repaired(&self, problem: &SetProblem, firewall: &Firewall) -> bool {
        let SetProblem { policy, file, .. } = problem;
        let name: Option<SetName> = file.strip_suffix(".couic").and_then(|n| n.parse().ok());
        let Some(name) = name else {
            return false;
        };
        match self.load(*policy, name) {
            Ok(set) => {
                let (refused, _) = firewall.guard().map(Guard::set_report).unwrap_or_default();
                let is_refused = |cidr| refused.iter().any(|r| r.cidr == cidr && r.file == *file);
                let is_done = |cidr: &Cidr| {
                    let rule = RuleKey::new(*policy, *cidr);
                    firewall.entry(rule).is_some() || is_refused(*cidr)
                };
                !set.is_suspect && set.entries.iter().all(is_done)
            }
            Err(error) => matches!(error, SetError::NotFound { .. }),
        }
    }
}

impl SetCatalog {
    /// A note for each file whose last line has no end: a download that broke off looks so, and may have left
    /// 198.51.100.0/2 of 198.51.100.0/24.
    #[must_use]
    pub fn cut_off(&self) -> Vec<String> {
        let cut = self.0.iter().filter(|set| set.is_cut);
        let note = |set: &LoadedSet| {
            format!(
                "sets/{}/{} does not end with a line end: if it was downloaded, it may be cut off",
                set.policy,
                file_name(&set.name)
            )
        };
        cut.map(note).take(MOST_NOTES).collect()
    }
}

impl Firewall {
    /// Whether a reload would empty a set whose file does not say that this is meant, as a failed download leaves it.
    /// Hold [`SetStore::turn`].
    ///
    /// # Errors
    /// [`SetError::Emptied`].
    pub fn check_emptied(&self, catalog: &SetCatalog) -> Result<(), SetError> {
        if !catalog.0.iter().any(|set| set.is_suspect) {
            return Ok(());
        }
        let in_force = self.sets_in_force();
        for set in catalog.0.iter().filter(|set| set.is_suspect) {
            if let Some(rules) = in_force.get(&(set.policy, set.name.clone())) {
                return Err(SetError::Emptied {
                    policy: set.policy,
                    file: file_name(&set.name),
                    rules: rules.len(),
                });
            }
        }
        Ok(())
    }
}

fn problem(policy: Policy, file: String, error: &SetError) -> SetProblem {
    let line = match error {
        SetError::BadLine { line, .. } => Some(*line),
        _ => None,
    };
    SetProblem {
        policy,
        file,
        line,
        message: error.to_string(),
    }
}
