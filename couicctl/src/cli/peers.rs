//! `peers invite`.

use std::path::PathBuf;

use clap::Args;
use couic_common::ClientName;

/// Examples.
pub(super) const INVITE: &str = "\
Examples:
  couicctl peers invite couic2 --host couic1.example.org
  couicctl peers invite couic2 --host couic1.example.org | ssh root@couic2.example.org 'cat >> /etc/couic/couic.toml'

Creates the client NAME (group peering) on this node. Prints the [[peering.peers]] table with which the other node reaches
this one: append it to /etc/couic/couic.toml there, set [peering] enabled = true, and restart couic. Then do the same on the
other node for this one. The table holds a token: pass it on through a pipe, or a file that only root can read.
If an error occurs, nothing is printed to standard output. Needs group admin.";

/// A node that is to share rules with this one.
#[derive(Args)]
pub(crate) struct InviteArgs {
    /// What the other node is called here: its client, and the name of its own [[peering.peers]] table
    pub(crate) name: ClientName,
    /// How the other node reaches this one: a host name or address [default: this machine's host name]
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// The port there, of the proxy before couic's socket
    #[arg(long, default_value_t = 2900)]
    pub(crate) port: u16,
    /// What this node is called there [default: the host up to its first dot]
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) own_name: Option<ClientName>,
    /// A file on the other node with the certificate authority of this one, if that is a private one
    #[arg(long, value_name = "FILE", conflicts_with = "plain")]
    pub(crate) ca: Option<PathBuf>,
    /// Without TLS, for tunnels: the token is sent in clear text
    #[arg(long)]
    pub(crate) plain: bool,
    /// If the client exists, give it a new token; its old one is revoked at once
    #[arg(long)]
    pub(crate) rotate: bool,
}
