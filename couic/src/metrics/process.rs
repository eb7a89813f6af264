//! The process itself, under the names of the Prometheus conventions.

use std::fs;

use couic_common::unix_time;
use couic_httpd::{Family, Kind};

/// `USER_HZ`: the kernel reports CPU times to user space in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) struct ProcessFigures {
    start: f64,
}

impl ProcessFigures {
    pub(super) fn since_now() -> Self {
        Self {
            start: unix_time().as_secs_f64(),
        }
    }

    /// Values that `/proc` does not provide are left out rather than shown as 0.
    pub(super) fn families(&self) -> impl Iterator<Item = Family> {
        let fds = fs::read_dir("/proc/self/fd").ok();
        let fds = fds.map(|fds| u32::try_from(fds.count()).unwrap_or(u32::MAX).into());
        [
            (
                Kind::Gauge,
                "process_start_time_seconds",
                "When the process started, Unix time.",
                Some(self.start),
            ),
            (
                Kind::Gauge,
                "process_resident_memory_bytes",
                "Resident memory.",
                resident_bytes(),
            ),
            (
                Kind::Gauge,
                "process_open_fds",
                "Open file descriptors.",
                fds,
            ),
            (
                Kind::Counter,
                "process_cpu_seconds_total",
                "Processor time used, user and system.",
                cpu_seconds(),
            ),
        ]
        .into_iter()
        .filter_map(|(kind, name, help, value)| {
            let mut family = Family::new(kind, name, help);
            family.push(&[], value?);
            Some(family)
        })
    }
}

fn resident_bytes() -> Option<f64> {
    let statm = fs::read_to_string("/proc/self/status").ok()?;
    let line = statm.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}

/// CPU time of this process.
pub(crate) fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name is in brackets and may contain anything; utime and stime are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let ticks = times.next()?.parse::<f64>().ok()? + times.next()?.parse::<f64>().ok()?;
    Some(ticks / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_figures_of_this_process() {
        assert!(resident_bytes().unwrap() > 100_000.0);
        let before = cpu_seconds().unwrap();
        let mut sum = 0_u64;
        while cpu_seconds().unwrap() < before + 0.03 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let names: Vec<_> = ProcessFigures::since_now()
            .families()
            .map(|f| f.name().to_owned())
            .collect();
        assert_eq!(names.len(), 4, "{names:?}");
    }
}
