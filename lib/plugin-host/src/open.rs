//! Opens configured notifiers.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;

use super::{
    AnyNotifier, BuiltIn, Failed, IsolatedNotifier, Isolation, LoadError, LoadedNotifier,
    PluginFile, PluginOptions, Reason, file::LOADS_FILES,
};
use couic_plugin_api::{NotifyError, Plugin};

/// A table `[[notifiers]]` of a configuration file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotifierConfig {
    /// The name of a file in the plugin folder or of a built-in notifier, or an absolute path.
    pub plugin: String,
    /// The notifier's name; by default that of the plugin.
    #[serde(default)]
    pub name: Option<String>,
    /// For the plugin. Contains secrets.
    #[serde(default = "empty")]
    pub config: Value,
    /// Whether a file gets a process of its own.
    #[serde(default = "yes")]
    pub isolated: bool,
    /// The SHA-256 that the file must have, hexadecimal.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Timeout of an attempt.
    #[serde(default = "thirty")]
    pub timeout_secs: u64,
    /// Memory limit of the plugin's process.
    #[serde(default)]
    pub memory_mib: Option<u64>,
}

fn empty() -> Value {
    Value::Object(serde_json::Map::new())
}

fn yes() -> bool {
    true
}

fn thirty() -> u64 {
    30
}

impl NotifierConfig {
    /// A plugin with its configuration, and defaults for the rest.
    pub fn new(plugin: impl Into<String>, config: Value) -> Self {
        Self {
            plugin: plugin.into(),
            name: None,
            config,
            isolated: true,
            sha256: None,
            timeout_secs: thirty(),
            memory_mib: None,
        }
    }

    /// The notifier's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_else(|| {
            let stem = Path::new(&self.plugin).file_stem();
            stem.and_then(|stem| stem.to_str()).unwrap_or(&self.plugin)
        })
    }

    fn options(&self) -> PluginOptions {
        PluginOptions {
            timeout: Duration::from_secs(self.timeout_secs.max(1)),
            ..PluginOptions::default()
        }
    }
}

/// Without the configuration of the plugin, which contains secrets.
impl fmt::Debug for NotifierConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NotifierConfig")
            .field("plugin", &self.plugin)
            .field("name", &self.name)
            .field("isolated", &self.isolated)
            .field("sha256", &self.sha256)
            .field("timeout_secs", &self.timeout_secs)
            .field("memory_mib", &self.memory_mib)
            .finish_non_exhaustive()
    }
}

type Make = fn(&str, &str, &Value, Duration) -> Result<BuiltIn, NotifyError>;

/// Finds plugins, and starts them.
#[derive(Clone)]
pub struct Loader {
    folder: PathBuf,
    isolation: Isolation,
    built_in: Vec<(&'static str, Make)>,
}

impl Loader {
    /// Searches names in `folder` and nowhere else, and isolates as `isolation` says.
    pub fn new(folder: impl Into<PathBuf>, isolation: Isolation) -> Self {
        Self {
            folder: folder.into(),
            isolation,
            built_in: Vec::new(),
        }
    }

    /// Registers a built-in notifier. A file of that name in the folder has precedence.
    #[must_use]
    pub fn with<P: Plugin>(mut self, name: &'static str) -> Self {
        self.built_in.push((name, BuiltIn::create::<P>));
        self
    }

    /// Whether what `config` names runs in a process of its own.
    #[must_use]
    pub fn isolates(&self, config: &NotifierConfig) -> bool {
        let built_in = self.built_in.iter().any(|(name, _)| *name == config.plugin);
        let is_file = matches!(self.find(&config.plugin), Ok(Some(_)));
        LOADS_FILES && config.isolated && (is_file || !built_in)
    }

    /// Those that cannot be opened, since this build loads no files.
    #[must_use]
    pub fn unavailable(&self, wanted: &[NotifierConfig]) -> Vec<Failed> {
        let built_in = |plugin: &str| self.built_in.iter().any(|(name, _)| *name == plugin);
        let files = wanted.iter().filter(|config| !built_in(&config.plugin));
        let files = files.filter(|_| !LOADS_FILES);
        let failed = files.map(|config| Failed {
            name: config.name().to_owned(),
            reason: Reason::Static.at(&config.plugin),
        });
        failed.collect()
    }

    /// Starts the notifier of `config`.
    ///
    /// # Errors
    /// [`LoadError`] says why the notifier has failed. Nothing else needs to fail because of it.
    pub async fn open(&self, config: &NotifierConfig) -> Result<AnyNotifier, LoadError> {
        let plugin = config.plugin.as_str();
        let path = self.find(plugin)?;
        let made = self.built_in.iter().find(|(name, _)| *name == plugin);
        if let (None, Some((_, make))) = (&path, made) {
            let timeout = config.options().timeout;
            return make(plugin, config.name(), &config.config, timeout)
                .map(AnyNotifier::BuiltIn)
                .map_err(|error| Reason::Create(error.to_string()).at(plugin));
        }
        // A static build refuses any file, with the reason.
        let any = || (!LOADS_FILES).then(|| self.folder.join(format!("{plugin}.so")));
        let Some(path) = path.or_else(any) else {
            let reason = Reason::Missing {
                tried: file_names(plugin).join(", "),
                near: near(&self.folder, plugin),
            };
            return Err(reason.at(self.folder.join(plugin)));
        };
        let pin = config.sha256.clone();
        let checked = tokio::task::spawn_blocking(move || PluginFile::check(&path, pin.as_deref()));
        let file = checked
            .await
            .map_err(|error| Reason::Create(format!("checking it failed: {error}")).at(plugin))??;
        self.start(file, config).await
    }

    async fn start(
        &self,
        file: PluginFile,
        config: &NotifierConfig,
    ) -> Result<AnyNotifier, LoadError> {
        let (name, options, json) = (config.name(), config.options(), config.config.to_string());
        if !config.isolated {
            let loaded = LoadedNotifier::load(file, name, &json, &options).await?;
            return Ok(AnyNotifier::Loaded(loaded));
        }
        let mut isolation = self.isolation.clone();
        if let Some(memory) = config.memory_mib {
            isolation.memory = memory.saturating_mul(1 << 20);
        }
        let isolated = IsolatedNotifier::start(file, name, &json, &options, &isolation).await?;
        Ok(AnyNotifier::Isolated(isolated))
    }

    /// The path of a plugin's file; `None` if the folder has none of that name.
    fn find(&self, plugin: &str) -> Result<Option<PathBuf>, LoadError> {
        if plugin.starts_with('/') {
            return Ok(Some(plugin.into()));
        }
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if plugin.is_empty() || plugin.len() > 64 || !plugin.bytes().all(is_name) {
            return Err(Reason::Name.at(plugin));
        }
        // A built-in notifier must not be shadowed by a file that cannot be loaded.
        if !LOADS_FILES {
            return Ok(None);
        }
        let paths = file_names(plugin).map(|file| self.folder.join(file));
        // A dangling link counts, too: it is an error.
        Ok(paths
            .into_iter()
            .find(|path| path.symlink_metadata().is_ok()))
    }
}

/// The files that a plugin's name stands for.
fn file_names(plugin: &str) -> [String; 3] {
    let crate_name = plugin.replace('-', "_");
    [
        format!("{plugin}.so"),
        format!("lib{crate_name}.so"),
        format!("libcouic_plugin_{crate_name}.so"),
    ]
}

/// Files of the folder whose names contain the plugin's: what its author's build may have called it.
fn near(folder: &Path, plugin: &str) -> String {
    let plugin = plugin.replace('-', "_").to_ascii_lowercase();
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = names.filter_map(|file| file.file_name().into_string().ok());
    let like = |name: &String| {
        name.replace('-', "_")
            .to_ascii_lowercase()
            .contains(&plugin)
    };
    let mut like: Vec<_> = names.filter(like).collect();
    like.sort_unstable();
    like.truncate(3);
    like.join(", ")
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let built_in: Vec<_> = self.built_in.iter().map(|(name, _)| name).collect();
        f.debug_struct("Loader")
            .field("folder", &self.folder)
            .field("isolation", &self.isolation)
            .field("built_in", &built_in)
            .finish()
    }
}
