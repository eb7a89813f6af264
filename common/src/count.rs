//! Counts with their noun, for messages: an operator should not read "1 rules".

/// The count, followed by `one` if it is 1, else by `many`.
#[must_use]
pub fn counted(count: u64, one: &str, many: &str) -> String {
    let noun = if count == 1 { one } else { many };
    format!("{count} {noun}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noun_follows_the_count() {
        let rules = [0, 1, 2].map(|count| counted(count, "rule", "rules"));
        assert_eq!(rules, ["0 rules", "1 rule", "2 rules"]);
    }
}
