//! Latency of a call: built in, loaded, isolated. `cargo bench -p couic-plugin-host --bench calls`
//!
//! Medians of single calls, one after the other, to a plugin in C that completes at once. Needs cc.

use std::{
    error::Error,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use couic_plugin_api::{
    Kind, Notification, Notifier, NotifyError, Plugin, Receipt, Severity, async_trait,
};
use couic_plugin_host::{
    BuiltIn, ChildCommand, IsolatedNotifier, Isolation, LoadedNotifier, PluginFile, PluginOptions,
    PluginState, run_if_child,
};
use serde_json::{Value, json};

const CALLS: usize = 20_000;

struct Nothing;

impl Plugin for Nothing {
    type Config = Value;
    fn create(_: Value) -> Result<Self, NotifyError> {
        Ok(Self)
    }
}

#[async_trait]
impl Notifier for Nothing {
    fn name(&self) -> &str {
        "nothing"
    }
    async fn notify(&self, _: &Notification) -> Result<Receipt, NotifyError> {
        Ok(Receipt::default())
    }
}

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    run_if_child();
    let runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = { runtime }.worker_threads(2).enable_all().build()?;
    runtime.block_on(async { tokio::spawn(measure()).await? })
}

async fn measure() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))?;
    let path = folder.path().join("chameleon.so");
    compile(&path)?;
    let options = PluginOptions::default();

    let direct: &dyn Notifier = &Nothing;
    report("direct", direct).await?;
    let built_in = BuiltIn::create::<Nothing>("nothing", "nothing", &json!({}), options.timeout)
        .map_err(|error| error.to_string())?;
    report("built in (panics caught, timeout)", &built_in).await?;

    let begin = Instant::now();
    let file = PluginFile::check(&path, None)?;
    let loaded = LoadedNotifier::load(file, "loaded", "{}", &options).await?;
    println!(
        "{:40} {:>10.2?}",
        "loading, with every check",
        begin.elapsed()
    );
    report("loaded", &loaded).await?;

    let isolation = Isolation::new(ChildCommand::itself());
    let begin = Instant::now();
    let file = PluginFile::check(&path, None)?;
    let isolated = IsolatedNotifier::start(file, "isolated", "{}", &options, &isolation).await?;
    println!(
        "{:40} {:>10.2?}",
        "starting isolated, with every check",
        begin.elapsed()
    );
    let before = resident(&isolated.state())?;
    report("isolated", &isolated).await?;
    println!("{:40} {before:>7} KiB", "memory of its process, idle");
    Ok(())
}

fn compile(to: &Path) -> Result<(), Failure> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-shared", "-fPIC", "-pthread", "-I"])
        .arg(here.join("../../plugin-api/include"));
    cc.arg("-o")
        .arg(to)
        .arg(here.join("tests/plugins/chameleon.c"));
    if !cc.status()?.success() {
        return Err("cc failed".into());
    }
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

async fn report(name: &str, notifier: &dyn Notifier) -> Result<(), Failure> {
    let notification = Notification::new(Kind::Test, Severity::Green, "fw1");
    let mut took = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begin = Instant::now();
        notifier.notify(&notification).await?;
        took.push(begin.elapsed());
    }
    took.sort_unstable();
    let at = |percent: usize| -> Duration { took[CALLS * percent / 100] };
    println!("{name:40} {:>10.2?} p50 {:>10.2?} p99", at(50), at(99));
    Ok(())
}

/// Anonymous resident memory of a process in KiB.
fn resident(state: &PluginState) -> Result<u64, Failure> {
    let PluginState::Running { pid } = state else {
        return Err("it does not run".into());
    };
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no RssAnon")?.parse()?)
}
