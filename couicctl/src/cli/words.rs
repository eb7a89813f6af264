//! What people type for a command that has another name here.

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

/// Words of other programs, and what they are here.
const WORDS: [(&[&str], &str); 11] = [
    (&["list", "ls", "show", "rules"], "drop list"),
    (&["add", "block", "deny"], "ban"),
    (&["delete", "del", "rm", "remove", "unblock"], "unban"),
    (
        &["allow", "allowlist", "whitelist", "protect"],
        "ignore add",
    ),
    (&["import"], "drop import"),
    (&["backup", "save", "dump"], "export"),
    (&["restore", "plan"], "apply"),
    (&["undo"], "confirm undo"),
    (&["tokens", "users"], "clients"),
    (&["audit", "history"], "log"),
    (&["version"], "--version"),
];

/// The error, with the command that was probably meant if a word that is none was typed in its place.
pub(crate) fn suggest(mut error: Error) -> Error {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return error;
    }
    let Some(ContextValue::String(typed)) = error.get(ContextKind::InvalidSubcommand) else {
        return error;
    };
    let of_couicctl = error
        .get(ContextKind::Usage)
        .is_some_and(|usage| usage.to_string().contains("couicctl [OPTIONS] <COMMAND>"));
    let known = WORDS
        .iter()
        .find(|(words, _)| words.contains(&typed.as_str()));
    if let Some((_, meant)) = known.filter(|_| of_couicctl) {
        let meant = ContextValue::Strings(vec![(*meant).to_owned()]);
        error.insert(ContextKind::SuggestedSubcommand, meant);
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    fn told(args: &[&str]) -> String {
        let args = [&["couicctl"], args].concat();
        suggest(cli::command().try_get_matches_from(args).unwrap_err()).to_string()
    }

    #[test]
    fn words_of_other_programs_are_known() {
        for (word, meant) in [
            ("list", "'drop list'"),
            ("rm", "'unban'"),
            ("version", "'--version'"),
        ] {
            let told = told(&[word]);
            assert!(
                told.contains(meant) && !told.contains("'clients'"),
                "{told}"
            );
        }
        for (words, meant) in WORDS {
            let first = meant.split(' ').next().unwrap_or(meant);
            assert!(
                first == "--version" || cli::command().find_subcommand(first).is_some(),
                "{meant}"
            );
            for word in words {
                assert!(cli::command().find_subcommand(word).is_none(), "{word}");
            }
        }
        assert!(told(&["drp"]).contains("'drop'"));
        assert!(!told(&["sets", "show"]).contains("drop list"));
    }
}
