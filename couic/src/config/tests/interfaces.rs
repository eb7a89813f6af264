//! `ifaces`: names and patterns.

use super::*;

#[test]
fn interfaces_may_be_patterns_and_the_filter_need_not_stay() {
    let text = HEAD.replace("[\"eth0\"]", "[\"eth0\", \"veth*\", \"wan?\"]");
    let config = Config::parse(&format!("{text}[state]\nkeep_filter = \"never\"\n")).unwrap();
    assert_eq!(config.ifaces, ["eth0", "veth*", "wan?"]);
    assert!(!config.keep_filter);
    let told = only_mistake(&format!("{HEAD}[state]\nkeep_filter = true\n"));
    assert!(told.contains("keep_filter"), "{told}");
}

#[test]
fn one_message_for_each_bad_interface_list() {
    let accounts = "user = \"root\"\ngroup = \"root\"\n";
    for (ifaces, expected) in [
        ("", "-: ifaces: is missing"),
        ("ifaces = []", "3: ifaces: is empty"),
        (
            "ifaces = \"eth0\"",
            "3: ifaces: must be an array of strings, not a string",
        ),
        (
            "ifaces = [\n\"eth0\",\n1]",
            "5: ifaces[1]: must be a string, not an integer",
        ),
        (
            "ifaces = [\"\"]",
            "3: ifaces: \"\" cannot be the name of an interface",
        ),
        (
            "ifaces = [\"fw0,eth1\"]",
            "3: ifaces: \"fw0,eth1\" names several at once",
        ),
        (
            "ifaces = [\"$IFACE\"]",
            "3: ifaces: \"$IFACE\" is not replaced",
        ),
        (
            "ifaces = [\"${IFACE}\"]",
            "3: ifaces: \"${IFACE}\" is not replaced",
        ),
        ("ifaces = [\"a/b\"]", "3: ifaces: \"a/b\" cannot be"),
        (
            "ifaces = [\"0123456789abcdef\"]",
            "3: ifaces: \"0123456789abcdef\" cannot be",
        ),
        (
            "ifaces = [\"eth0\",\n\"eth0\"]",
            "4: ifaces: \"eth0\" is named twice",
        ),
    ] {
        let told = only_mistake(&format!("{accounts}{ifaces}\n"));
        assert!(
            told.starts_with(expected),
            "{ifaces}\n  expected {expected}\n  got      {told}"
        );
    }
}
