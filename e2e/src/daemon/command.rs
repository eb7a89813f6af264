//! The command line of a daemon, the same at every restart: directly, with a few capabilities, or through a program.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{BpfFs, Lab};

/// How the process is started, the same at every restart.
#[derive(Debug, Default)]
pub(super) struct Way {
    pub(super) capabilities: Option<String>,
    /// Instead of the workspace's.
    pub(super) binary: Option<PathBuf>,
    pub(super) bpffs: Option<BpfFs>,
    /// A program that runs it, with its first arguments.
    pub(super) wrapper: Vec<String>,
    pub(super) env: Vec<(String, String)>,
}

/// The command for `couic`, without its arguments.
pub(super) fn command(lab: &Lab, way: &Way) -> Command {
    let binary = way.binary.clone().unwrap_or_else(|| lab.binary("couic"));
    let mut command = match (&way.capabilities, way.wrapper.split_first()) {
        (Some(capabilities), _) => {
            let mut setpriv = lab.host.command("setpriv");
            setpriv.args([
                "--reuid=nobody",
                "--regid=nogroup",
                "--clear-groups",
                "--no-new-privs",
            ]);
            for kind in ["inh-caps", "ambient-caps", "bounding-set"] {
                setpriv.arg(format!("--{kind}={capabilities}"));
            }
            setpriv.arg(binary);
            setpriv
        }
        (None, Some((wrapper, words))) => {
            let mut command = lab.host.command(wrapper);
            command.args(words).arg(binary);
            command
        }
        (None, None) => lab.host.command(binary),
    };
    if let Some(bpffs) = &way.bpffs {
        bpffs.around(&mut command);
    }
    command.envs(way.env.iter().map(|(k, v)| (k, v)));
    command
}

pub(super) fn detach(lab: &Lab, home: &Path, way: &Way) -> (i32, String) {
    let mut command = command(lab, way);
    let output = command
        .arg("-c")
        .arg(home.join("couic.toml"))
        .arg("detach")
        .output()
        .expect("run couic detach");
    let printed = [output.stdout, output.stderr].concat();
    let code = output.status.code().unwrap_or(-1);
    (code, String::from_utf8_lossy(&printed).into_owned())
}
