//! The examples of the documentation are those that are compiled and run here.

use std::{fs, path::Path};

#[test]
fn the_documentation_shows_the_examples_as_they_are() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join("docs/plugins.md")).unwrap();
    for (language, example) in [
        ("toml", "examples/rust/Cargo.toml"),
        ("rust", "examples/rust/src/lib.rs"),
        ("c", "examples/c/file_notifier.c"),
    ] {
        let code = fs::read_to_string(root.join("plugin-api").join(example)).unwrap();
        assert!(
            text.contains(&format!("```{language}\n{code}```\n")),
            "docs/plugins.md does not show plugin-api/{example} as it is"
        );
    }
}
