//! Several machines with a daemon each, connected by a switch, that share rules. The link between any two of them can be
//! cut.
//!
//! A daemon's Unix socket is reached from the others through a relay, in place of a reverse proxy. It runs in the test's
//! process, in the machine's namespace.

use std::{
    collections::HashSet,
    fs,
    io::copy,
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::PathBuf,
    sync::{Arc, Mutex},
    thread,
};

use couic_testkit::Netns;

use crate::{DaemonBuilder, Lab};

/// The port of the relays.
pub const PEER_PORT: u16 = 2900;

/// The switch, and the links that are cut.
#[derive(Debug)]
pub struct Mesh<'lab> {
    labs: &'lab [Lab],
    _switch: Netns,
    cut: Mutex<HashSet<(usize, usize)>>,
}

impl<'lab> Mesh<'lab> {
    /// Machines for `count` daemons. None, with the reason printed, if this process may not create them.
    #[must_use]
    pub fn labs(count: usize) -> Option<Vec<Lab>> {
        (0..count).map(|_| Lab::quiet()).collect()
    }

    /// Connects them.
    ///
    /// # Panics
    /// If the kernel refuses.
    #[must_use]
    pub fn join(labs: &'lab [Lab]) -> Self {
        let switch = Netns::new().expect("a network namespace");
        switch.run("ip", &["link", "add", "br0", "type", "bridge"]);
        switch.run("ip", &["link", "set", "br0", "up"]);
        for (index, lab) in labs.iter().enumerate() {
            let (port, path) = (format!("port{index}"), lab.host.path());
            let veth = [
                "link", "add", &port, "type", "veth", "peer", "name", "peer0",
            ];
            switch.run("ip", &[&veth[..], &["netns", &path]].concat());
            switch.run("ip", &["link", "set", &port, "master", "br0", "up"]);
            let address = format!("{}/24", address(index));
            lab.host
                .run("ip", &["addr", "add", &address, "dev", "peer0"]);
            lab.host.run("ip", &["link", "set", "peer0", "up"]);
        }
        Self {
            labs,
            _switch: switch,
            cut: Mutex::default(),
        }
    }

    /// A daemon that lists all the others as peers, and is listed by them, reachable once it has a socket. `more` is
    /// appended to its section `[peering]`.
    ///
    /// # Panics
    /// If files cannot be written.
    #[must_use]
    pub fn daemon(&self, index: usize, more: &str) -> DaemonBuilder<'lab> {
        let mut config = format!("[peering]\nenabled = true\n{more}\n");
        for other in self.others(index) {
            config += &format!(
                "[[peering.peers]]\nname = \"n{other}\"\nhost = \"{}\"\nport = {PEER_PORT}\ntls = false\ntoken = \"{}\"\n",
                address(other),
                token(index, other)
            );
        }
        let builder = self.labs[index].daemon().config(&config);
        let clients = builder.working_dir().join("rbac/clients");
        fs::create_dir_all(&clients).expect("a directory for clients");
        for (dir, mode) in [("rbac", 0o700), ("rbac/clients", 0o700)] {
            let path = builder.working_dir().join(dir);
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("chmod");
        }
        for other in self.others(index) {
            let path = clients.join(format!("n{other}.toml"));
            let text = format!("token = \"{}\"\ngroup = \"peering\"\n", token(other, index));
            fs::write(&path, text).expect("write a client's file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        }
        let socket = builder.working_dir().with_file_name("couic.sock");
        self.relay(index, socket);
        builder
    }

    fn others(&self, index: usize) -> impl Iterator<Item = usize> + use<> {
        let count = self.labs.len();
        (0..count).filter(move |other| *other != index)
    }

    /// Answers every connection to a machine, in place of its daemon, until the test's process ends.
    ///
    /// # Panics
    /// If the port is taken.
    pub fn pretend(&self, index: usize, answer: fn(&TcpStream)) {
        let bind = || TcpListener::bind(("0.0.0.0", PEER_PORT));
        let listener = self.labs[index].host.enter(bind).expect("bind");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer(&stream));
            }
        });
    }

    /// Forwards connections to a machine to the socket of its daemon, until the test's process ends.
    fn relay(&self, index: usize, socket: PathBuf) {
        let bind = || TcpListener::bind(("0.0.0.0", PEER_PORT));
        let listener = self.labs[index].host.enter(bind).expect("bind the relay");
        let socket = Arc::new(socket);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let socket = Arc::clone(&socket);
                thread::spawn(move || pass(&stream, &socket));
            }
        });
    }

    /// Blocks all packets between two machines, or unblocks them.
    pub fn cut(&self, a: usize, b: usize, cut: bool) {
        let pair = (a.min(b), a.max(b));
        let mut all = self.cut.lock().expect("not poisoned");
        let changed = if cut {
            a != b && all.insert(pair)
        } else {
            all.remove(&pair)
        };
        if !changed {
            return;
        }
        let verb = if cut { "add" } else { "del" };
        for (from, to) in [(a, b), (b, a)] {
            let host = format!("{}/32", address(to));
            let lab = &self.labs[from];
            lab.host.run("ip", &["route", verb, "blackhole", &host]);
        }
    }

    /// Whether two machines are cut off from each other.
    #[must_use]
    pub fn is_cut(&self, a: usize, b: usize) -> bool {
        let all = self.cut.lock().expect("not poisoned");
        all.contains(&(a.min(b), a.max(b)))
    }

    /// Restores all links.
    pub fn heal(&self) {
        let all: Vec<_> = {
            let all = self.cut.lock().expect("not poisoned");
            all.iter().copied().collect()
        };
        for (a, b) in all {
            self.cut(a, b, false);
        }
    }
}

/// A machine's address on the switch.
#[must_use]
pub fn address(index: usize) -> String {
    format!("10.77.0.{}", index + 1)
}

/// The token of one node on another.
#[must_use]
pub fn token(from: usize, to: usize) -> String {
    format!("00000000-0000-4000-8000-{from:06}{to:06}")
}

fn pass(stream: &TcpStream, socket: &PathBuf) {
    // On error the daemon is down.
    let Ok(daemon) = UnixStream::connect(socket) else {
        return;
    };
    let _ = stream.set_nodelay(true);
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = copy(&mut &*stream, &mut &daemon);
            let _ = daemon.shutdown(Shutdown::Write);
        });
        let _ = copy(&mut &daemon, &mut &*stream);
        let _ = stream.shutdown(Shutdown::Both);
    });
}
