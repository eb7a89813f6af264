//! Builds plugins, and starts them loaded or isolated.

use std::{
    fs,
    ops::Deref,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
    time::Duration,
};

use couic_plugin_api::{Kind, Notification, Notifier, NotifyError, Receipt, Severity, async_trait};
use couic_plugin_host::{
    AnyNotifier, ChildCommand, IsolatedNotifier, Isolation, LoadError, LoadedNotifier, PluginFile,
    PluginOptions,
};
use couic_testkit::until_ok;
use tempfile::TempDir;

/// The two ways to run a file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    Loaded,
    Isolated,
}

pub(crate) const BOTH: [Mode; 2] = [Mode::Loaded, Mode::Isolated];

pub(crate) fn plugins() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugins")
}

/// A folder that may contain plugins.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Compiles `source` of tests/plugins to `to`. `None`, with the reason printed, without a compiler.
pub(crate) fn compile_with(compiler: &str, source: &Path, flags: &[&str], to: &Path) -> Option<()> {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugin-api/include");
    let output = Command::new(compiler)
        .args([
            "-Wall", "-Wextra", "-O1", "-shared", "-fPIC", "-pthread", "-I",
        ])
        .arg(include)
        .args(flags)
        .arg("-o")
        .arg(to)
        .arg(source)
        .output();
    let Ok(Output { status, stderr, .. }) = output else {
        eprintln!("skipped: there is no {compiler}");
        return None;
    };
    let errors = String::from_utf8_lossy(&stderr);
    assert!(status.success(), "{compiler} {flags:?}: {errors}");
    // Regardless of the umask.
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).unwrap();
    Some(())
}

pub(crate) fn compile(source: &str, flags: &[&str], to: &Path) -> Option<()> {
    compile_with("cc", &plugins().join(source), flags, to)
}

/// A plugin in a folder of its own, removed on drop.
pub(crate) struct Built {
    path: PathBuf,
    _folder: TempDir,
}

impl Built {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let folder = folder();
        let path = folder.path().join("plugin.so");
        fs::write(&path, bytes).unwrap();
        // Regardless of the umask.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        Self {
            path,
            _folder: folder,
        }
    }
}

impl Deref for Built {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

/// The plugin that misbehaves on request. Compiled once.
pub(crate) fn chameleon() -> Option<Built> {
    static BYTES: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let compiled = BYTES.get_or_init(|| {
        let folder = folder();
        let path = folder.path().join("chameleon.so");
        compile("chameleon.c", &[], &path).map(|()| fs::read(path).unwrap())
    });
    compiled.as_deref().map(Built::new)
}

pub(crate) fn isolation() -> Isolation {
    let program = env!("CARGO_BIN_EXE_couic-plugin");
    // If the sources are in a home directory, the user nobody has no access: so through a descriptor.
    static OPEN: OnceLock<fs::File> = OnceLock::new();
    let open = OPEN.get_or_init(|| fs::File::open(program).unwrap());
    let path = format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        std::os::fd::AsRawFd::as_raw_fd(open)
    );
    let reachable = if nix::unistd::geteuid().is_root() {
        path
    } else {
        program.to_owned()
    };
    let reachable = if is_public(Path::new(program)) {
        program.to_owned()
    } else {
        reachable
    };
    Isolation::new(ChildCommand::new(reachable))
}

fn is_public(path: &Path) -> bool {
    path.ancestors()
        .all(|above| fs::metadata(above).is_ok_and(|meta| meta.permissions().mode() & 0o001 != 0))
}

pub(crate) fn options() -> PluginOptions {
    PluginOptions {
        timeout: Duration::from_secs(60),
        create_timeout: Duration::from_secs(60),
        max_in_flight: 3,
    }
}

/// For plugins that do not answer; long enough for those that do, on a busy machine.
pub(crate) fn hasty() -> PluginOptions {
    PluginOptions {
        timeout: Duration::from_millis(500),
        ..options()
    }
}

pub(crate) async fn start(mode: Mode, path: &Path, config: &str) -> Result<AnyNotifier, LoadError> {
    start_with(mode, path, config, &options()).await
}

pub(crate) async fn start_with(
    mode: Mode,
    path: &Path,
    config: &str,
    options: &PluginOptions,
) -> Result<AnyNotifier, LoadError> {
    let file = PluginFile::check(path, None)?;
    Ok(match mode {
        Mode::Loaded => {
            AnyNotifier::Loaded(LoadedNotifier::load(file, "test", config, options).await?)
        }
        Mode::Isolated => {
            let isolation = isolation();
            let started =
                IsolatedNotifier::start(file, "test", config, options, &isolation).await?;
            AnyNotifier::Isolated(started)
        }
    })
}

/// Requests of tests to a notifier.
#[async_trait]
pub(crate) trait Ask: Notifier {
    /// Delivers a sample from `source`, which selects the chameleon's behavior.
    async fn ask(&self, source: &str) -> Result<Receipt, NotifyError> {
        self.notify(&Notification::new(Kind::Test, Severity::Green, source))
            .await
    }

    /// The message of the permanent error that answers it.
    async fn reply(&self, source: &str) -> String {
        match self.ask(source).await {
            Err(NotifyError::Permanent { message, .. }) => message,
            other => panic!("{other:?}"),
        }
    }
}

impl<N: Notifier + ?Sized> Ask for N {}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    until_ok(Duration::from_millis(10), async || {
        condition().await.then_some(()).ok_or(what)
    })
    .await;
}
