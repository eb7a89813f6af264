//! What this process may do: it reads what strangers send, so it may do little.
//!
//! What holds from here on, on every thread:
//! - It is not root, and has no capability, whatever it was started with. It executes no program.
//! - Landlock: it reads its configuration, tokens and keys, lists that are files, certificate authorities, and what the C
//!   library needs to look up names; it writes its state and its control socket.
//! - Landlock for TCP (Linux 6.7): it connects to the ports of its configuration, to 443 and to that of name servers, and
//!   listens on the port of its metrics.
//! - seccomp: no sockets but of IP, Unix and the routing table; no change of user, no BPF, mounts, modules, namespaces,
//!   memory of others, and no signals to other processes.
//!
//! Called before any thread is started, as Linux keeps all of this per thread.

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use couic_privsep::{
    ConfineError, become_program_user, confine_program,
    files::{Files, Ports, TCP_SINCE},
    groups,
    seccomp::Calls,
};
use tracing::info;

use super::names::Names;
use crate::config::Config;

/// The program, for its user and messages.
pub(crate) const NAME: &str = "couic-bouncer";

/// Read by the C library and by TLS: name services, certificate authorities. Not all of /etc.
const SYSTEM: &[&str] = &[
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/pki",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl",
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/dev/urandom",
    "/run/NetworkManager",
    "/run/nscd",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/mnt/wsl/resolv.conf",
];

/// Variables that name further certificate authorities.
const AUTHORITIES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// HTTPS, and names over TCP, which long answers take.
const USUAL_PORTS: [u16; 2] = [443, 53];

/// What this process may use until its next start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed {
    /// None if files are not bounded.
    files: Option<Vec<PathBuf>>,
    /// None if ports are not bounded.
    ports: Option<Vec<u16>>,
    /// The files of name resolution that may be read.
    pub(crate) names: Names,
}

impl Allowed {
    /// Why a new configuration cannot be taken over before a restart.
    pub(crate) fn lacks(&self, config: &Config) -> Option<String> {
        let is_within =
            |path: &PathBuf, all: &Vec<PathBuf>| all.iter().any(|one| path.starts_with(one));
        let outside = self.files.as_ref().and_then(|all| {
            let mut needed = files(config).into_iter();
            needed.find(|path| !is_within(path, all))
        });
        if let Some(path) = outside {
            return Some(format!("this process gave up reading {}", path.display()));
        }
        let closed = self.ports.as_ref().and_then(|all| {
            let mut needed = config.ports().into_iter();
            needed.find(|port| !all.contains(port))
        })?;
        Some(format!("this process gave up connecting to port {closed}"))
    }
}

/// Confines this process, which has one thread.
///
/// # Errors
/// [`ConfineError`]: it must not go on then. Landlock and seccomp may be missing on old kernels, which is logged.
pub(crate) fn confine(config: &Config, config_file: &Path) -> Result<Allowed, ConfineError> {
    let dirs = [Some(&*config.state_dir), config.control.parent()];
    become_program_user(NAME, config.user.as_deref(), dirs.into_iter().flatten())?;
    let (needed, ports) = (files(config), ports(config));
    let names = Names::now();
    let confined = confine_program(NAME, &profile(config, config_file), &refused())?;
    let has_tcp = confined
        .landlock
        .is_some_and(|version| version >= TCP_SINCE);
    if confined.landlock.is_some() && !has_tcp {
        info!(
            "this kernel cannot bound TCP ports (Linux 6.7 and later): {NAME} can connect to any"
        );
    }
    Ok(Allowed {
        names: confined.landlock.map_or_else(Names::default, |_| names),
        files: confined.landlock.map(|_| needed),
        ports: has_tcp.then_some(ports),
    })
}

fn profile(config: &Config, config_file: &Path) -> Files {
    let mut all = Files::default()
        .write(&config.state_dir)
        .write("/dev/null")
        .tcp(Ports {
            connect: ports(config),
            listen: config.metrics.iter().map(SocketAddr::port).collect(),
        });
    if let Some(dir) = config.control.parent() {
        all = all.write(dir);
    }
    let own = [around(config_file), around(&config.socket)];
    let all = own.into_iter().fold(all, Files::read);
    let all = files(config).into_iter().fold(all, Files::read);
    outside().fold(all, Files::read)
}

fn ports(config: &Config) -> Vec<u16> {
    config.ports().into_iter().chain(USUAL_PORTS).collect()
}

/// Confines a command that fetches and parses: as root, it becomes the user of the service, or nobody.
///
/// # Errors
/// [`ConfineError`]: it must not go on then.
pub(crate) fn confine_command(config: &Config) -> Result<(), ConfineError> {
    let is_there = |name: &str| matches!(nix::unistd::User::from_name(name), Ok(Some(_)));
    let own = config.user.as_deref().unwrap_or(NAME);
    let user = if is_there(own) { own } else { "nobody" };
    become_program_user(NAME, Some(user), [])?;
    let mut all = Files::default().read(&config.state_dir).write("/dev/null");
    all = files(config).into_iter().fold(all, Files::read);
    all = outside().fold(all, Files::read);
    confine_program(NAME, &all, &refused()).map(drop)
}

/// The files of a configuration that are read while this runs, each with its directory, in which it may be replaced.
fn files(config: &Config) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = config.files().into_iter().map(around).collect();
    files.sort();
    files.dedup();
    files
}

/// The directory of a file; the file alone if that is one of the system's, such as /etc.
fn around(path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    match path.parent() {
        // The root, and two names.
        Some(dir) if dir.components().count() > 2 => dir.to_owned(),
        _ => path,
    }
}

fn outside() -> impl Iterator<Item = PathBuf> {
    let named = AUTHORITIES.into_iter().filter_map(env::var_os);
    let system = SYSTEM.iter().map(PathBuf::from);
    system.chain(named.map(PathBuf::from))
}

fn refused() -> Calls {
    let families = [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
    ];
    let calls = Calls::default()
        .all(groups::KERNEL_ADMIN)
        .all(groups::CREDENTIALS)
        .all(groups::EXEC)
        .all(groups::SIGNALS);
    let calls = groups::refuse_owner_signals(calls);
    groups::refuse_families_but(calls, &families.map(i32::cast_unsigned))
}

#[cfg(test)]
mod tests {
    use std::{
        fs, io,
        net::{TcpListener, TcpStream},
        os::fd::AsFd,
        process::Command,
    };

    use couic_privsep::{Sets, ThreadStep, files::version, seccomp};

    use super::*;

    const ROLE: &str = "COUIC_BOUNCER_CONFINED";

    #[test]
    fn a_file_is_read_with_its_directory_unless_that_is_the_systems() {
        assert_eq!(
            around(Path::new("/srv/lists/bad.txt")),
            Path::new("/srv/lists")
        );
        for alone in ["/etc/bad.txt", "/bad.txt"] {
            assert_eq!(around(Path::new(alone)), Path::new(alone));
        }
    }

    /// In another process of this test binary, since it cannot be undone.
    #[test]
    fn a_confined_process_reads_and_reaches_what_it_needs_and_nothing_else() {
        if env::var_os(ROLE).is_none() {
            let test = "run::confine::tests::a_confined_process_reads_and_reaches_what_it_needs_and_nothing_else";
            let output = Command::new(env::current_exe().unwrap())
                .args(["--exact", test, "--nocapture", "--test-threads=1"])
                .env(ROLE, "1")
                .output()
                .unwrap();
            assert!(output.status.success(), "{output:?}");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (state, lists) = (dir.path().join("state"), dir.path().join("lists"));
        fs::create_dir(&state).unwrap();
        fs::create_dir(&lists).unwrap();
        fs::write(lists.join("one"), "192.0.2.7\n").unwrap();
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (lapi, other) = (listen(), listen());
        let port = |of: &TcpListener| of.local_addr().unwrap().port();
        let mut config = Config::empty();
        config.state_dir.clone_from(&state);
        config.control = state.join("control");
        config.crowdsec = Some(couic_crowdsec::Config {
            url: format!("http://127.0.0.1:{}/", port(&lapi)),
            ..couic_crowdsec::Config::default()
        });
        config.feeds = vec![couic_feeds::FeedConfig {
            name: "one".to_owned(),
            file: Some(lists.join("one")),
            ..couic_feeds::FeedConfig::default()
        }];
        let Some(domain) = profile(&config, Path::new("/etc/x/x.toml"))
            .domain()
            .unwrap()
        else {
            println!("skipped: this kernel has no Landlock");
            return;
        };
        let step = ThreadStep::sets(Sets::NONE).no_new_privs();
        step.domain(domain.as_fd()).here().unwrap();
        seccomp::refuse(&refused()).unwrap().install(false).unwrap();
        let refused = |result: io::Result<()>| {
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EACCES));
        };
        fs::write(state.join("x"), "y").unwrap();
        assert!(fs::read(lists.join("one")).is_ok() && fs::read("/etc/hosts").is_ok());
        refused(fs::read("/etc/shadow").map(drop));
        assert!(Command::new("/bin/true").output().is_err());
        // Readable for all users.
        refused(fs::read("/etc/passwd").map(drop));
        refused(fs::write(lists.join("two"), "x"));
        TcpStream::connect(("127.0.0.1", port(&lapi))).unwrap();
        if version() >= TCP_SINCE {
            refused(TcpStream::connect(("127.0.0.1", port(&other))).map(drop));
        }
    }

    #[test]
    fn what_was_given_up_needs_a_restart() {
        let mut config = Config::empty();
        let crowdsec = |port| couic_crowdsec::Config {
            url: format!("http://127.0.0.1:{port}/"),
            ..couic_crowdsec::Config::default()
        };
        config.crowdsec = Some(crowdsec(8080));
        let allowed = Allowed {
            files: Some(files(&config)),
            ports: Some(ports(&config)),
            names: Names::default(),
        };
        assert_eq!(allowed.lacks(&config), None);
        let mut other = config.clone();
        other.token_file = "/srv/other/token".into();
        assert!(allowed.lacks(&other).unwrap().contains("/srv/other"));
        config.crowdsec = Some(crowdsec(8081));
        assert!(allowed.lacks(&config).unwrap().contains("8081"));
        assert_eq!(Allowed::default().lacks(&config), None);
    }
}
