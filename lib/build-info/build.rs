//! Sets the commit, its date and the target for this crate alone.
//!
//! The commit is `COUIC_COMMIT`, else that of the checkout in release builds. The date is that of `SOURCE_DATE_EPOCH`,
//! else of the commit.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

fn main() {
    for name in ["COUIC_COMMIT", "SOURCE_DATE_EPOCH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    let set = |name| env::var(name).ok().filter(|value| !value.is_empty());
    let is_release = set("PROFILE").as_deref() == Some("release");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let checkout = || is_release.then(|| checkout(&root)).flatten();
    let (commit, time) = match (set("COUIC_COMMIT"), set("SOURCE_DATE_EPOCH")) {
        (Some(commit), time) => (Some(commit), time),
        (None, time) => match checkout() {
            Some((commit, of_commit)) => (Some(commit), time.or(Some(of_commit))),
            None => (None, time),
        },
    };
    let date = time.and_then(|t| t.trim().parse().ok()).map(date);
    let origin = match (commit, &date) {
        (Some(commit), Some(date)) => format!("{} {date}", short(&commit)),
        (Some(commit), None) => short(&commit).to_owned(),
        (None, _) if is_release => "unknown commit".to_owned(),
        (None, _) => "development build".to_owned(),
    };
    println!("cargo::rustc-env=COUIC_BUILD_ORIGIN={origin}");
    let date = date.unwrap_or_default();
    println!("cargo::rustc-env=COUIC_BUILD_DATE={date}");
    let target = set("TARGET").unwrap_or_default();
    println!("cargo::rustc-env=COUIC_BUILD_TARGET={target}");
}

/// Abbreviations that git makes depend on the repository.
fn short(commit: &str) -> &str {
    commit.get(..9).unwrap_or(commit)
}

/// The commit of the checkout that `root` is, and its time in Unix seconds. None if it is no checkout of its own.
fn checkout(root: &Path) -> Option<(String, String)> {
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(root).args(args).output();
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    let top = PathBuf::from(git(&["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    let branch = git(&["symbolic-ref", "-q", "HEAD"]);
    let names = ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref());
    for name in names {
        let path = root.join(git(&["rev-parse", "--git-path", name])?);
        // Cargo would build again each time for a file that is missing.
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
    Some((
        git(&["rev-parse", "HEAD"])?,
        git(&["show", "-s", "--format=%ct", "HEAD"])?,
    ))
}

/// The date of a time, in UTC: days to civil by Howard Hinnant's algorithm.
fn date(seconds: i64) -> String {
    let days = seconds.div_euclid(86_400) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}
