//! Features of the data plane and the kernels that they need: one list, for the start, its log and docs/kernels.md.
//!
//! Distributions carry features back to older kernels. So cheap features are tried: a helper by a program of two
//! instructions, TCX by a query. The release decides only about features that the kernel does not let a process try. A
//! missing feature is left out, said once in the log and in the notes of `GET /v1/health`; it is no problem.

use std::fs;

use aya::{
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported},
};
use couic_common::KernelVersion;

use super::{ENTRIES, probe};

/// An optional feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Feature {
    /// Its name.
    pub(crate) name: &'static str,
    /// The first kernel with it.
    pub(crate) since: KernelVersion,
    /// The effect of its absence.
    pub(crate) without: &'static str,
}

const fn feature(name: &'static str, (major, minor): (u32, u32), without: &'static str) -> Feature {
    Feature {
        name,
        since: KernelVersion::new(major, minor),
        without,
    }
}

const COARSE_CLOCK: Feature = feature(
    "the coarse clock for programs",
    (5, 11),
    "the exact clock is read instead, which takes longer",
);
const MEMORY_ACCOUNTING: Feature = feature(
    "memory of tables by control group",
    (5, 11),
    "tables count against RLIMIT_MEMLOCK, which the start raises if it may",
);
const FRAMES_IN_BUFFERS: Feature = feature(
    "XDP for frames in several buffers",
    (5, 18),
    "drivers refuse native XDP if the MTU takes more than a page, see operation_mode",
);
const TCX: Feature = feature("TCX", (6, 6), "operation_mode = \"tcx\" cannot be had");

/// Facts about the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    version: KernelVersion,
    coarse_clock: bool,
    frames_in_buffers: bool,
    tcx: bool,
}

/// The features that a kernel lacks, in the order in which newer ones brought them.
fn missing_of(found: Found) -> Vec<Feature> {
    let Found {
        version,
        coarse_clock,
        frames_in_buffers,
        tcx,
    } = found;
    let accounted = version >= MEMORY_ACCOUNTING.since;
    [
        (COARSE_CLOCK, coarse_clock),
        (MEMORY_ACCOUNTING, accounted),
        (FRAMES_IN_BUFFERS, frames_in_buffers),
        (TCX, tcx),
    ]
    .into_iter()
    .filter_map(|(feature, present)| (!present).then_some(feature))
    .collect()
}

/// The features that this kernel lacks, a sentence each. To be asked while the process may still load programs; `entry`
/// is the one of the XDP program that the kernel accepted.
pub(crate) fn missing(entry: &str, tcx: bool) -> Vec<String> {
    let found = Found {
        version: version(),
        coarse_clock: coarse_clock(),
        frames_in_buffers: entry == ENTRIES[0],
        tcx,
    };
    missing_of(found).iter().map(told).collect()
}

fn told(feature: &Feature) -> String {
    let Feature {
        name,
        since,
        without,
    } = feature;
    format!("this kernel lacks {name} (Linux {since}): {without}")
}

/// Whether programs may call `bpf_ktime_get_coarse_ns`.
pub(crate) fn coarse_clock() -> bool {
    is_helper_supported(ProgramType::Xdp, BpfHelper::BPF_FUNC_ktime_get_coarse_ns)
        .unwrap_or_else(|_| version() >= COARSE_CLOCK.since)
}

/// Whether a program has to order its loads: on processors that reorder them, if the kernel compiles the atomic
/// instructions for that. They came with 5.12, to the compiler for arm64 with 5.18; interpreted they are right, but an
/// interpreted program is too slow to be worth it.
pub(crate) fn ordered_loads() -> bool {
    if cfg!(target_arch = "x86_64") {
        return false;
    }
    probe::fetches_compiled().unwrap_or_else(|_| version() >= KernelVersion::new(5, 18))
}

/// Whether programs can be attached to TCX.
pub(crate) fn tcx() -> bool {
    probe::tcx().unwrap_or_else(|_| version() >= TCX.since)
}

/// The running kernel's release.
pub(crate) fn release() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

/// Of a release that cannot be parsed, the oldest is assumed: newer features have to be found by trying.
pub(crate) fn version() -> KernelVersion {
    release().parse().unwrap_or(KernelVersion::OLDEST)
}

/// Whether tables count against `RLIMIT_MEMLOCK`.
#[must_use]
pub fn counts_locked_memory() -> bool {
    version() < MEMORY_ACCOUNTING.since
}

/// Why a daemon cannot run on this kernel, if it is too old.
#[must_use]
pub fn too_old() -> Option<String> {
    too_old_of(&release())
}

fn too_old_of(release: &str) -> Option<String> {
    let version: KernelVersion = release.parse().ok()?;
    let oldest = KernelVersion::OLDEST;
    (version < oldest).then(|| {
        format!("this kernel is Linux {release}, and Couic needs Linux {oldest} or later: boot a newer kernel")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_version(major: u32, minor: u32) -> Vec<&'static str> {
        let version = KernelVersion::new(major, minor);
        let found = Found {
            version,
            coarse_clock: version >= COARSE_CLOCK.since,
            frames_in_buffers: version >= FRAMES_IN_BUFFERS.since,
            tcx: version >= TCX.since,
        };
        missing_of(found).iter().map(|f| f.name).collect()
    }

    #[test]
    fn each_feature_is_missing_below_its_kernel_and_there_from_then_on() {
        assert_eq!(by_version(5, 10).len(), 4);
        assert_eq!(
            by_version(5, 15),
            ["XDP for frames in several buffers", "TCX"]
        );
        assert_eq!(by_version(6, 1), ["TCX"]);
        assert_eq!(by_version(6, 6), [""; 0]);
    }

    #[test]
    fn what_was_tried_outweighs_the_version() {
        // As the 5.14 of a distribution that carried it back.
        let found = Found {
            version: KernelVersion::new(5, 14),
            coarse_clock: true,
            frames_in_buffers: true,
            tcx: false,
        };
        assert_eq!(missing_of(found), [TCX]);
        assert_eq!(
            told(&TCX),
            "this kernel lacks TCX (Linux 6.6): operation_mode = \"tcx\" cannot be had"
        );
    }

    #[test]
    fn kernels_below_the_oldest_are_refused_with_both_versions() {
        let why = too_old_of("5.9.16-amd64").unwrap();
        assert_eq!(
            why,
            "this kernel is Linux 5.9.16-amd64, and Couic needs Linux 5.10 or later: boot a newer kernel"
        );
        assert!(too_old_of("4.18.0-553.el8_10.x86_64").is_some());
        for fine in ["5.10.0-33-amd64", "6.18.44", "7.3+", "unknown"] {
            assert_eq!(too_old_of(fine), None, "{fine}");
        }
        assert_eq!(too_old(), None, "tests run where Couic does");
    }
}
