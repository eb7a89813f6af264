//! The table.

/// What must be reached.
pub enum Target {
    AtLeast(f64),
    Below(f64),
}

/// A figure.
pub struct Row {
    pub what: &'static str,
    pub method: String,
    pub value: f64,
    pub unit: &'static str,
    pub target: Option<Target>,
}

impl Row {
    /// Whether the figure is as good as it must be.
    pub fn is_met(&self) -> bool {
        match self.target {
            None => true,
            Some(Target::AtLeast(least)) => self.value >= least,
            Some(Target::Below(limit)) => self.value < limit,
        }
    }
}

/// Prints figures as a table of Markdown.
pub fn print(rows: &[Row]) {
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
