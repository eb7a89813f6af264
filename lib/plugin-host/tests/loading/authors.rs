//! Third-party plugins: built out of tree with other tools, dropped into the folder, and notified.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use couic_plugin_api::NotifyError;
use couic_plugin_host::{Loader, NotifierConfig, PluginOptions};
use serde_json::json;

use crate::kit::{
    Ask as _, BOTH, Built, Mode, compile, compile_with, folder, isolation, options, start,
    start_with, until,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Builds a separate package outside of this workspace. `None`, with the reason printed, if that is not possible here.
fn cargo(package: &str, library: &str, toolchain: Option<&str>) -> Option<Vec<u8>> {
    let folder = folder();
    let away = folder.path();
    let from = root().join(package);
    fs::create_dir(away.join("src")).unwrap();
    fs::copy(from.join("src/lib.rs"), away.join("src/lib.rs")).unwrap();
    let text = fs::read_to_string(from.join("Cargo.toml")).unwrap();
    let api = format!(
        "couic-plugin-api = {{ path = {:?} }}",
        root().join("plugin-api")
    );
    let lines = text.lines().map(|line| match line.split_once(' ') {
        Some(("couic-plugin-api", _)) => api.as_str(),
        _ => line,
    });
    let text: Vec<_> = lines.collect();
    fs::write(away.join("Cargo.toml"), text.join("\n")).unwrap();
    // The versions downloaded for this workspace: there may be no network.
    fs::copy(root().join("Cargo.lock"), away.join("Cargo.lock")).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(toolchain.unwrap_or("same"));
    let mut command = Command::new(toolchain.map_or("cargo", |_| "rustup"));
    if let Some(toolchain) = toolchain {
        command
            .args(["run", toolchain, "cargo"])
            .env_remove("RUSTC")
            .env_remove("RUSTUP_TOOLCHAIN");
    }
    let output = command
        .args(["build", "--release", "--offline", "--quiet", "--target-dir"])
        .arg(&target)
        .current_dir(away)
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: no {command:?}");
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("is not installed")
        || errors.contains("you may need to run without --offline")
    {
        eprintln!("skipped: {errors}");
        return None;
    }
    assert!(output.status.success(), "{errors}");
    Some(fs::read(target.join("release").join(library)).unwrap())
}

fn example() -> Option<Built> {
    static BYTES: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let build = || cargo("plugin-api/examples/rust", "libfile_notifier.so", None);
    BYTES.get_or_init(build).as_deref().map(Built::new)
}

fn panics() -> Option<Built> {
    static BYTES: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let build = || cargo("lib/plugin-host/tests/plugins/panics", "libpanics.so", None);
    BYTES.get_or_init(build).as_deref().map(Built::new)
}

/// A folder that the user `nobody` may write to.
fn public() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    folder
}

/// Drops the file into a folder, and checks its output.
async fn is_notified(file: &Path, config: impl Fn(&Path) -> serde_json::Value, expected: &str) {
    for isolated in [false, true] {
        let (folder, out) = (folder(), public());
        fs::copy(file, folder.path().join("file.so")).unwrap();
        let written = out.path().join("written");
        let mut notifier = NotifierConfig::new("file", config(&written));
        notifier.isolated = isolated;
        let notifier = Loader::new(folder.path(), isolation())
            .open(&notifier)
            .await
            .unwrap();
        notifier.ask("one").await.unwrap();
        notifier.ask("two").await.unwrap();
        let text = fs::read_to_string(&written).unwrap();
        assert_eq!(
            (text.lines().count(), text.matches(expected).count()),
            (2, 2),
            "{text}"
        );
    }
}

#[tokio::test]
async fn the_c_example_is_notified() {
    let dir = folder();
    let path = dir.path().join("file.so");
    let source = root().join("plugin-api/examples/c/file_notifier.c");
    let flags = ["-std=c11", "-Wpedantic", "-Werror"];
    let Some(()) = compile_with("cc", &source, &flags, &path) else {
        return;
    };
    is_notified(&path, |to| json!({ "path": to }), "\"kind\":\"test\"").await;
    for bad in [
        r#""/tmp/x""#,
        "{}",
        r#"{"path":"x"}"#,
        r#"{"path":"/"}"#,
        r#"{"path":"/a","b":"/"}"#,
    ] {
        let error = start(Mode::Isolated, &path, bad).await.unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains("bad configuration: config: "),
            "{bad}: {told}"
        );
    }
}

#[tokio::test]
async fn the_rust_example_is_notified() {
    let Some(path) = example() else { return };
    is_notified(
        &path,
        |to| json!({ "path": to }),
        "Test notification: delivery works.",
    )
    .await;
    let error = start(Mode::Isolated, &path, r#"{"path":"x"}"#)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("bad configuration: path: must be absolute"),
        "{error}"
    );
}

#[tokio::test]
async fn one_from_another_toolchain_is_notified() {
    let toolchains = Command::new("rustup").args(["toolchain", "list"]).output();
    let nightly =
        toolchains.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("nightly"));
    if !nightly {
        return eprintln!("skipped: there is no nightly toolchain");
    }
    let Some(bytes) = cargo(
        "plugin-api/examples/rust",
        "libfile_notifier.so",
        Some("nightly"),
    ) else {
        return;
    };
    let path = Built::new(&bytes);
    is_notified(
        &path,
        |to| json!({ "path": to }),
        "Test notification: delivery works.",
    )
    .await;
}

#[tokio::test]
async fn a_plugin_of_abi_1_0_still_loads() {
    if !cfg!(target_arch = "x86_64") {
        return eprintln!("skipped: the golden plugin is for x86_64");
    }
    let dir = folder();
    let path = dir.path().join("golden.so");
    fs::copy(
        root().join("lib/plugin-host/tests/golden/couic_notifier_1_0_x86_64.so"),
        &path,
    )
    .unwrap();
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    for mode in BOTH {
        let notifier = start(mode, &path, "{}").await.unwrap();
        let info = notifier.info().unwrap();
        assert_eq!(
            (info.plugin.as_str(), info.version.as_str()),
            ("golden", "1.0")
        );
        assert_eq!(
            (info.build_info.as_str(), info.config_schema.as_str()),
            ("abi 1.0", "{}")
        );
        let expected = NotifyError::RateLimited {
            retry_after: Duration::from_secs(1),
            http_status: Some(429),
        };
        assert_eq!(notifier.ask("x").await, Err(expected), "{mode:?}");
        let error = start(mode, &path, "[1]").await.unwrap_err();
        assert!(
            error.to_string().ends_with("bad configuration: bad"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_plugin_of_a_later_minor_loads() {
    let dir = folder();
    let path = dir.path().join("larger.so");
    let Some(()) = compile("larger.c", &[], &path) else {
        return;
    };
    for mode in BOTH {
        let notifier = start(mode, &path, "{}").await.unwrap();
        assert_eq!(notifier.info().unwrap().abi, "1.7");
        let receipt = notifier.ask("x").await.unwrap();
        assert_eq!(receipt.http_status, Some(204));
        assert_eq!(receipt.pause, Some(Duration::from_millis(1500)));
    }
}

#[tokio::test]
async fn panics_are_errors_and_the_plugin_stays_usable() {
    let Some(path) = panics() else { return };
    for mode in BOTH {
        let error = start(mode, &path, r#"{"panic":true}"#).await.unwrap_err();
        assert!(
            error.to_string().ends_with("it panicked: in create"),
            "{mode:?}: {error}"
        );
        let notifier = start(mode, &path, "{}").await.unwrap();
        for _ in 0..3 {
            let error = notifier.ask("panic").await.unwrap_err();
            assert_eq!(
                error,
                NotifyError::Panic {
                    message: "in notify".to_owned()
                },
                "{mode:?}"
            );
        }
        notifier.ask("ok").await.unwrap();
        assert_eq!(notifier.stats().panics, 3, "{mode:?}");
    }
}

#[tokio::test]
async fn an_exported_plugin_completes_a_cancelled_attempt() {
    let Some(path) = panics() else { return };
    let hasty = PluginOptions {
        timeout: Duration::from_millis(150),
        ..options()
    };
    for mode in BOTH {
        let notifier = start_with(mode, &path, "{}", &hasty).await.unwrap();
        for _ in 0..5 {
            assert!(matches!(
                notifier.ask("hang").await,
                Err(NotifyError::Timeout { .. })
            ));
            until("the attempt is completed", async || {
                notifier.stats().stuck == 0
            })
            .await;
        }
        assert_eq!(notifier.stats().restarts, 0, "{mode:?}");
    }
}
