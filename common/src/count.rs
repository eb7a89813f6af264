//! Counts for messages: with their noun, so that an operator does not read "1 rules", and with their thousands apart.

/// The count, followed by `one` if it is 1, else by `many`.
#[must_use]
pub fn counted(count: u64, one: &str, many: &str) -> String {
    let noun = if count == 1 { one } else { many };
    format!("{count} {noun}")
}

/// A number with a comma after each three digits: `1,234,567`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
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
