//! `couicctl clients`.

use serde_json::json;

use super::Context;
use crate::{cli::ClientsCommand, failure::Failure, render};

pub(super) async fn run(command: ClientsCommand, cx: &mut Context) -> Result<(), Failure> {
    match command {
        ClientsCommand::Add(new) => {
            let made = cx.client.create_client(&new.name, new.group.into()).await;
            let made = made.map_err(|e| cx.failed(e))?;
            cx.output.table(&made, || render::clients([&made]))
        }
        ClientsCommand::List => {
            let all = cx.client.clients().await.map_err(|e| cx.failed(e))?;
            cx.output.table(&all, || render::clients(&all))
        }
        ClientsCommand::Inspect { name } => {
            let one = cx.client.client(&name).await.map_err(|e| cx.failed(e))?;
            cx.output.table(&one, || render::clients([&one]))
        }
        ClientsCommand::Delete { name } => {
            let deleted = cx.client.delete_client(&name).await;
            deleted.map_err(|e| cx.failed(e))?;
            let value = json!({"name": name, "deleted": true});
            cx.output.show(&value, |out| {
                writeln!(out, "Client {name} deleted, its token is revoked.")
            })
        }
    }
}
