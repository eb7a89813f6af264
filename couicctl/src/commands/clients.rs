//! `couicctl clients`.

use std::{path::Path, time::Duration};

use couic_client::ClientError;
use couic_common::{ClientInfo, ClientLimits, ClientName, Group};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Context, own_token};
use crate::{
    cli::{ClientsCommand, NewClient},
    duration::remaining,
    failure::{Failure, print_note, print_warning},
    render,
    token_file::TokenFile,
};

pub(super) async fn run(command: ClientsCommand, cx: &mut Context) -> Result<(), Failure> {
    match command {
        ClientsCommand::Add(new) => add(&new, cx).await,
        ClientsCommand::List { show_tokens } => {
            let all = cx.client.clients().await.map_err(|e| cx.failed(e))?;
            list(&all, show_tokens, cx)
        }
        ClientsCommand::Inspect { name } => {
            let one = match cx.client.client(&name).await {
                Ok(one) => one,
                Err(error) => return Err(unknown(&name, error, cx).await),
            };
            show(&one, None, cx)
        }
        ClientsCommand::Rotate {
            name,
            grace,
            token_file,
        } => rotate(&name, grace, token_file.as_deref(), cx).await,
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

/// The token of a client that was made just now.
pub(super) fn token_of(made: &ClientInfo) -> Result<Uuid, Failure> {
    let missing = || {
        Failure::Failed(format!(
            "the daemon answered without the token of {}",
            made.name
        ))
    };
    made.token.ok_or_else(missing)
}

/// What can be wrong with the file comes before the client is made.
async fn add(new: &NewClient, cx: &mut Context) -> Result<(), Failure> {
    let path = new.token_file.as_deref();
    let file = path.map(|path| TokenFile::new(path, new.owner.as_deref()));
    let (file, limits) = (file.transpose()?, new.limits.limits());
    let made = create(&new.name, new.group.into(), limits.as_ref(), file, cx).await?;
    show(&made, path, cx)
}

/// A new client, with its token in the file if there is one. A client whose token is lost is deleted.
pub(super) async fn create(
    name: &ClientName,
    group: Group,
    limits: Option<&ClientLimits>,
    file: Option<TokenFile>,
    cx: &Context,
) -> Result<ClientInfo, Failure> {
    let made = cx.client.create_limited_client(name, group, limits).await;
    let made = made.map_err(|e| cx.failed(e))?;
    let kept = if made.limits.as_ref() == limits {
        let token = token_of(&made)?;
        file.map_or(Ok(()), |file| file.write(&format!("{token}\n")))
    } else {
        Err(Failure::Refused(
            "the daemon is of a version without limits of clients".to_owned(),
        ))
    };
    if let Err(failure) = kept {
        return Err(match cx.client.delete_client(name).await {
            Ok(()) => failure.with("the client was not created"),
            Err(_) => failure.with(&format!("delete it: couicctl clients delete {name}")),
        });
    }
    Ok(made)
}

/// One client. If its token is in a file, it is not shown.
fn show(client: &ClientInfo, token_file: Option<&Path>, cx: &mut Context) -> Result<(), Failure> {
    let now = cx.now();
    let mut value = value(client, token_file.is_none())?;
    if let Some(path) = token_file {
        value["token_file"] = json!(path);
    }
    let table = || render::clients(&[client], token_file.is_none(), now);
    cx.output.table(&value, table)?;
    cx.output.flush()?;
    if cx.output.is_json() {
        return Ok(());
    }
    let is_hidden = client.token.is_none();
    match token_file {
        Some(path) => print_note(&format!("the token is in {}", path.display())),
        None if is_hidden => print_warning(&not_shown(&client.name)),
        None => {}
    }
    Ok(())
}

fn not_shown(name: impl std::fmt::Display) -> String {
    format!(
        "a token is shown once, when it is made: couicctl clients rotate {name} makes a new one"
    )
}

/// As JSON, without what is not known.
fn value(client: &ClientInfo, show_token: bool) -> Result<Value, Failure> {
    let mut value = serde_json::to_value(client)?;
    if let Some(fields) = value.as_object_mut() {
        fields.remove("own");
        if !show_token || client.token.is_none() {
            fields.remove("token");
        }
    }
    Ok(value)
}

/// Tokens end up in scroll-back, logs and screenshots: they are shown only on request.
fn list(all: &[ClientInfo], show_tokens: bool, cx: &mut Context) -> Result<(), Failure> {
    let values: Result<Vec<_>, _> = all.iter().map(|one| value(one, show_tokens)).collect();
    let (shown, now): (Vec<_>, u64) = (all.iter().collect(), cx.now());
    let table = || render::clients(&shown, show_tokens, now);
    cx.output.table(&values?, table)?;
    if show_tokens && !cx.output.is_json() && all.iter().any(|client| client.token.is_none()) {
        cx.output.flush()?;
        print_warning(&not_shown("NAME"));
    }
    Ok(())
}

/// A new token. If it is couicctl's own, the file that it comes from gets it before anything is shown.
async fn rotate(
    name: &ClientName,
    grace: Duration,
    path: Option<&Path>,
    cx: &mut Context,
) -> Result<(), Failure> {
    let file = path
        .map(|path| TokenFile::replacing(path, None))
        .transpose()?;
    let old = match cx.client.client(name).await {
        Ok(old) => old,
        Err(error) => return Err(unknown(name, error, cx).await),
    };
    let own = old.own || old.token.is_some_and(|token| own_token::is(&token, cx));
    let made = cx.client.rotate_client(name, grace.as_secs()).await;
    let made = made.map_err(|e| cx.failed(e))?;
    let token = token_of(&made)?;
    let written = own.then(|| own_token::replace(&token, cx));
    let kept = file.map(|file| file.write(&format!("{token}\n")));
    // A token that is not in its file is shown: the old one ends.
    let in_file = path.filter(|_| kept.as_ref().is_some_and(Result::is_ok));
    show(&made, in_file, cx)?;
    if let Some(Err(failure)) = kept {
        return Err(failure.hint("the new token is shown above: write it there by hand"));
    }
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
