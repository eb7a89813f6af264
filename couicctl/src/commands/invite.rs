//! `couicctl peers invite`: a client for another node, and the table for its configuration.

use std::{fs, io::IsTerminal, path::Path};

use couic_client::{ClientError, Endpoint};
use couic_common::{ClientInfo, ClientName, Group};
use serde::Serialize;

use super::Context;
use crate::{cli::InviteArgs, failure::Failure};

/// What the other node needs.
#[derive(Serialize)]
struct Invitation {
    /// The client that was created here: what the other node is called.
    client: ClientName,
    /// What this node is called there.
    name: ClientName,
    host: String,
    port: u16,
    tls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
    token: String,
    /// The table `[[peering.peers]]`.
    toml: String,
}

pub(super) async fn run(args: InviteArgs, cx: &mut Context) -> Result<(), Failure> {
    // All that can be wrong with the options comes before the client is made.
    let host = match args.host {
        Some(host) => host,
        None => own_host(cx.client.endpoint())?,
    };
    valid_host(&host)?;
    let name = match args.own_name {
        Some(name) => name,
        None => name_of(&host)?,
    };
    let ca = args.ca.as_deref().map(absolute).transpose()?;
    let made = client(&args.name, args.rotate, cx).await?;
    let mut invitation = Invitation {
        client: args.name,
        name,
        host,
        port: args.port,
        tls: !args.plain,
        ca,
        token: super::clients::token_of(&made)?.to_string(),
        toml: String::new(),
    };
    invitation.toml = table(&invitation);
    cx.output
        .show(&invitation, |out| out.write_all(invitation.toml.as_bytes()))?;
    if !cx.output.is_json() && std::io::stderr().is_terminal() {
        cx.output.flush()?;
        let Invitation { client, name, .. } = &invitation;
        eprintln!(
            "\nOn {client}: append this to /etc/couic/couic.toml, set [peering] enabled = true, and restart couic.\n\
             Then run there: couicctl peers invite {name} --host HOST (its own), and append what that prints here."
        );
    }
    Ok(())
}

/// Makes the client. One that is there keeps its token, unless that is to be replaced.
async fn client(name: &ClientName, rotate: bool, cx: &Context) -> Result<ClientInfo, Failure> {
    match cx.client.client(name).await {
        Err(ClientError::Refused { status: 404, .. }) => {}
        Err(error) => return Err(cx.failed(error)),
        Ok(there) if there.group != Group::Peering => {
            return Err(Failure::Refused(format!(
                "the client {name} exists, and is of group {}: choose another name for the node",
                there.group
            )));
        }
        Ok(_) if rotate => {
            let deleted = cx.client.delete_client(name).await;
            deleted.map_err(|e| cx.failed(e))?;
        }
        Ok(_) => {
            return Err(Failure::Refused(format!(
                "the client {name} exists already, as after an earlier invitation\n  --rotate gives it a new token and \
                 revokes the old one, which is not shown again"
            )));
        }
    }
    let made = cx.client.create_client(name, Group::Peering).await;
    made.map_err(|e| cx.failed(e))
}

fn table(invitation: &Invitation) -> String {
    let Invitation {
        client,
        name,
        host,
        port,
        tls,
        ca,
        token,
        ..
    } = invitation;
    let mut text = format!(
        "\n# {name} shares its rules with this node, which it calls {client}.\n[[peering.peers]]\nname = \"{name}\"\n\
         host = {}\nport = {port}\n",
        quoted(host)
    );
    if !tls {
        text += "tls = false\n";
    }
    if let Some(ca) = ca {
        text += &format!("ca = {}\n", quoted(ca));
    }
    text + &format!("token = \"{token}\"\n")
}

/// A basic string of TOML, which is one of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The host that this command reaches the daemon at or, through the socket, this machine's name.
fn own_host(endpoint: &Endpoint) -> Result<String, Failure> {
    if let Endpoint::Tcp { host, .. } = endpoint {
        return Ok(host.clone());
    }
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" | "localhost" | "(none)" => Err(Failure::Usage(
            "say with --host how the other node reaches this one".to_owned(),
        )),
        name => Ok(name.to_owned()),
    }
}

fn valid_host(host: &str) -> Result<(), Failure> {
    let fits =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']');
    if !host.is_empty() && host.len() <= 253 && host.chars().all(fits) {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{host:?} is neither a host name nor an address"
    )))
}

/// The first label of a host name; an address has none that says something.
fn name_of(host: &str) -> Result<ClientName, Failure> {
    let is_address = host
        .trim_matches(['[', ']'])
        .parse::<std::net::IpAddr>()
        .is_ok();
    let label = host.split('.').next().unwrap_or(host);
    let name = (!is_address).then(|| label.parse().ok()).flatten();
    name.ok_or_else(|| {
        Failure::Usage(format!(
            "say with --as what this node is to be called on the other one: {host} has no name in it"
        ))
    })
}

fn absolute(path: &Path) -> Result<String, Failure> {
    match path.to_str() {
        Some(text) if path.is_absolute() => Ok(text.to_owned()),
        _ => Err(Failure::Usage(
            "--ca is the absolute path of a file on the other node".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation() -> Invitation {
        Invitation {
            client: "couic2".parse().unwrap(),
            name: "couic1".parse().unwrap(),
            host: "couic1.example.org".to_owned(),
            port: 2900,
            tls: true,
            ca: None,
            token: "bbfa1388-3218-463c-9722-6805507c14bb".to_owned(),
            toml: String::new(),
        }
    }

    #[test]
    fn the_table_is_what_the_other_node_needs() {
        let expected = "\n\
# couic1 shares its rules with this node, which it calls couic2.\n\
[[peering.peers]]\n\
name = \"couic1\"\n\
host = \"couic1.example.org\"\n\
port = 2900\n\
token = \"bbfa1388-3218-463c-9722-6805507c14bb\"\n";
        assert_eq!(table(&invitation()), expected);
        let other = Invitation {
            tls: false,
            ca: Some("/etc/couic/\"ca\".pem".to_owned()),
            ..invitation()
        };
        let text = table(&other);
        assert!(
            text.contains("tls = false\nca = \"/etc/couic/\\\"ca\\\".pem\"\n"),
            "{text}"
        );
    }

    #[test]
    fn names_and_hosts() {
        let name = |host| name_of(host).map(|name| name.to_string()).ok();
        assert_eq!(name("couic1.example.org"), Some("couic1".to_owned()));
        for address in ["192.0.2.1", "[2001:db8::1]", "2001:db8::1"] {
            assert_eq!(name(address), None, "{address}");
            assert!(valid_host(address).is_ok());
        }
        for bad in ["", "a b", "x\"\ntoken = 1", "h\u{f6}st"] {
            assert!(valid_host(bad).is_err(), "{bad}");
        }
        assert!(absolute(Path::new("ca.pem")).is_err());
    }
}
