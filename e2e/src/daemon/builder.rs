//! How a daemon is started: its configuration, its directories and their owners.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use couic_common::Policy;
use nix::unistd::{Group, User};
use tempfile::TempDir;

use super::{
    Daemon, Refusal,
    command::{Way, detach},
};
use crate::{BpfFs, HOST_IFACE, Lab};

/// Builds a daemon.
#[derive(Debug)]
pub struct DaemonBuilder<'lab> {
    lab: &'lab Lab,
    home: TempDir,
    ifaces: Vec<String>,
    mode: Option<String>,
    more: String,
    stays: bool,
    way: Way,
    user: Option<(String, String)>,
    home_of_root: bool,
    config_mode: u32,
}

impl<'lab> DaemonBuilder<'lab> {
    pub(crate) fn new(lab: &'lab Lab) -> Self {
        let home = tempfile::Builder::new()
            .prefix("couic-e2e-")
            .tempdir()
            .expect("a temporary directory");
        for dir in ["work/sets/drop", "work/sets/ignore", "log"] {
            fs::create_dir_all(home.path().join(dir)).expect("make a directory");
        }
        Self {
            stays: false,
            ..Self::again(lab, home, Way::default())
        }
    }

    pub(super) fn again(lab: &'lab Lab, home: TempDir, way: Way) -> Self {
        Self {
            lab,
            home,
            ifaces: vec![HOST_IFACE.to_owned()],
            mode: None,
            more: String::new(),
            stays: true,
            way,
            user: None,
            home_of_root: false,
            config_mode: 0o644,
        }
    }

    /// `ifaces` of the configuration.
    #[must_use]
    pub fn ifaces(mut self, ifaces: &[&str]) -> Self {
        self.ifaces = ifaces.iter().map(|i| (*i).to_owned()).collect();
        self
    }

    /// `operation_mode` of the configuration.
    #[must_use]
    pub fn mode(mut self, mode: &str) -> Self {
        self.mode = Some(mode.to_owned());
        self
    }

    /// More tables for the configuration, as TOML.
    #[must_use]
    pub fn config(mut self, toml: &str) -> Self {
        self.more.push_str(toml);
        self
    }

    /// Runs as the user nobody, with these capabilities alone, in the form of `setpriv(1)`: `+bpf,+net_admin`.
    #[must_use]
    pub fn unprivileged(mut self, capabilities: &str) -> Self {
        self.way.capabilities = Some(format!("-all,{capabilities}"));
        self.user("nobody", "nogroup")
    }

    /// `user` and `group` of the configuration, the owners of the daemon's directories.
    #[must_use]
    pub fn user(mut self, user: &str, group: &str) -> Self {
        self.user = Some((user.to_owned(), group.to_owned()));
        self
    }

    /// The directory of the socket belongs to root, as `/run`.
    #[must_use]
    pub fn keep_home_of_root(mut self) -> Self {
        self.home_of_root = true;
        self
    }

    /// The mode of the configuration file.
    #[must_use]
    pub fn config_mode(mut self, mode: u32) -> Self {
        self.config_mode = mode;
        self
    }

    /// Keeps the filter when the daemon ends, in this filesystem if given. Otherwise `keep_filter` is `never`.
    #[must_use]
    pub fn stays(mut self, bpffs: Option<&BpfFs>) -> Self {
        self.stays = true;
        self.way.bpffs = bpffs.map(BpfFs::again);
        self
    }

    /// Another build of the daemon.
    #[must_use]
    pub fn binary(mut self, path: PathBuf) -> Self {
        self.way.binary = Some(path);
        self
    }

    /// Starts it through another program, with the daemon's command line after these words.
    #[must_use]
    pub fn wrapped(mut self, wrapper: &[&str], env: &[(&str, &str)]) -> Self {
        self.way.wrapper = wrapper.iter().map(|&w| w.to_owned()).collect();
        self.way.env = env
            .iter()
            .map(|&(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        self
    }

    /// Runs `couic detach` and returns its exit code and output.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn detach(&self) -> (i32, String) {
        self.write_config();
        detach(self.lab, self.home.path(), &self.way)
    }

    /// Writes a set file before the start.
    #[must_use]
    pub fn set_file(self, policy: Policy, name: &str, text: &str) -> Self {
        write_set_file(self.home.path(), policy, name, text);
        self
    }

    /// The working directory, for tests that damage it.
    #[must_use]
    pub fn working_dir(&self) -> PathBuf {
        self.home.path().join("work")
    }

    /// Starts the daemon and waits until it answers.
    ///
    /// # Panics
    /// If it does not start: the message has its output.
    #[must_use]
    pub fn start(self) -> Daemon<'lab> {
        self.try_start()
            .unwrap_or_else(|refusal| panic!("{}\n{}", refusal.status, refusal.output))
    }

    /// Starts the daemon and waits until it answers or exits.
    ///
    /// # Errors
    /// [`Refusal`] if it exits.
    pub fn try_start(self) -> Result<Daemon<'lab>, Refusal> {
        self.write_config();
        if let Some((user, group)) = &self.user {
            give_to(user, group, self.home.path(), self.home_of_root);
        }
        Daemon::launch(self.lab, self.home, self.way)
    }

    fn write_config(&self) {
        let home = self.home.path().display();
        let mode = self
            .mode
            .as_ref()
            .map_or(String::new(), |m| format!("operation_mode = \"{m}\"\n"));
        let root = ("root".to_owned(), "root".to_owned());
        let (user, group) = self.user.as_ref().unwrap_or(&root);
        let config = format!(
            "ifaces = {:?}\n{mode}working_dir = \"{home}/work\"\nuser = \"{user}\"\ngroup = \"{group}\"\n\
             [logging]\ndir = \"{home}/log\"\nrotation = \"never\"\nmax_log_files = 1\nformat = \"text\"\n\
             [server]\nsocket = \"{home}/couic.sock\"\n{}",
            self.ifaces,
            self.more_config()
        );
        let file = self.home.path().join("couic.toml");
        fs::write(&file, config).expect("write couic.toml");
        let mode = fs::Permissions::from_mode(self.config_mode);
        fs::set_permissions(&file, mode).expect("chmod couic.toml");
        let ctl = format!(
            "mode = \"local\"\nsocket = \"{home}/couic.sock\"\nclient_file = \"{home}/work/rbac/clients/couicctl.toml\"\n"
        );
        fs::write(self.home.path().join("couicctl.toml"), ctl).expect("write couicctl.toml");
    }

    fn more_config(&self) -> String {
        const STATE: &str = "[state]\n";
        if self.stays {
            return self.more.clone();
        }
        let never = format!("{STATE}keep_filter = \"never\"\n");
        if self.more.contains(STATE) {
            return self.more.replace(STATE, &never);
        }
        format!("{never}{}", self.more)
    }
}

/// Changes the owner of the daemon's directories.
fn give_to(user: &str, group: &str, home: &Path, home_of_root: bool) {
    let user = User::from_name(user).ok().flatten().expect("a user");
    let group = Group::from_name(group).ok().flatten().expect("a group");
    let (uid, gid) = (user.uid.as_raw(), group.gid.as_raw());
    for dir in [
        "log",
        "work",
        "work/sets",
        "work/sets/drop",
        "work/sets/ignore",
    ] {
        chown(home.join(dir), Some(uid), Some(gid)).expect("chown");
    }
    if home_of_root {
        fs::set_permissions(home, fs::Permissions::from_mode(0o755)).expect("chmod");
    } else {
        chown(home, Some(uid), Some(gid)).expect("chown");
    }
}

pub(super) fn write_set_file(home: &Path, policy: Policy, name: &str, text: &str) {
    let path = home.join(format!("work/sets/{policy}/{name}.couic"));
    fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}
