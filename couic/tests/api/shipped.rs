//! Alert rules and dashboard name metrics that exist, and every metric is documented.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use crate::support::start;

fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Names of metrics of Couic in a text.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    let ours = words.filter(|word| {
        word.starts_with("couic_") || (word.starts_with("process_") && *word != "process_")
    });
    ours.map(str::to_owned).collect()
}

/// The names in the first columns of the tables of docs/metrics.md. couic-report's notifiers have those of the daemon.
fn documented() -> BTreeSet<String> {
    let page = file("docs/metrics.md");
    let columns = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let columns = columns.filter_map(|line| line.split(" | ").next());
    let mut found = names(&columns.collect::<Vec<_>>().join(" "));
    let of_notifiers = found
        .iter()
        .filter_map(|name| name.strip_prefix("couic_notifier_"));
    let same: Vec<_> = of_notifiers
        .map(|name| format!("couic_report_notifier_{name}"))
        .collect();
    found.extend(same);
    assert!(found.len() > 80, "{found:?}");
    found
}

/// A sample of a histogram has the name of the family and a suffix.
fn is_documented(name: &str, documented: &BTreeSet<String>) -> bool {
    let of_histogram = ["_bucket", "_sum", "_count"].iter();
    let mut bases = of_histogram.filter_map(|suffix| name.strip_suffix(suffix));
    documented.contains(name) || bases.any(|base| documented.contains(base))
}

#[test]
fn alert_rules_and_dashboard_name_documented_metrics() {
    let documented = documented();
    let dashboard: Value = serde_json::from_str(&file("config/grafana/couic.json")).unwrap();
    let mut expressions = Vec::new();
    collect(&dashboard, &mut expressions);
    assert!(expressions.len() > 50);
    let rules = file("config/prometheus/couic.rules.yml");
    let used = names(&(expressions.join(" ") + &rules));
    assert!(used.len() > 50, "{used:?}");
    for name in used {
        assert!(
            is_documented(&name, &documented),
            "{name} is not in docs/metrics.md"
        );
    }
}

/// The members `expr` and `query` that hold PromQL.
fn collect(value: &Value, expressions: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str() {
                    Some(text) if ["expr", "query", "definition"].contains(&name.as_str()) => {
                        expressions.push(text.to_owned());
                    }
                    _ => collect(value, expressions),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, expressions)),
        _ => {}
    }
}

#[tokio::test]
async fn what_the_daemon_exposes_is_documented() {
    let documented = documented();
    let test = start();
    let _ = test.get("/v1/drop").await;
    let exposed = test.api.metric_families();
    assert!(exposed.len() > 30);
    for family in &exposed {
        let name = family.name();
        assert!(
            documented.contains(name),
            "{name} is not in docs/metrics.md"
        );
    }
}
