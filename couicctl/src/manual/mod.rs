//! Man pages: of the commands from their definitions, of the configuration files from docs/configuration.md.
//!
//! The lists below the options of a command become sections of their own: EXAMPLES, EXIT STATUS, FILES, ENVIRONMENT. The
//! pages of a command have those of the program, too.

mod keys;
mod roff;

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use clap::CommandFactory as _;
use clap_mangen::Man;

use crate::{cli, failure::Failure};
use roff::{Sections, escaped};

#[path = "../../../couic/src/args.rs"]
mod couic;
#[path = "../../../couic-bouncer/src/args.rs"]
mod couic_bouncer;
#[path = "../../../couic-report/src/args.rs"]
mod couic_report;
#[path = "../../../couicmon/src/args.rs"]
mod couicmon;

const DAEMON: &str = "\
Exit codes:
  0   success
  1   the daemon cannot start, or the command failed; see stderr
  64  the configuration file is invalid

Files:
  /etc/couic/couic.toml       the configuration
  /var/lib/couic              clients, set files, rules and other state
  /var/log/couic              log files
  /var/run/couic/couic.sock   the socket of the API

Examples:
  couic --check-config                         before a start or a restart
  couic detach                                 if the daemon died and the filter stayed";

const REPORT: &str = "\
Exit codes:
  0   success
  1   it cannot start, or the command failed; see stderr
  64  the configuration file is invalid

Files:
  /etc/couic-report/config.toml   the configuration
  /var/lib/couic-report           what was received and is not delivered yet

Environment:
  COUIC_REPORT_LOG    the level of the log: error, warn, info, debug, trace
  STATE_DIRECTORY     the directory of the state, set by systemd

Examples:
  couic-report check-config
  couic-report test-notify";

const MON: &str = "\
Exit codes:
  0   success
  1   it cannot start, or the command failed; see stderr
  3   replay: the collateral is above --max-collateral
  64  the configuration or an argument is invalid

Files:
  /etc/couicmon/couicmon.toml     the configuration
  /etc/couicmon/couicmon.d        more of it: *.toml
  /var/lib/couicmon               checkpoints, the ladder of bans, bans that are not sent yet
  /run/couicmon/control.sock      the socket of couicmon top

Environment:
  COUICMON_LOG        the level of the log: error, warn, info, debug, trace
  STATE_DIRECTORY     the directory of the state, set by systemd

Examples:
  couicmon replay --preset nginx /var/log/nginx/access.log.1
  couicmon --check-config                                      before a start or a reload";

const BOUNCER: &str = "\
Exit codes:
  0   success
  1   it cannot start, or the command failed; see stderr
  64  the configuration or an argument is invalid
  75  it has to be started again, which systemd does

Files:
  /etc/couic-bouncer/couic-bouncer.toml   the configuration
  /etc/couic-bouncer/couic-bouncer.d      more of it: *.toml
  /etc/couic-bouncer/token                its token
  /var/lib/couic-bouncer                  the last good list of each feed
  /run/couic-bouncer/control.sock         the socket of its commands

Environment:
  COUIC_BOUNCER_LOG   the level of the log: error, warn, info, debug, trace
  STATE_DIRECTORY     the directory of the state, set by systemd
  HTTPS_PROXY         a proxy for feeds

Examples:
  couic-bouncer --check-config                 before a start or a reload
  couic-bouncer feeds preview spamhaus-drop    what a list would bring
  couic-bouncer status";

/// The page of the program.
pub(crate) fn main_page() -> Result<Vec<u8>, Failure> {
    let mut command = cli::command().disable_help_subcommand(true);
    command.build();
    let of_program = Sections::of(&command);
    Ok(page(
        &command,
        "1",
        &of_program,
        "couic(8), couicctl.toml(5)",
    )?)
}

/// Writes the pages of couicctl into a directory; with `all`, those of the other programs and of the files, too.
pub(crate) fn write(dir: &Path, all: bool) -> Result<(), Failure> {
    write_all(dir, all).map_err(|e| {
        let dir = dir.display();
        Failure::Usage(format!("man pages cannot be written to {dir}: {e}"))
    })
}

fn write_all(dir: &Path, all: bool) -> io::Result<()> {
    let ours = cli::command();
    let of_program = Sections::of(&ours);
    pages(ours, "1", &of_program, "couic(8), couicctl.toml(5)", dir)?;
    if !all {
        return Ok(());
    }
    let see = "couicctl(1), couic.toml(5), couic-report(8)";
    pages(
        couic::Args::command(),
        "8",
        &Sections::parse(DAEMON),
        see,
        dir,
    )?;
    let see = "couic(8), couic-report.toml(5)";
    pages(
        couic_report::Cli::command(),
        "8",
        &Sections::parse(REPORT),
        see,
        dir,
    )?;
    let see = "couic(8), couicctl(1)";
    pages(
        couicmon::Cli::command(),
        "8",
        &Sections::parse(MON),
        see,
        dir,
    )?;
    let see = "couic(8), couicctl(1), couic-bouncer.toml(5)";
    pages(
        couic_bouncer::Cli::command(),
        "8",
        &Sections::parse(BOUNCER),
        see,
        dir,
    )?;
    for file in keys::FILES {
        fs::write(dir.join(format!("{}.5", file.name)), file.page())?;
    }
    Ok(())
}

fn pages(
    command: clap::Command,
    section: &str,
    of_program: &Sections,
    see: &str,
    dir: &Path,
) -> io::Result<()> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let program = command.get_name().to_owned();
    each(&command, &mut |command| {
        let name = command.get_display_name().unwrap_or(command.get_name());
        // Of a command, first the program itself.
        let related = match name.strip_prefix(&program) {
            Some("") => see.to_owned(),
            _ => format!("{program}({section}), {see}"),
        };
        let text = page(command, section, of_program, &related)?;
        fs::write(dir.join(format!("{name}.{section}")), text)
    })
}

fn each(
    command: &clap::Command,
    write: &mut impl FnMut(&clap::Command) -> io::Result<()>,
) -> io::Result<()> {
    write(command)?;
    let mut shown = command.get_subcommands().filter(|c| !c.is_hide_set());
    shown.try_for_each(|command| each(command, write))
}

fn page(
    command: &clap::Command,
    section: &str,
    of_program: &Sections,
    see: &str,
) -> io::Result<Vec<u8>> {
    let own = Sections::of(command);
    let man = Man::new(command.clone())
        .section(section)
        .date(couic_build_info::DATE)
        .source(format!("Couic {}", couic_build_info::VERSION))
        .manual("Couic");
    let mut out = Vec::new();
    man.render_title(&mut out)?;
    man.render_name_section(&mut out)?;
    man.render_synopsis_section(&mut out)?;
    man.render_description_section(&mut out)?;
    for paragraph in &own.prose {
        writeln!(out, ".PP\n{}", escaped(paragraph))?;
    }
    if command.get_arguments().any(|arg| !arg.is_hide_set()) {
        man.render_options_section(&mut out)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut out)?;
    }
    for title in ["EXAMPLES", "EXIT STATUS", "FILES", "ENVIRONMENT"] {
        let inherited = of_program.get(title).filter(|_| title != "EXAMPLES");
        let lines = own.get(title).or(inherited);
        let examples = of_program
            .get(title)
            .filter(|_| own.sections.is_empty() && section == "8");
        if let Some(lines) = lines.or(examples) {
            roff::listing(title, lines, &mut out)?;
        }
    }
    for (title, lines) in own.others() {
        roff::listing(title, lines, &mut out)?;
    }
    writeln!(out, ".SH \"SEE ALSO\"\n{}", roff::references(see))?;
    Ok(out)
}

#[cfg(test)]
mod tests;
