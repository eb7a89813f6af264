//! The commands, one file per group: calls the client library and passes the responses to [`crate::render`].

mod check;
mod clients;
mod delete;
mod dry_run;
mod entries;
mod events;
mod export;
mod import;
mod interrupt;
mod invite;
mod list;
mod live;
mod log;
mod notifiers;
mod own_token;
mod parts;
mod peers;
mod progress;
mod reading;
mod sets;
mod state;
mod stats;
mod status;
mod switch;

use std::path::{Path, PathBuf};

use couic_client::{Client, ClientError};
use couic_common::{HealthStatus, Policy};

use crate::{
    cli::{ClientsCommand, Command, NotifiersCommand, SetsCommand},
    config::{Settings, Target},
    connect,
    duration::now_at,
    failure::Failure,
    manual,
    output::Output,
    render,
    suggest::did_you_mean,
};

pub(crate) use check::Overlap;
pub(crate) use interrupt::{Interrupt, caught};
pub(crate) use status::{Overview, TagRate};

/// The context of commands that call the daemon.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) output: Output,
    pub(crate) asn_url: String,
    /// The file that the token is from.
    token_file: PathBuf,
    token_source: String,
    /// Why there is no token, for a command that can do without.
    no_token: Option<String>,
}

impl Context {
    pub(crate) fn new(settings: &Settings, output: Output) -> Result<Self, Failure> {
        let (client, token_source) = connect::connect(settings)?;
        let token_file = match &settings.target {
            Target::Local { client_file, .. } => client_file,
            Target::Remote { .. } => &settings.file,
        };
        Ok(Self {
            client,
            output,
            asn_url: settings.asn_url.clone(),
            token_file: token_file.clone(),
            token_source,
            no_token: None,
        })
    }

    /// The same for a command that can do without a token that cannot be read.
    pub(crate) fn for_health(settings: &Settings, output: Output) -> Result<Self, Failure> {
        match connect::connect(settings) {
            Err(Failure::Unreachable(why)) => Ok(Self {
                client: connect::without_token(settings)?,
                output,
                asn_url: String::new(),
                token_file: PathBuf::new(),
                token_source: String::new(),
                no_token: Some(why),
            }),
            _ => Self::new(settings, output),
        }
    }

    /// Now, in Unix seconds by the daemon's clock as the last response had it: what is left of a time that it named.
    pub(crate) fn now(&self) -> u64 {
        now_at(&self.client)
    }

    /// The failure of a call; for a rejected token, with its source.
    pub(crate) fn failed(&self, error: ClientError) -> Failure {
        let denied = (error.status() == Some(401)).then(|| {
            format!(
                "the token comes from {}; couicctl clients, as an admin, shows the clients and their groups",
                self.token_source
            )
        });
        Failure::from(error).or_refused_with(denied.as_deref())
    }

    /// The failure of a call about something by its name; if there is none of that name, with the one of these that was
    /// probably meant. `names` is None if they cannot be read.
    pub(crate) async fn unknown(
        &self,
        name: &str,
        error: ClientError,
        names: impl AsyncFnOnce() -> Option<Vec<String>>,
    ) -> Failure {
        let is_missing = error.status() == Some(404);
        let failure = self.failed(error);
        if !is_missing {
            return failure;
        }
        let all = names().await.unwrap_or_default();
        let hint = did_you_mean(name, all.iter().map(String::as_str));
        failure.or_refused_with(hint.as_deref())
    }
}

/// Runs commands that need no daemon, and returns all others.
pub(crate) fn offline(command: Command, output: &mut Output) -> Result<Option<Command>, Failure> {
    match command {
        Command::Completions { shell } => {
            let shells = clap_complete::env::Shells::builtins();
            let shell = shells.completer(shell.as_str());
            let shell = shell.ok_or_else(|| Failure::Failed("unknown shell".to_owned()))?;
            let (name, writer) = ("couicctl", output.writer());
            shell.write_registration("COMPLETE", name, name, name, writer)?;
        }
        Command::Man { dir: None, .. } => {
            output.writer().write_all(&manual::main_page()?)?;
        }
        Command::Man {
            dir: Some(dir),
            all,
        } => manual::write(&dir, all)?,
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
        Command::Sets { command } => {
            let list = SetsCommand::List { policy: None };
            sets::run(command.unwrap_or(list), cx).await
        }
        Command::Export(args) => state::export(&args, cx).await,
        Command::Diff(args) => state::diff(&args, cx).await,
        Command::Apply(args) => state::apply(&args, cx).await,
        Command::Metrics => stats::metrics(cx).await,
        Command::Top(args) => crate::top::run(args, cx).await,
        Command::Stats(args) => stats::run(args.spelled_out(), cx).await,
        Command::Check { cidr } => check::run(cidr.cidr, cx).await,
        Command::Health => return finish(health(cx).await, context),
        Command::Status => return finish(status::run(cx).await, context),
        Command::Panic { command } => return finish(switch::panic(command, cx).await, context),
        Command::Confirm(args) => switch::confirm(args, cx).await,
        Command::Events(args) => events::run(&args, cx).await,
        Command::Log(args) => log::run(&args, cx).await,
        Command::Peers { command, wait } => peers::run(command, wait, cx).await,
        Command::Notifiers { command } => {
            notifiers::run(command.unwrap_or(NotifiersCommand::List), cx).await
        }
        Command::Clients { command } => {
            let list = ClientsCommand::List { show_tokens: false };
            clients::run(command.unwrap_or(list), cx).await
        }
        // Spelled out before, or run elsewhere.
        Command::Ban(_)
        | Command::Unban(_)
        | Command::Reload { .. }
        | Command::Doctor(_)
        | Command::Setup(_)
        | Command::Completions { .. }
        | Command::Man { .. } => Ok(()),
    };
    let left = cx.output.end_page();
    let done = done.and(left);
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
    let now = cx.now();
    cx.output.show(&health, |out| {
        render::health(&health, panic.as_ref(), now, out)
    })?;
    exit_code(health.status, cx)
}

/// The exit code of health: 1 if an interface is not filtered.
fn exit_code(status: HealthStatus, cx: &mut Context) -> Result<(), Failure> {
    if status == HealthStatus::Down {
        cx.output.flush()?;
        return Err(Failure::Reported);
    }
    Ok(())
}
