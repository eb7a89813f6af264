//! The table.

/// What must be reached.
pub(crate) enum Target {
    AtLeast(f64),
    Below(f64),
}

/// A figure.
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) method: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) target: Option<Target>,
}

impl Row {
    /// Whether the figure is as good as it must be.
    pub(crate) fn is_met(&self) -> bool {
        match self.target {
            None => true,
            Some(Target::AtLeast(least)) => self.value >= least,
            Some(Target::Below(limit)) => self.value < limit,
        }
    }
}

/// Prints figures as a table of Markdown.
pub(crate) fn print(rows: &[Row]) {
    println!("| figure | measured | target | method |");
    println!("|---|---|---|---|");
    for row in rows {
        let Row {
            what,
            method,
            value,
            unit,
            target,
        } = row;
        let target = match target {
            None => String::new(),
            Some(Target::AtLeast(least)) => format!("at least {least} {unit}"),
            Some(Target::Below(limit)) => format!("below {limit} {unit}"),
        };
        let missed = if row.is_met() { "" } else { " (missed)" };
        let value = if *value < 10.0 {
            format!("{value:.3}")
        } else {
            format!("{value:.0}")
        };
        println!("| {what} | {value} {unit}{missed} | {target} | {method} |");
    }
}
