//! Near misses: the name that was probably meant.

/// The candidate that is nearest to `typed`, if it is near at all: as a hint.
pub(crate) fn did_you_mean<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    /// The least similarity of a typing error: clap's.
    const SIMILAR: f64 = 0.7;
    let all = candidates.into_iter();
    let rated = all.map(|name| (strsim::jaro(typed, name), name));
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
        assert_eq!(did_you_mean("zzz", names), None);
        assert_eq!(did_you_mean("x", []), None);
    }
}
