//! This machine's number, which tells its writes from those of others.
//!
//! It is made at the first start and kept in the working directory: without it, a restarted node could not tell which of
//! the rules that come back were made here. Beside it is a mark of the host's `/etc/machine-id`, salted with the number. So
//! a copy of the machine, whose image has the file as well, is noticed as soon as it has an id of its own, and takes another
//! number: two nodes with one number could not be told apart.

use std::{fs, io, path::Path};

use couic_files::{read_regular, refuses_data, replace_file};
use couic_peering::mark_of_host;

use super::PeeringError;

/// The file in the working directory: the number and the mark, a line each. Earlier versions wrote the number alone.
pub(super) const MACHINE: &str = "peering-machine";

/// The host's id, if it has one.
const MACHINE_ID: &str = "/etc/machine-id";

/// What is known of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) number: u32,
    /// Whether the file was another machine's, whose number is left to that.
    pub(super) was_copied: bool,
}

/// The host's id: 32 hexadecimal digits. None as in a container without, or before the first boot has ended.
pub(super) fn machine_id() -> Option<String> {
    let text = fs::read_to_string(MACHINE_ID).ok()?;
    let id = text.trim();
    let is_id = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit());
    (is_id && id.bytes().any(|b| b != b'0')).then(|| id.to_owned())
}

/// Reads the number, or makes one.
///
/// # Errors
/// [`PeeringError::Machine`].
pub(super) fn load(working_dir: &Path, machine_id: Option<&str>) -> Result<Identity, PeeringError> {
    let path = working_dir.join(MACHINE);
    let failed = |problem| PeeringError::Machine {
        path: path.clone(),
        problem,
    };
    let found = match read_regular(&path, 64).map(String::from_utf8) {
        // Versions before 2.0 could leave a torn file: it counts as none, since the number can be made again.
        Ok(text) => text.ok().and_then(|text| parse(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let mark = |number| machine_id.map(|id| mark_of_host(number, id));
    let was_copied = found.is_some_and(|(number, known)| {
        known
            .zip(mark(number))
            .is_some_and(|(known, now)| known != now)
    });
    let kept = found.filter(|_| !was_copied);
    let number = kept.map_or_else(|| uuid::Uuid::new_v4().as_fields().0, |(number, _)| number);
    if was_copied {
        tracing::warn!(
            "{} is a copy of another machine's: this machine has another /etc/machine-id, and takes a new number for \
             peering. If it replaces the other one, run on all its peers: couicctl peers forget NAME",
            path.display()
        );
    }
    // A mark that is known is kept while the host has no id.
    let wanted = mark(number).or(kept.and_then(|(_, known)| known));
    if kept != Some((number, wanted)) {
        match replace_file(&path, 0o640, text_of(number, wanted).as_bytes()) {
            Err(problem) if refuses_data(&problem) => tracing::warn!(
                "{} cannot be written: {problem}; after a restart, peers attribute the rules that were made here to \
                 another machine",
                path.display()
            ),
            other => other.map_err(failed)?,
        }
    }
    Ok(Identity { number, was_copied })
}

fn text_of(number: u32, mark: Option<u64>) -> String {
    match mark {
        Some(mark) => format!("{number:08x}\n{mark:016x}\n"),
        None => format!("{number:08x}\n"),
    }
}

/// The number and the mark, of a file that is whole.
fn parse(text: &str) -> Option<(u32, Option<u64>)> {
    let mut lines = text.strip_suffix('\n')?.split('\n');
    let number = lines.next().filter(|line| line.len() == 8)?;
    let number = u32::from_str_radix(number, 16).ok()?;
    let mark = match lines.next() {
        Some(mark) if mark.len() == 16 => Some(u64::from_str_radix(mark, 16).ok()?),
        Some(_) => return None,
        None => None,
    };
    lines.next().is_none().then_some((number, mark))
}
