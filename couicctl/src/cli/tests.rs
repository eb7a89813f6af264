//! The definitions of the command line.

use super::*;

#[test]
fn the_definitions_are_consistent() {
    command().debug_assert();
}

#[test]
fn help_of_ignore_has_its_own_examples() {
    let mut all = command();
    all.build();
    let ignore = all.find_subcommand_mut("ignore").unwrap();
    for verb in ["add", "delete", "list", "inspect", "import", "export"] {
        let help = ignore.find_subcommand_mut(verb).unwrap().render_long_help();
        let help = help.to_string();
        assert!(help.contains("couicctl ignore"), "{help}");
        assert!(!help.contains("couicctl drop"), "{help}");
        assert!(!help.contains("Ban "), "{help}");
    }
}

#[test]
fn paragraphs_are_joined_and_lists_are_not() {
    let text = "Examples:\n  a   b\n  c\n\nOne\ntwo.\nThree:\n  d\ne";
    assert_eq!(
        paragraphs(text),
        "Examples:\n  a   b\n  c\n\nOne two. Three:\n  d\ne"
    );
}
