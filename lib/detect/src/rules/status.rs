//! Sets of HTTP statuses.

/// Statuses have three digits; 0 stands for none.
pub(crate) const STATUSES: usize = 1_000;

/// A set of statuses, with the texts it was made of.
#[derive(Clone, Debug)]
pub(crate) struct Statuses {
    has: Box<[bool; STATUSES]>,
    text: String,
}

impl Statuses {
    /// The union of `404`, `4xx`, `500-599`.
    ///
    /// # Errors
    /// One message per text that is none of these.
    pub(crate) fn parse(texts: &[String]) -> Result<Self, Vec<String>> {
        let mut has = Box::new([false; STATUSES]);
        let mut wrong = Vec::new();
        for text in texts {
            match range(text.trim()) {
                Some((first, last)) => has[first..=last].fill(true),
                None => wrong.push(format!(
                    "{text:?} is no status: expected 404, 4xx or 500-599, of 100 to 999"
                )),
            }
        }
        let text = texts.join(", ");
        let statuses = Self { has, text };
        wrong.is_empty().then_some(statuses).ok_or(wrong)
    }

    pub(crate) fn has(&self, status: u16) -> bool {
        self.has.get(usize::from(status)).copied().unwrap_or(false)
    }

    /// The texts, for the operator.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

fn range(text: &str) -> Option<(usize, usize)> {
    let status = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
        let number: usize = digits.then(|| text.parse().ok())??;
        (number >= 100).then_some(number)
    };
    if let Some(class) = text.strip_suffix("xx") {
        let first = status(&format!("{class}00"))?;
        return Some((first, first + 99));
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (status(first)?, status(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<Statuses, Vec<String>> {
        let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
        Statuses::parse(&texts)
    }

    #[test]
    fn statuses_classes_and_ranges() {
        let set = parse(&["404", "5xx", "400-403"]).unwrap();
        for (status, expected) in [
            (404, true),
            (405, false),
            (400, true),
            (403, true),
            (500, true),
            (599, true),
            (499, false),
            (0, false),
            (999, false),
            (60_000, false),
        ] {
            assert_eq!(set.has(status), expected, "{status}");
        }
    }

    #[test]
    fn each_wrong_one_is_told() {
        let wrong = parse(&["404", "40", "x", "4x", "9-2", "599-500", "0xx", "+404"]).unwrap_err();
        assert_eq!(wrong.len(), 7, "{wrong:?}");
    }
}
