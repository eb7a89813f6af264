//! What the documents name exists, and what they show works.

use std::{fs, path::Path, process::Command};

use couic::config::{Config, Settings as _};

#[test]
fn every_test_that_the_security_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let (mut file, mut named) = (String::new(), 0);
    // Every second part is within backticks.
    for code in text.split('`').skip(1).step_by(2) {
        let Some((path, name)) = code.split_once("::") else {
            continue;
        };
        if path.ends_with(".rs") {
            file = fs::read_to_string(root.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
        } else if !path.is_empty() {
            continue;
        }
        assert!(file.contains(&format!("fn {name}(")), "no test {code}");
        named += 1;
    }
    assert!(named > 40, "{named} tests are named");
}

/// Those of the examples of plugins, too, which a test of the plugin host runs.
#[test]
fn every_plugin_configuration_in_the_documents_is_taken_in_couic_toml() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join("docs/plugins.md")).unwrap();
    let shown: Vec<&str> = text
        .lines()
        .filter_map(|line| {
            let (_, from) = line.split_once("config = {")?;
            Some(from.split_once('}')?.0)
        })
        .collect();
    assert!(shown.len() >= 3, "{shown:?}");
    for config in shown {
        let text = format!(
            "ifaces = [\"lo\"]\nuser = \"root\"\ngroup = \"root\"\n[reporting]\nenabled = true\n[[reporting.notifiers]]\nplugin = \"file\"\nconfig = {{{config}}}\n"
        );
        Config::parse(&text).unwrap_or_else(|e| panic!("{config}: {e:?}"));
    }
}

/// Without a configuration and a daemon, as in a build of packages or clients.
#[test]
fn the_program_prints_the_openapi_document() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_couic"));
    let output = command.args(["-c", "/no/such/file", "--openapi"]).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let file = fs::read_to_string(root.join("docs/openapi.json")).unwrap();
    assert!(output.stdout == file.as_bytes());
}
