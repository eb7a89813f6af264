//! Memory of idle notifiers: `cargo bench -p couic-plugin-host --bench memory -- FILE CONFIG …`, with the configuration
//! of each plugin as JSON.
//!
//! Anonymous resident memory (`RssAnon`), without file mappings: of this process before and after it starts a group, of
//! this process before and after it loads a plugin, of a plugin's own process.

use std::{env, error::Error, fs, path::Path, sync::Arc};

use couic_delivery::{Member, NotificationDispatcher, Policy};
use couic_plugin_api::{Notification, Notifier, NotifyError, Receipt, async_trait};
use couic_plugin_host::{
    ChildCommand, IsolatedNotifier, Isolation, LoadedNotifier, PluginFile, PluginOptions,
    PluginState, run_if_child,
};

/// Members of the group. Each has a queue, a task, and a spool with its thread.
const MEMBERS: i64 = 10;

type Failure = Box<dyn Error + Send + Sync>;

struct Silent(String);

#[async_trait]
impl Notifier for Silent {
    fn name(&self) -> &str {
        &self.0
    }

    async fn notify(&self, _: &Notification) -> Result<Receipt, NotifyError> {
        Ok(Receipt::default())
    }
}

fn main() -> Result<(), Failure> {
    run_if_child();
    let args: Vec<String> = env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        group().await?;
        for plugin in args.chunks_exact(2) {
            measure(Path::new(&plugin[0]), &plugin[1]).await?;
        }
        Ok(())
    })
}

async fn group() -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let before = resident("self")?;
    let members = (0..MEMBERS)
        .map(|n| Member::new(Arc::new(Silent(format!("m{n}"))), Policy::default()))
        .collect();
    let group = NotificationDispatcher::start("all", "here", Some(dir.path()), members)?;
    group.durable().await;
    let each = (resident("self")? - before) / MEMBERS;
    println!(
        "{:60} {each:>7} KiB",
        "an idle notifier's queue, task and spool"
    );
    Ok(())
}

async fn measure(path: &Path, config: &str) -> Result<(), Failure> {
    let options = PluginOptions::default();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let before = resident("self")?;
    let file = PluginFile::check(path, None)?;
    let _loaded = LoadedNotifier::load(file, "loaded", config, &options).await?;
    println!(
        "{:60} {:>7} KiB",
        format!("{name}, loaded"),
        resident("self")? - before
    );
    let file = PluginFile::check(path, None)?;
    let isolation = Isolation::new(ChildCommand::itself());
    let isolated = IsolatedNotifier::start(file, "isolated", config, &options, &isolation).await?;
    let PluginState::Running { pid } = isolated.state() else {
        return Err("it does not run".into());
    };
    println!(
        "{:60} {:>7} KiB",
        format!("{name}, isolated, its process"),
        resident(&pid.to_string())?
    );
    Ok(())
}

/// KiB.
fn resident(process: &str) -> Result<i64, Failure> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no RssAnon")?.parse()?)
}
