//! couicctl's own token, in the file that it was read from: rewritten when it is rotated.

use std::fs;

use uuid::Uuid;

use super::Context;
use crate::{failure::Failure, token_file};

/// Whether couicctl itself uses this token.
pub(super) fn is(token: &Uuid, cx: &Context) -> bool {
    fs::read_to_string(&cx.token_file).is_ok_and(|text| text.contains(&token.to_string()))
}

/// Writes the new token in place of the one in couicctl's file, and returns the file. The daemon may have done so
/// already: of its own file on the same host.
pub(super) fn replace(new: &Uuid, cx: &Context) -> Result<String, Failure> {
    let path = &cx.token_file;
    let shown = path.display().to_string();
    let failed = |why: String| Failure::Failed(format!("the token is replaced, but {why}"));
    let text = fs::read_to_string(path);
    let text = text.map_err(|e| failed(format!("{shown} cannot be read: {e}")))?;
    if text.contains(&new.to_string()) {
        return Ok(shown);
    }
    let old = old(&text).ok_or_else(|| failed(format!("{shown} has no token to replace")))?;
    let written = token_file::rewrite(path, &text.replace(&old, &new.to_string()));
    written.map_err(|failure| failed(failure.text()))?;
    Ok(shown)
}

/// The token in a client file, in a configuration, or alone in its file.
fn old(text: &str) -> Option<String> {
    let table: Option<toml::Table> = text.parse().ok();
    let token = table.and_then(|table| Some(table.get("token")?.as_str()?.to_owned()));
    let token = token.unwrap_or_else(|| text.trim().to_owned());
    Uuid::parse_str(&token).is_ok().then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_wherever_couicctl_reads_it() {
        let token = "bbfa1388-3218-463c-9722-6805507c14bb";
        for text in [
            format!("token = \"{token}\"\ngroup = \"admin\"\n"),
            format!("# mine\nmode = \"remote\"\ntoken = '{token}'\n"),
            format!("{token}\n"),
        ] {
            assert_eq!(old(&text).as_deref(), Some(token), "{text}");
        }
        assert_eq!(old("group = \"admin\""), None);
    }
}
