//! What the tests of the service need beside the kit: reports to send, and a disk that is soon full.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use couic_testkit::{Collector, Reply, StandIn};
use serde_json::Value;

/// A chat or a webhook that accepts all.
pub(crate) fn stand_in() -> StandIn {
    StandIn::tcp(|_| Reply::status(204))
}

pub(crate) fn collector(interval_secs: u64, more: &str) -> Collector {
    Collector::new(env!("CARGO_BIN_EXE_couic-report"), interval_secs, more)
}

/// The status of the answer to a request with these reports, when there is one.
pub(crate) fn post(collector: &Collector, reports: &Value, headers: &str) -> Option<u16> {
    let api = collector.api().with(headers);
    let answer = api.try_request(
        "POST",
        &Collector::reports_path(),
        Some(&reports.to_string()),
    );
    answer.ok().map(|answer| answer.status)
}

/// When the open interval began, Unix seconds.
pub(crate) fn interval_from(collector: &Collector) -> u64 {
    collector.health()["interval"]["from"].as_u64().unwrap()
}

pub(crate) fn report(host: u32, tag: &str) -> Value {
    let addr = std::net::Ipv4Addr::from_bits(0x0a00_0000 + host);
    serde_json::json!({"action":"add","policy":"drop","timestamp":1,"metadata":null,
        "entry":{"creation":1,"cidr":format!("{addr}/32"),"tag":tag,"expiration":0}})
}

/// A tmpfs of so many KiB on `dir`, if we may mount one.
pub(crate) fn small_disk(dir: &Path, kib: u32) -> Option<Mounted> {
    fs::create_dir_all(dir).unwrap();
    let options = format!("size={kib}k,mode=700");
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", &options, "couic-report-test"])
        .arg(dir);
    let done = mount.stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
        .then(|| Mounted(dir.to_owned()))
}

pub(crate) struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("-l").arg(&self.0).status());
    }
}
