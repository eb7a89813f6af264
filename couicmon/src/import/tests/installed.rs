//! The filters and sample lines of fail2ban itself, where its package is installed (or unpacked: COUICMON_TEST_FAIL2BAN
//! names the directory). They are not ours to ship.

use std::{collections::BTreeMap, env, fs, path::PathBuf};

use serde_json::Value;

use super::{super::*, host};

/// Of Debian's 94 files 5 are parts of others (`common`, `…-common`), and these need what no automaton can do.
const LEAST: usize = 70;

fn root() -> Option<PathBuf> {
    let root = PathBuf::from(env::var_os("COUICMON_TEST_FAIL2BAN").unwrap_or("/".into()));
    root.join("etc/fail2ban/filter.d").is_dir().then_some(root)
}

/// The configuration with a single jail with this filter.
fn imported(root: &Path, filter: &str, parameters: &str) -> Imported {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jail.local");
    let jail =
        format!("[x]\nenabled = true\nfilter = {filter}[{parameters}]\nlogpath = /var/log/x\n");
    fs::write(&path, jail).unwrap();
    fail2ban(&path, &root.join("etc/fail2ban/filter.d")).unwrap()
}

fn expressions(imported: &Imported, key: &str) -> Vec<String> {
    let toml: toml::Table = imported.toml.parse().unwrap();
    let list = toml["jail"]["x"]
        .get(key)
        .and_then(|v| v.as_array().cloned());
    list.unwrap_or_default()
        .iter()
        .map(|v| v.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn filters_of_the_package_are_translated() {
    let Some(root) = root() else {
        println!("skipped: fail2ban is not installed");
        return;
    };
    let mut names: Vec<String> = fs::read_dir(root.join("etc/fail2ban/filter.d"))
        .unwrap()
        .filter_map(|entry| {
            Some(
                entry
                    .unwrap()
                    .file_name()
                    .to_str()?
                    .strip_suffix(".conf")?
                    .to_owned(),
            )
        })
        .collect();
    names.sort();
    let mut translated = 0;
    for name in &names {
        let imported = imported(&root, name, "");
        translated += imported.jails.len();
        for left_out in &imported.left_out {
            println!("{name}: {}", left_out.why);
        }
        for note in &imported.notes {
            println!("{name} note: {note}");
        }
        if imported.jails.is_empty() {
            continue;
        }
        for regex in expressions(&imported, "regex") {
            host(&regex, b"");
        }
    }
    println!("{translated} of {} translated", names.len());
    assert!(
        names.len() < 94 || translated >= LEAST,
        "{translated} of {}",
        names.len()
    );
}

/// Compares with what fail2ban's own tests say about their sample lines.
#[test]
fn sample_lines_of_the_package_have_the_same_hosts() {
    let Some(root) = root() else {
        println!("skipped: fail2ban is not installed");
        return;
    };
    let dir = root.join("usr/lib/python3/dist-packages/fail2ban/tests/files/logs");
    let Ok(logs) = fs::read_dir(dir) else {
        println!("skipped: fail2ban's tests are not installed");
        return;
    };
    let (mut same, mut other) = (0, Vec::new());
    for log in logs.map(|entry| entry.unwrap()) {
        let filter = log.file_name().into_string().unwrap();
        if !log.path().is_file()
            || !root
                .join(format!("etc/fail2ban/filter.d/{filter}.conf"))
                .exists()
        {
            continue;
        }
        let text = fs::read(log.path()).unwrap();
        let mut samples = Samples::default();
        for line in String::from_utf8_lossy(&text).lines() {
            for (parameters, expected) in samples.line(line) {
                let imported = samples.imported(&root, &filter, &parameters);
                let Some((regex, ignore)) = imported else {
                    continue;
                };
                let ignored = ignore
                    .iter()
                    .any(|r| regex_automata::meta::Regex::new(r).unwrap().is_match(line));
                let found = regex
                    .iter()
                    .find_map(|r| host(r, line.as_bytes()))
                    .filter(|_| !ignored);
                if found == expected {
                    same += 1;
                } else {
                    other.push(format!(
                        "{filter}[{parameters}]: {found:?} not {expected:?}: {line}"
                    ));
                }
            }
        }
    }
    println!(
        "{same} lines have the same host, {} another:\n{}",
        other.len(),
        other.join("\n")
    );
    assert!(
        same > 20 * other.len(),
        "{same} lines have the same host, {} another",
        other.len()
    );
}

/// `regex` and `ignore_regex` of a jail.
type Expressions = (Vec<String>, Vec<String>);

/// The state of a file of samples.
#[derive(Default)]
struct Samples {
    file: BTreeMap<String, String>,
    options: Vec<BTreeMap<String, String>>,
    expected: Option<Value>,
    known: BTreeMap<String, Option<Expressions>>,
}

impl Samples {
    /// Parameters of the filter, and the host that the line has with them.
    fn line(&mut self, line: &str) -> Vec<(String, Option<String>)> {
        if let Some(rest) = line.strip_prefix('#') {
            let rest = rest.trim_start_matches('#').trim_start();
            if let Some(json) = rest.strip_prefix("failJSON:") {
                self.expected = Some(serde_json::from_str(json).unwrap());
            } else if let Some(json) = rest.strip_prefix("fileOptions:") {
                self.file = map(&serde_json::from_str(json).unwrap());
            } else if let Some(json) = rest.strip_prefix("filterOptions:") {
                let value: Value = serde_json::from_str(json).unwrap();
                let list = value.as_array().cloned().unwrap_or_else(|| vec![value]);
                self.options = list.iter().map(map).collect();
            }
            return Vec::new();
        }
        if line.trim().is_empty() {
            return Vec::new();
        }
        let expected = self.expected.take();
        let of = |key: &str| {
            expected
                .as_ref()
                .and_then(|e| e.get(key))
                .cloned()
                .unwrap_or_default()
        };
        // Names that are resolved, lines that are joined, and options under conditions are fail2ban's alone.
        let host = of("host")
            .as_str()
            .map(str::to_owned)
            .filter(|_| of("match") == Value::Bool(true));
        let is_name = host
            .as_ref()
            .is_some_and(|h| h.parse::<std::net::IpAddr>().is_err());
        let constraint = expected
            .as_ref()
            .is_some_and(|e| e.get("constraint").is_some());
        if is_name || constraint {
            return Vec::new();
        }
        let none = [BTreeMap::new()];
        let options = if self.options.is_empty() {
            &none[..]
        } else {
            &self.options
        };
        let options = options.iter().filter(|o| !o.contains_key("test.condition"));
        options
            .map(|options| {
                let mut all = self.file.clone();
                all.extend(options.clone());
                let all = all.iter().filter(|(k, _)| !k.starts_with("test."));
                let parameters = all.map(|(k, v)| format!("{k}=\"{v}\"")).collect::<Vec<_>>();
                (parameters.join(", "), host.clone())
            })
            .collect()
    }

    fn imported(&mut self, root: &Path, filter: &str, parameters: &str) -> Option<Expressions> {
        let entry = self.known.entry(parameters.to_owned());
        let found = entry.or_insert_with(|| {
            let imported = imported(root, filter, parameters);
            (!imported.jails.is_empty()).then(|| {
                (
                    expressions(&imported, "regex"),
                    expressions(&imported, "ignore_regex"),
                )
            })
        });
        found.clone()
    }
}

fn map(value: &Value) -> BTreeMap<String, String> {
    let pairs = value.as_object().unwrap().iter();
    let text = |v: &Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
    pairs.map(|(k, v)| (k.clone(), text(v))).collect()
}
