//! LAPI and bouncer that know each other by certificates.

use std::{fs, path::Path, process::Command};

use couic_e2e::Lab;

use super::{
    bouncer::Bouncer,
    lapi::{self, Lapi, await_rules},
};

fn openssl(dir: &Path, args: &str) {
    let words = args.split_whitespace();
    let output = Command::new("openssl")
        .args(words)
        .current_dir(dir)
        .output()
        .expect("run openssl");
    assert!(
        output.status.success(),
        "openssl {args}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A key and a certificate of the authority `ca`.
fn certificate(dir: &Path, name: &str, ca: &str, subject: &str, usage: &str) {
    let text = format!(
        "subjectAltName=IP:127.0.0.1\nextendedKeyUsage={usage}\nbasicConstraints=CA:FALSE\n"
    );
    fs::write(dir.join(format!("{name}.ext")), text).expect("write");
    openssl(
        dir,
        &format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {name}.key -out {name}.csr -subj {subject}"
        ),
    );
    openssl(
        dir,
        &format!(
            "x509 -req -in {name}.csr -CA {ca}.pem -CAkey {ca}.key -CAcreateserial -days 7 -extfile {name}.ext -out {name}.pem"
        ),
    );
}

fn authority(dir: &Path, name: &str) {
    openssl(
        dir,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 7 -keyout {name}.key -out {name}.pem -subj /CN={name}"
        ),
    );
}

#[test]
fn a_certificate_takes_the_place_of_a_key() {
    let Some(lab) = Lab::quiet() else { return };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let home = dir.path();
    authority(home, "ca");
    authority(home, "other");
    certificate(home, "server", "ca", "/CN=lapi", "serverAuth");
    certificate(home, "good", "ca", "/OU=bouncer-ou/CN=couic", "clientAuth");
    certificate(
        home,
        "bad",
        "other",
        "/OU=bouncer-ou/CN=couic",
        "clientAuth",
    );
    let shown = home.display();
    let tls = format!(
        "    tls:\n      cert_file: {shown}/server.pem\n      key_file: {shown}/server.key\n      ca_cert_path: {shown}/ca.pem\n      \
         client_verification: VerifyClientCertIfGiven\n      bouncers_allowed_ou:\n        - bouncer-ou\n"
    );
    let Some(lapi) = Lapi::start(&lab, &tls) else {
        return;
    };
    lapi.cscli(&["decisions", "add", "--ip", "198.51.100.7", "-d", "1h"]);
    let daemon = lab.monitored_daemon().start();
    let keys = |name: &str| {
        format!(
            "url = \"https://{}/\"\ncertificate = \"{shown}/{name}.pem\"\nprivate_key = \"{shown}/{name}.key\"\nca = \"{shown}/ca.pem\"\ninterval = \"1s\"",
            lapi::address()
        )
    };
    let bouncer = Bouncer::start(&lab, &daemon, home, &keys("bad"));
    bouncer.until("the certificate is refused", || {
        bouncer.output().contains("cannot be pulled")
    });
    bouncer.stop();
    let bouncer = Bouncer::start(&lab, &daemon, home, &keys("good"));
    await_rules("it is banned", || {
        let list = daemon.api().get("/v1/drop?tag=cs-*");
        list.as_array().is_some_and(|list| list.len() == 1)
    });
    bouncer.stop();
}
