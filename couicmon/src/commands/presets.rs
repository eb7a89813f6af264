//! `couicmon presets`.

use std::{io::Write, process::ExitCode};

use super::{Failure, table::Table};
use crate::presets;

pub(super) fn run(name: Option<&str>, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let Some(name) = name else {
        let mut table = Table::new(&["Preset", "For"]);
        for name in presets::NAMES {
            table.row([(*name).to_owned(), presets::purpose(name).to_owned()]);
        }
        table.write(out)?;
        return Ok(ExitCode::SUCCESS);
    };
    let Some(text) = presets::get(name) else {
        let names = presets::NAMES.join(", ");
        return Err(Failure::Usage(format!(
            "there is no preset {name:?}; there are: {names}"
        )));
    };
    out.write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
