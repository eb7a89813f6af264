//! couicctl, the command line of Couic.
//!
//! A command takes three steps, each in a module of its own: [`cli`] defines the arguments (and with them help,
//! completions and man pages), [`commands`] call the client library, [`render`] formats the responses. Exit codes are
//! defined in [`failure`] only.
//!
//! Guarantees: a failed command exits with a code other than 0, and says on stderr why and what to do. Text from a daemon
//! cannot control the terminal.
//!
//! ```sh
//! couicctl drop add 192.0.2.7 -t scan -e 2h && couicctl check 192.0.2.7 --json
//! ```

mod cli;
mod commands;
mod complete;
mod config;
mod connect;
mod doctor;
mod duration;
mod failure;
mod fill;
mod input;
mod installed;
mod manual;
mod output;
mod pager;
mod render;
mod session;
mod setup;
mod suggest;
mod tag;
mod token_file;
mod top;
mod until;

use std::process::ExitCode;

use clap::FromArgMatches;

use cli::{Cli, Command};
use commands::Context;
use failure::Failure;
use output::Output;
use render::Style;

fn main() -> ExitCode {
    // A shell asks for completions.
    clap_complete::CompleteEnv::with_factory(cli::command).complete();
    let matches = cli::command().try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => cli::suggest(error).exit(),
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let mut output = Output::stdout(cli.json).without_pager(cli.no_pager);
    render::set_style(Style::of_stdout(output.is_terminal()));
    let Some(command) = commands::offline(cli.command.spelled_out(), &mut output)? else {
        return output.finish();
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::Failed(format!("the async runtime does not start: {e}")))?;
    let config = cli.config.as_deref();
    if let Command::Doctor(args) = &command {
        return runtime.block_on(doctor::run(config, args, output));
    }
    if let Command::Setup(args) = command {
        return runtime.block_on(setup::run(args, output));
    }
    let settings = config::load(config)?;
    let context = match command {
        Command::Health | Command::Status => Context::for_health(&settings, output)?,
        _ => Context::new(&settings, output)?,
    };
    runtime.block_on(commands::run(command, context, config))
}
