//! How full the tables of rules are, which only the daemon's metrics say.

use serde::Serialize;

/// More tables than a daemon has, for a text that is none of a daemon's.
const MOST: usize = 16;

/// How full a table of rules is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct TableFill {
    pub(crate) policy: String,
    pub(crate) family: String,
    pub(crate) rules: u64,
    /// 0 if it is not known.
    pub(crate) limit: u64,
}

/// The tables in a text of metrics, in its order.
pub(crate) fn fills(text: &str) -> Vec<TableFill> {
    let mut fills: Vec<TableFill> = Vec::new();
    for line in text.lines() {
        let rules = line.strip_prefix("couic_rules{");
        let limit = line.strip_prefix("couic_rules_limit{");
        let Some((labels, value)) = rules.or(limit).and_then(|rest| rest.split_once("} ")) else {
            continue;
        };
        let label = |name: &str| {
            let (_, rest) = labels.split_once(&format!("{name}=\""))?;
            rest.split_once('"').map(|(value, _)| value.to_owned())
        };
        let (Some(policy), Some(family)) = (label("policy"), label("family")) else {
            continue;
        };
        let value = value.parse::<f64>().unwrap_or_default() as u64;
        let found = fills
            .iter()
            .position(|f| f.policy == policy && f.family == family);
        let index = found.unwrap_or_else(|| {
            let (rules, limit) = (0, 0);
            fills.push(TableFill {
                policy,
                family,
                rules,
                limit,
            });
            fills.len() - 1
        });
        if limit.is_some() {
            fills[index].limit = value;
        } else {
            fills[index].rules = value;
        }
        if fills.len() > MOST {
            break;
        }
    }
    fills
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(policy: &str, family: &str, rules: u64, limit: u64) -> TableFill {
        TableFill {
            policy: policy.to_owned(),
            family: family.to_owned(),
            rules,
            limit,
        }
    }

    #[test]
    fn tables_are_read_from_the_metrics() {
        let text = "# TYPE couic_rules gauge\n\
            couic_rules{policy=\"drop\",family=\"ipv4\"} 12\n\
            couic_rules_limit{policy=\"drop\",family=\"ipv4\"} 1048576\n\
            couic_rules{family=\"ipv6\",policy=\"ignore\"} 3\n\
            couic_rules_limit{family=\"ipv6\",policy=\"ignore\"} 64\n";
        let expected = [
            fill("drop", "ipv4", 12, 1_048_576),
            fill("ignore", "ipv6", 3, 64),
        ];
        assert_eq!(fills(text), expected);
        assert!(fills("").is_empty());
    }

    #[test]
    fn lines_that_are_none_of_a_table_are_passed_over() {
        let text = "# TYPE couic_rules gauge\n\
            couic_rules{family=\"IPv4\",policy=\"drop\"} 12\n\
            couic_rules{family=\"IPv6\",policy=\"drop\"} 3\n\
            couic_rules_limit{family=\"IPv4\",policy=\"drop\"} 1000\n\
            couic_rules_limit{broken\ncouic_rules{x=\"1\"} 7\n# EOF\n";
        let expected = [fill("drop", "IPv4", 12, 1_000), fill("drop", "IPv6", 3, 0)];
        assert_eq!(fills(text), expected);
    }
}
