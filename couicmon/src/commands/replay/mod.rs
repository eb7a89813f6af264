//! `couicmon replay`: what the jails would have done to a log. Time is that of the lines; nothing leaves this process, and
//! memory is bounded as in the service.

mod clock;
mod dates;
mod limit;
mod packed;
mod report;
mod run;
#[cfg(test)]
mod tests;

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use couic_tail::{Figures, Read, read_file};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use self::{
    limit::Limit,
    run::{Feed, Run},
};
use super::{Failure, reading};
use crate::{args::Replay, config::Config};

/// The collateral is above --max-collateral.
const EXIT_COLLATERAL: u8 = 3;

pub(super) fn run(args: &Replay, path: &Path, out: &mut dyn Write) -> Result<ExitCode, Failure> {
    let limit = args
        .max_collateral
        .as_deref()
        .map(Limit::parse)
        .transpose()?;
    let mut config = reading::config(&args.reading, path)?;
    only(&mut config, &args.jails)?;
    let candidates = reading::candidates(&args.reading, &config)?;
    let mut run = Run::new(&config, &candidates, args.bans)?;
    let mut done = Figures::default();
    let progress = Progress::of(&args.files);
    for file in &args.files {
        if let Some(tool) = packed::tool(file) {
            let message = format!(
                "only gzip is read; decompress it: {tool} -dc {} | couicmon replay … -",
                file.display()
            );
            return Err(Failure::failed(file.display(), message));
        }
        let mut feed = Feed::new(&mut run, file);
        let read = read_file(file, &mut feed, &mut |read| progress.show(read));
        let figures = read.map_err(|e| Failure::failed(file.display(), e))?;
        done.lines += figures.lines;
        done.bytes += figures.bytes;
        done.cut_lines += figures.cut_lines;
        progress.file_is_done();
    }
    drop(progress);
    if let Some(failure) = run.failure.take().or_else(|| run.nothing(done.lines)) {
        return Err(failure);
    }
    for unknown in &run.unknown {
        eprintln!("warning: {unknown}");
    }
    let report = report::Report::of(&mut run, &done);
    if args.json {
        report.json(out)?;
    } else {
        report.text(out, args.bans)?;
    }
    let over = limit
        .as_ref()
        .and_then(|limit| limit.exceeded(&report.jails));
    if let Some(jail) = over {
        out.flush()?;
        eprintln!("{jail}: the collateral is above --max-collateral");
        return Ok(ExitCode::from(EXIT_COLLATERAL));
    }
    Ok(ExitCode::SUCCESS)
}

/// Leaves out all jails but these.
fn only(config: &mut Config, names: &[String]) -> Result<(), Failure> {
    let jails = &config.detect.jails;
    if let Some(unknown) = names
        .iter()
        .find(|name| !jails.iter().any(|jail| jail.name == **name))
    {
        let known = jails
            .iter()
            .map(|jail| jail.name.as_str())
            .collect::<Vec<_>>()
            .join(", ");
        return Err(Failure::Usage(format!(
            "there is no jail {unknown:?}; there are: {known}"
        )));
    }
    if !names.is_empty() {
        // Nobody else has it yet.
        if let Some(detect) = Arc::get_mut(&mut config.detect) {
            detect.jails.retain(|jail| names.contains(&jail.name));
        }
    }
    Ok(())
}

/// How much of all files is read: on a terminal only.
struct Progress {
    bar: ProgressBar,
    /// Bytes of the files that are done.
    before: std::cell::Cell<(u64, u64)>,
}

impl Progress {
    fn of(files: &[PathBuf]) -> Self {
        let sizes = files
            .iter()
            .map(|file| fs::metadata(file).ok().filter(fs::Metadata::is_file));
        let total: Option<u64> = sizes.map(|meta| meta.map(|meta| meta.len())).sum();
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(total, target);
        let form = match total {
            Some(_) => "[{bar:20}] {bytes} of {total_bytes}, {percent} %, {eta} left",
            None => "{spinner} {bytes} read, {elapsed}",
        };
        // A form that is not valid leaves the default.
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style.progress_chars("#> ").tick_chars("|/-\\ "));
        }
        bar.enable_steady_tick(Duration::from_millis(250));
        Self {
            bar,
            before: std::cell::Cell::default(),
        }
    }

    fn show(&self, read: Read) {
        let (before, _) = self.before.get();
        self.before.set((before, read.done));
        self.bar.set_position(before + read.done);
    }

    fn file_is_done(&self) {
        let (before, this) = self.before.get();
        self.before.set((before + this, 0));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
