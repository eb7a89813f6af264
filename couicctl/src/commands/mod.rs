//! The commands, one file per group: calls the client library and passes the responses to [`crate::render`].

mod check;
mod clients;
mod delete;
mod entries;
mod import;
mod live;
mod log;
mod notifiers;
mod parts;
mod peers;
mod progress;
mod sets;
mod stats;
mod switch;

use std::path::Path;

use couic_client::{Client, ClientError};
use couic_common::{HealthStatus, Policy, unix_seconds};

use crate::{
    cli::{self, Command, StatsCommand},
    config::Settings,
    connect,
    duration::now,
    failure::Failure,
    output::Output,
    render,
};

pub(crate) use check::Overlap;

/// The context of commands that call the daemon.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) output: Output,
    pub(crate) asn_url: String,
    token_source: String,
}

impl Context {
    pub(crate) fn new(settings: &Settings, output: Output) -> Result<Self, Failure> {
        let (client, token_source) = connect::connect(settings)?;
        Ok(Self {
            client,
            output,
            asn_url: settings.asn_url.clone(),
            token_source,
        })
    }

    /// Now, in Unix seconds by the daemon's clock as the last response had it: what is left of a time that it named.
    pub(crate) fn now(&self) -> u64 {
        now().saturating_add_signed(self.client.clock_ahead())
    }

    /// The failure of a call; for a rejected token, with its source.
    pub(crate) fn failed(&self, error: ClientError) -> Failure {
        let denied = (error.status() == Some(401)).then(|| {
            format!(
                "the token comes from {}: the daemon does not know it, or its group lacks this right",
                self.token_source
            )
        });
        Failure::from(error).or_refused_with(denied.as_deref())
    }
}

/// Runs commands that need no daemon, and returns all others.
pub(crate) fn offline(command: Command, output: &mut Output) -> Result<Option<Command>, Failure> {
    match command {
        Command::Completions { shell } => {
            let shell = clap_complete::Shell::from(shell);
            // Generators panic on write errors, so they write to memory.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut cli::command(), "couicctl", &mut script);
            output.writer().write_all(&script)?;
        }
        Command::Man { dir: None } => {
            clap_mangen::Man::new(cli::command()).render(output.writer())?;
        }
        Command::Man { dir: Some(dir) } => {
            clap_mangen::generate_to(cli::command(), &dir).map_err(|e| {
                Failure::Usage(format!(
                    "man pages cannot be written to {}: {e}",
                    dir.display()
                ))
            })?;
        }
        other => return Ok(Some(other)),
    }
    Ok(None)
}

/// Runs commands that need the daemon.
pub(crate) async fn run(
    command: Command,
    mut context: Context,
    config: Option<&Path>,
) -> Result<(), Failure> {
    let cx = &mut context;
    let within = command.confirm_within();
    if let Some(within) = within {
        cx.client = cx.client.confirm_within(within.as_secs());
    }
    let done = match command {
        Command::Drop(args) => entries::run(Policy::Drop, args.command, cx).await,
        Command::Ignore(args) => entries::run(Policy::Ignore, args.command, cx).await,
        Command::Sets(command) => sets::run(command, cx).await,
        Command::Stats(StatsCommand::Global { live: true }) => live::run(cx).await,
        Command::Stats(command) => stats::run(&command, cx).await,
        Command::Check { cidr } => check::run(cidr.cidr, cx).await,
        Command::Health => return finish(health(cx).await, context),
        Command::Panic { command } => return finish(switch::panic(command, cx).await, context),
        Command::Confirm(args) => switch::confirm(args, cx).await,
        Command::Log(args) => log::run(&args, cx).await,
        Command::Peers { command } => peers::run(command, cx).await,
        Command::Notifiers(command) => notifiers::run(command, cx).await,
        Command::Clients(command) => clients::run(command, cx).await,
        // Spelled out before, or run elsewhere.
        Command::Ban(_)
        | Command::Unban(_)
        | Command::Reload { .. }
        | Command::Doctor(_)
        | Command::Completions { .. }
        | Command::Man { .. } => Ok(()),
    };
    // Even after a failure: a disabled filter is always reported.
    switch::remark(cx, within.filter(|_| done.is_ok()), config);
    finish(done, context)
}

fn finish(done: Result<(), Failure>, context: Context) -> Result<(), Failure> {
    done?;
    context.output.finish()
}

async fn health(cx: &mut Context) -> Result<(), Failure> {
    let health = cx.client.health().await.map_err(|e| cx.failed(e))?;
    // Health requires no token and contains no names. Without the right to read more, only the time is shown.
    let panic = match health.panic_since {
        Some(_) => cx.client.panic().await.ok().filter(|panic| panic.on),
        None => None,
    };
    cx.output.show(&health, |out| {
        render::health(&health, panic.as_ref(), unix_seconds(), out)
    })?;
    if health.status == HealthStatus::Down {
        cx.output.flush()?;
        return Err(Failure::Reported);
    }
    Ok(())
}
