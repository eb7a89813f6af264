//! From configuration to a notifier.

use std::fs;

use couic_common::NotifierMode;
use couic_plugin_api::{Notification, Notifier, NotifyError, Plugin, Receipt, async_trait};
use couic_plugin_host::{Loader, NotifierConfig, Reason};
use serde::Deserialize;
use serde_json::json;

use crate::kit::{Ask as _, chameleon, folder, isolation};

struct BuiltInSample;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {
    #[serde(default)]
    port: u16,
}

impl Plugin for BuiltInSample {
    type Config = Nothing;
    fn create(config: Nothing) -> Result<Self, NotifyError> {
        let _ = config.port;
        Ok(Self)
    }
}

#[async_trait]
impl Notifier for BuiltInSample {
    fn name(&self) -> &str {
        "sample"
    }
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        assert_ne!(notification.source, "panic");
        Ok(Receipt::default())
    }
}

#[tokio::test]
async fn a_name_is_found_in_the_folder_isolated_by_default() {
    let Some(good) = chameleon() else { return };
    let dir = folder();
    let loader = Loader::new(dir.path(), isolation());
    for (name, file) in [
        ("a", "a.so"),
        ("b-c", "libb_c.so"),
        ("d", "libcouic_plugin_d.so"),
    ] {
        fs::copy(&*good, dir.path().join(file)).unwrap();
        let notifier = loader
            .open(&NotifierConfig::new(name, json!({})))
            .await
            .unwrap();
        assert_eq!(
            (notifier.mode(), notifier.name(), notifier.plugin()),
            (NotifierMode::Isolated, name, "chameleon")
        );
        notifier.ask("ok").await.unwrap();
    }
    let mut config = NotifierConfig::new("a", json!({}));
    config.isolated = false;
    config.name = Some("other".to_owned());
    let notifier = loader.open(&config).await.unwrap();
    assert_eq!(
        (notifier.mode(), notifier.name()),
        (NotifierMode::Loaded, "other")
    );
}

#[tokio::test]
async fn nothing_else_is_searched() {
    let dir = folder();
    let loader = Loader::new(dir.path(), isolation());
    for name in ["../a", "a/b", "", ".", "libc.so.6", "a\0b"] {
        let error = loader
            .open(&NotifierConfig::new(name, json!({})))
            .await
            .unwrap_err();
        assert!(matches!(error.reason, Reason::Name), "{error}");
    }
    let error = loader
        .open(&NotifierConfig::new("libc", json!({})))
        .await
        .unwrap_err();
    assert!(
        matches!(error.reason, Reason::Missing { .. }) && error.path.starts_with(dir.path()),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_has_precedence_over_a_built_in_notifier() {
    let Some(good) = chameleon() else { return };
    let dir = folder();
    let loader = Loader::new(dir.path(), isolation()).with::<BuiltInSample>("sample");
    let config = NotifierConfig::new("sample", json!({}));
    let notifier = loader.open(&config).await.unwrap();
    assert_eq!(notifier.mode(), NotifierMode::Builtin);
    notifier.ask("ok").await.unwrap();
    let error = notifier.ask("panic").await.unwrap_err();
    assert!(matches!(error, NotifyError::Panic { .. }), "{error:?}");
    notifier.ask("ok").await.unwrap();
    fs::copy(&*good, dir.path().join("sample.so")).unwrap();
    assert_eq!(
        loader.open(&config).await.unwrap().mode(),
        NotifierMode::Isolated
    );
    // A file that cannot be used is an error, not a reason to fall back to the built-in one.
    fs::write(dir.path().join("sample.so"), "text").unwrap();
    assert!(loader.open(&config).await.is_err());
}

#[tokio::test]
async fn a_bad_configuration_is_named_without_its_secrets() {
    let loader = Loader::new("/nonexistent", isolation()).with::<BuiltInSample>("sample");
    for (config, part) in [
        (json!({"prot": 1}), "prot"),
        (json!({"port": "SECRET"}), "u16"),
    ] {
        let config = NotifierConfig::new("sample", config);
        let text = loader.open(&config).await.unwrap_err().to_string();
        assert!(text.contains(part) && !text.contains("SECRET"), "{text}");
        assert!(!format!("{config:?}").contains("SECRET"));
    }
}

#[test]
fn a_table_is_read_strictly() {
    let read = |text: &str| serde_json::from_str::<NotifierConfig>(text);
    let config = read(r#"{"plugin":"slack"}"#).unwrap();
    assert!(config.isolated && config.config == json!({}) && config.timeout_secs == 30);
    assert_eq!(config.name(), "slack");
    assert_eq!(
        read(r#"{"plugin":"/opt/x/mine.so"}"#).unwrap().name(),
        "mine"
    );
    assert!(read(r#"{"plugin":"slack","isolate":false}"#).is_err());
    assert!(read("{}").is_err());
}
