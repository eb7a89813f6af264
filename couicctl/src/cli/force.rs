//! `--force`: the way over the guard rails, all of them or some.

use clap::Args;
use couic_common::Rail;

/// Guard rails to go over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Lift {
    /// All.
    All,
    /// Only these.
    Some(Vec<Rail>),
}

impl Lift {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "all" {
            return Ok(Self::All);
        }
        let rails = text.split(',').map(str::parse);
        let rails: Result<_, _> = rails.collect();
        rails
            .map(Self::Some)
            .map_err(|e: couic_common::RailError| e.to_string())
    }
}

/// The guard rail override of policy drop.
#[derive(Args)]
pub(crate) struct Force {
    /// Ban even a very short prefix, or one that would cut off the host, what it needs or your own SSH session; with
    /// =RAIL,… go over these guard rails only
    #[arg(long, value_name = "RAIL", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_parser = Lift::parse)]
    pub(crate) force: Option<Lift>,
}

/// The guard rail override of policy ignore.
#[derive(Args)]
pub(crate) struct IgnoreForce {
    /// Protect even a very short prefix; with =RAIL,… go over these guard rails only
    #[arg(long, value_name = "RAIL", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_parser = Lift::parse)]
    pub(crate) force: Option<Lift>,
}

/// The guard rail override of deletions.
#[derive(Args)]
pub(crate) struct DeleteForce {
    /// Of policy ignore: even if a drop then cuts off the host, what it needs or your own SSH session; with =RAIL,…
    /// go over these guard rails only
    #[arg(long, value_name = "RAIL", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_parser = Lift::parse)]
    pub(crate) force: Option<Lift>,
}

/// The guard rail override of set files.
#[derive(Args)]
pub(crate) struct SetForce {
    /// Write even prefixes that are very short or would cut off the host, what it needs or your own SSH session; with
    /// =RAIL,… go over these guard rails only. A reload leaves them out unless [guard] off names the rail
    #[arg(long, value_name = "RAIL", num_args = 0..=1, require_equals = true, default_missing_value = "all", value_parser = Lift::parse)]
    pub(crate) force: Option<Lift>,
}

/// The guard rails, by the command line.
pub(crate) trait Override {
    /// Those to go over.
    fn lift(&self) -> Option<&Lift>;
}

impl Override for Force {
    fn lift(&self) -> Option<&Lift> {
        self.force.as_ref()
    }
}

impl Override for IgnoreForce {
    fn lift(&self) -> Option<&Lift> {
        self.force.as_ref()
    }
}

impl Override for DeleteForce {
    fn lift(&self) -> Option<&Lift> {
        self.force.as_ref()
    }
}

impl Override for SetForce {
    fn lift(&self) -> Option<&Lift> {
        self.force.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_rails_or_all() {
        assert_eq!(Lift::parse("all"), Ok(Lift::All));
        assert_eq!(
            Lift::parse("host,width"),
            Ok(Lift::Some(vec![Rail::Host, Rail::Width]))
        );
        let error = Lift::parse("hosts").unwrap_err();
        assert!(error.contains("there are caller, host, gateway"), "{error}");
    }
}
