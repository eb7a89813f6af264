//! Loading all set files: leniently at the start, strictly for a reload.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use couic_common::{Cidr, Policy, SetName, SetProblem};

use super::{
    SetError, SetStore,
    reload::{LoadedSet, SetCatalog},
    sets::{file_name, open},
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
                match self.read_bounded(policy, &name, &mut total) {
                    Ok(entries) => sets.push(LoadedSet {
                        policy,
                        name,
                        entries,
                    }),
                    Err(error) => problems.push(problem(policy, file_name(&name), &error)),
                }
            }
        }
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
                match self.read_bounded(policy, &name, &mut total) {
                    Ok(entries) => sets.push(LoadedSet {
                        policy,
                        name,
                        entries,
                    }),
                    // Deleted since its folder was read.
                    Err(SetError::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(SetCatalog(sets))
    }

    /// A note for each file whose last line has no end: a download that broke off looks so, and may have left
    /// 198.51.100.0/2 of 198.51.100.0/24.
    #[must_use]
    pub fn cut_off(&self) -> Vec<String> {
        let names = |policy| self.names(policy).unwrap_or_default().into_iter();
        let files = Policy::ALL
            .into_iter()
            .flat_map(|policy| names(policy).map(move |name| (policy, name)));
        let cut = files.filter(|(policy, name)| {
            let ends = ends_with_a_line(&self.path(*policy, name));
            // One that cannot be read is named elsewhere.
            ends.is_ok_and(|ends| !ends)
        });
        let note = |(policy, name): (Policy, SetName)| {
            format!(
                "sets/{policy}/{} does not end with a line end: if it was downloaded, it may be cut off",
                file_name(&name)
            )
        };
        cut.take(MOST_NOTES).map(note).collect()
    }

    /// [`Self::read`], while all sets together are not too many. Counts those that are not.
    fn read_bounded(
        &self,
        policy: Policy,
        name: &SetName,
        total: &mut usize,
    ) -> Result<Vec<Cidr>, SetError> {
        let entries = self.read(policy, name)?;
        let (sum, most) = (*total + entries.len(), self.most(policy));
        if sum > most {
            let file = file_name(name);
            return Err(SetError::TooMany { policy, file, most });
        }
        *total = sum;
        Ok(entries)
    }

    /// The names of a policy's files, sorted. Files that are not called `NAME.couic` are ignored.
    pub(super) fn names(&self, policy: Policy) -> Result<Vec<SetName>, SetError> {
        let folder = self.folder(policy);
        let io_error = |source| SetError::Io {
            path: folder.clone(),
            source,
        };
        let mut names = Vec::new();
        for file in fs::read_dir(&folder).map_err(io_error)? {
            let file = file.map_err(io_error)?.file_name();
            let name = file.to_str().and_then(|name| name.strip_suffix(".couic"));
            names.extend(name.and_then(|name| name.parse::<SetName>().ok()));
        }
        names.sort_unstable();
        Ok(names)
    }
}

fn ends_with_a_line(path: &Path) -> io::Result<bool> {
    let mut file = open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
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
