//! `couicctl clients`.

use std::time::Duration;

use couic_client::ClientError;
use couic_common::{ClientInfo, ClientName};
use serde_json::json;

use super::{Context, own_token};
use crate::{
    cli::ClientsCommand,
    duration::remaining,
    failure::{Failure, print_warning},
    render,
};

pub(super) async fn run(command: ClientsCommand, cx: &mut Context) -> Result<(), Failure> {
    match command {
        ClientsCommand::Add(new) => {
            let made = cx.client.create_client(&new.name, new.group.into()).await;
            let made = made.map_err(|e| cx.failed(e))?;
            cx.output.table(&made, || render::clients([&made], true))
        }
        ClientsCommand::List { show_tokens } => {
            let all = cx.client.clients().await.map_err(|e| cx.failed(e))?;
            list(&all, show_tokens, cx)
        }
        ClientsCommand::Inspect { name } => {
            let one = match cx.client.client(&name).await {
                Ok(one) => one,
                Err(error) => return Err(unknown(&name, error, cx).await),
            };
            cx.output.table(&one, || render::clients([&one], true))
        }
        ClientsCommand::Rotate { name, grace } => rotate(&name, grace, cx).await,
        ClientsCommand::Delete { name } => {
            if let Err(error) = cx.client.delete_client(&name).await {
                return Err(unknown(&name, error, cx).await);
            }
            let value = json!({"name": name, "deleted": true});
            cx.output.show(&value, |out| {
                writeln!(out, "Client {name} deleted, its token is revoked.")
            })
        }
    }
}

/// Tokens end up in scroll-back, logs and screenshots: they are shown only on request.
fn list(all: &[ClientInfo], show_tokens: bool, cx: &mut Context) -> Result<(), Failure> {
    if show_tokens {
        return cx.output.table(all, || render::clients(all, true));
    }
    let hidden: Vec<_> = all
        .iter()
        .map(|client| json!({"name": client.name, "group": client.group}))
        .collect();
    cx.output.table(&hidden, || render::clients(all, false))
}

/// A new token. If it is couicctl's own, the file that it comes from gets it before anything is shown.
async fn rotate(name: &ClientName, grace: Duration, cx: &mut Context) -> Result<(), Failure> {
    let old = match cx.client.client(name).await {
        Ok(old) => old,
        Err(error) => return Err(unknown(name, error, cx).await),
    };
    let own = own_token::is(&old.token, cx);
    let made = cx.client.rotate_client(name, grace.as_secs()).await;
    let made = made.map_err(|e| cx.failed(e))?;
    let written = own.then(|| own_token::replace(&old.token, &made.token, cx));
    cx.output.table(&made, || render::clients([&made], true))?;
    cx.output.flush()?;
    let old = match grace.as_secs() {
        0 => "is refused from now on".to_owned(),
        seconds => format!("is accepted for {}", remaining(seconds, 0)),
    };
    match written {
        None => print_warning(&format!("the old token of {name} {old}")),
        Some(Ok(path)) => print_warning(&format!("{path} has the new token; the old one {old}")),
        Some(Err(failure)) => {
            return Err(failure.hint(&format!(
                "write the new token there by hand; the old one {old}"
            )));
        }
    }
    Ok(())
}

/// The failure of a call about a client.
async fn unknown(name: &ClientName, error: ClientError, cx: &Context) -> Failure {
    let names = async || {
        let all = cx.client.clients().await.ok()?;
        Some(
            all.into_iter()
                .map(|client| client.name.to_string())
                .collect(),
        )
    };
    cx.unknown(name.as_str(), error, names).await
}
