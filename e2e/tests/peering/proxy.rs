//! The shipped nginx configuration, with a real nginx: TLS with a private CA, host name verification, bodies limited to
//! 1 MB.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use couic_e2e::{Daemon, Lab, until};
use serde_json::json;
use tempfile::TempDir;

use crate::{LONG, peers, rules};

/// An nginx in front of a daemon; stopped on drop.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn runs(program: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(if program == "nginx" { "-v" } else { "version" });
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

fn openssl(dir: &Path, line: &str) {
    let output = Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "openssl {line}: {output:?}");
}

/// Creates a CA, and a certificate for `name`.
fn certificates(dir: &Path, name: &str) {
    openssl(
        dir,
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2",
    );
    openssl(
        dir,
        "req -newkey rsa:2048 -nodes -keyout privkey.pem -out server.csr -subj /CN=couic",
    );
    fs::write(dir.join("san"), format!("subjectAltName=DNS:{name}\n")).unwrap();
    openssl(
        dir,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out fullchain.pem -days 2 -extfile san",
    );
}

/// Starts nginx with the shipped configuration, except for the paths and the size of bodies.
fn start_nginx(lab: &Lab, dir: &Path, daemon: &Daemon<'_>) -> Nginx {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/nginx.conf");
    let shown = dir.display().to_string();
    let server = fs::read_to_string(shipped)
        .unwrap()
        .replace(
            "/var/run/couic/couic.sock",
            &daemon.socket().display().to_string(),
        )
        .replace("/etc/couic/tls", &shown)
        .replace("listen [::]:2900 ssl;", "listen 2901 ssl;")
        .replace("client_max_body_size 16m;", "client_max_body_size 1m;");
    let whole = format!(
        "user root;\ndaemon off;\nmaster_process off;\npid {shown}/pid;\nerror_log {shown}/error.log;\n\
         events {{}}\nhttp {{ access_log off; client_body_temp_path {shown}/body;\n\
         proxy_temp_path {shown}/proxy;\nfastcgi_temp_path {shown}/f;\nuwsgi_temp_path {shown}/u;\n\
         scgi_temp_path {shown}/s;\n{server}}}\n"
    );
    let path = dir.join("nginx.conf");
    fs::write(&path, whole).unwrap();
    let child = lab
        .host
        .command("nginx")
        .arg("-c")
        .arg(&path)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    Nginx(child)
}

#[test]
fn two_nodes_behind_the_shipped_nginx() {
    if !runs("nginx") || !runs("openssl") {
        println!("skipped: needs nginx and openssl");
        return;
    }
    let (Some(here), Some(there)) = (Lab::quiet(), Lab::quiet()) else {
        return;
    };
    let dir = TempDir::new().unwrap();
    certificates(dir.path(), "localhost");
    // The second node is behind nginx, and has no peers configured.
    let second = there.daemon().config("[peering]\nenabled = true\n").start();
    let made = second.ctl_ok(&["clients", "add", "-n", "first", "-g", "peering", "--json"]);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let token = made["token"].as_str().unwrap();
    // A Unix socket has no network namespace: nginx runs on the first node's machine, as localhost.
    let _nginx = start_nginx(&here, dir.path(), &second);
    let ca = format!("ca = \"{}\"", dir.path().join("ca.pem").display());
    let peer = |name: &str, (host, port): (&str, u16), more: &str| {
        format!(
            "[[peering.peers]]\nname = \"{name}\"\nhost = \"{host}\"\nport = {port}\ntoken = \"{token}\"\n{more}\n"
        )
    };
    // By host name with the CA, by an address that is not in the certificate, and without the CA.
    let config = "[peering]\nenabled = true\n".to_owned()
        + &peer("good", ("localhost", 2900), &ca)
        + &peer("address", ("127.0.0.1", 2900), &ca)
        + &peer("stranger", ("localhost", 2901), "");
    let first = here.daemon().config(&config).start();
    until("it is in sync", LONG, || {
        (peers(&first)[0]["state"] == "in_sync").then_some(())
    });
    let jobs: Vec<_> = (0..30_000_u32)
        .map(|n| json!({"action": "add", "entry": {"cidr": format!("10.{}.{}.{}/32", n >> 16, n >> 8 & 255, n & 255), "tag": "many"}}))
        .collect();
    for some in jobs.chunks(10_000) {
        assert_eq!(first.api().batch("drop", some)["failed"], 0);
    }
    until("the other node has them", LONG, || {
        (second.api().stats().drop_cidr_count == 30_000).then_some(())
    });
    // Changes of the node behind the proxy arrive, although it has no peers configured.
    second.api().add("drop", "198.51.100.7/32", None, 0);
    until("and back", LONG, || {
        rules(&first)
            .iter()
            .any(|(cidr, ..)| cidr == "198.51.100.7/32")
            .then_some(())
    });
    until("the others fail", LONG, || {
        let all = peers(&first);
        let mut others = all[1..].iter();
        others.all(|peer| peer["state"] == "failing").then_some(())
    });
    for peer in &peers(&first)[1..] {
        let said = peer["last_error"]["message"].as_str().unwrap();
        assert!(said.contains("certificate"), "{said}");
    }
    assert!(!first.output().contains(token) && !second.output().contains(token));
}
