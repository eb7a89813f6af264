//! Every test named in docs/security.md exists.

use std::{fs, path::Path};

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
