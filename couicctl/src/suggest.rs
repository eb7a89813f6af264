//! Near misses: the name that was probably meant.

/// The candidate that is nearest to `typed`, if it is near at all: as a hint.
pub(crate) fn did_you_mean<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    /// What is shared by a name and a typing error of it, exchanged letters counted once.
    const SIMILAR: f64 = 0.5;
    let all = candidates.into_iter();
    let rated = all.map(|name| (strsim::normalized_damerau_levenshtein(typed, name), name));
    let near = rated.filter(|(similarity, _)| *similarity > SIMILAR);
    let best = near.max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    Some(format!("did you mean {}?", best.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near() {
        let names = ["spamhaus", "office", "badnet"];
        let told = did_you_mean("spamhuas", names);
        assert_eq!(told.as_deref(), Some("did you mean spamhaus?"));
        let told = did_you_mean("wbe", ["mail", "web"]);
        assert_eq!(told.as_deref(), Some("did you mean web?"));
        assert_eq!(did_you_mean("zzz", names), None);
        assert_eq!(did_you_mean("x", []), None);
    }
}
