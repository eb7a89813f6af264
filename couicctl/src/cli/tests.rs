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
    for verb in ["add", "delete", "list", "inspect", "import"] {
        let help = ignore.find_subcommand_mut(verb).unwrap().render_long_help();
        let help = help.to_string();
        assert!(help.contains("couicctl ignore"), "{help}");
        assert!(!help.contains("couicctl drop"), "{help}");
        assert!(!help.contains("Ban "), "{help}");
    }
}

#[test]
fn every_group_is_an_argument() {
    for group in Group::ALL {
        let arg = GroupArg::from_str(group.as_str(), false).unwrap();
        assert_eq!(Group::from(arg), group);
    }
}
