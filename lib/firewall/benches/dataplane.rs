//! The cost of a packet: Couic's tables beside the usual design, in one run.
//!
//! The program under test runs by BPF_PROG_TEST_RUN on one real frame; it parses the frame and takes its source from
//! a shuffled sample of 1,048,576 addresses. `floor` does only that. Shown is the time above the floor, in
//! nanoseconds a packet: least and median over windows of 4,096 runs, the three programs taking turns. Needs root.
//! Arguments choose cases by parts of their names: `-- "1,000 hosts"`; only a whole run draws the plot.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a bench stops if something fails"
)]
#![allow(
    clippy::allow_attributes,
    unreachable_pub,
    reason = "as above; modules of one bench"
)]

mod dataplane_plot;
mod dataplane_rules;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd, AsRawFd},
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    maps::{Array, LpmTrie, MapData, lpm_trie::Key},
    programs::Xdp,
};
use couic_common::{Cidr, Policy, RuleKey};
use couic_ebpf::layout::CODE_PASS;
use couic_firewall::dataplane::{Limits, Plane, PlaneRule, TablePlane, TagSlot, open};
use dataplane_plot::Point;
use dataplane_rules::{Case, Random, cases};

#[cfg(feature = "bench")]
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/couic-bench"));
#[cfg(not(feature = "bench"))]
static OBJECT: &[u8] = &[];
const SAMPLE: usize = 1 << 20;
/// As in ebpf/src/bench.rs.
const WINDOW: u64 = 4096;
/// The programs take so many turns.
const ROUNDS: usize = 8;
/// Tags in turn, as many as the usual design's LRU keeps.
const TAGS: usize = 50;

struct Bench {
    ebpf: Ebpf,
    plane: TablePlane,
}

fn rule(n: usize) -> PlaneRule {
    PlaneRule {
        slot: TagSlot::new(n % TAGS + 1).unwrap(),
        deadline: 0,
    }
}

impl Bench {
    fn new(rules: usize, counting: bool) -> Self {
        let limits = Limits {
            drop_entries: rules.max(1000),
            ignore_entries: 1024,
        };
        let (mut ebpf, plane, _counters) =
            open(OBJECT, limits, counting).expect("load (needs root)");
        for name in ["floor", "ours", "lpm"] {
            let program: &mut Xdp = ebpf.program_mut(name).unwrap().try_into().unwrap();
            program.load().unwrap();
        }
        Self { ebpf, plane }
    }

    /// Nanoseconds a packet of windows in a row, by stamps that the program itself takes: the system call brings
    /// milliseconds of its own, since the kernel patches its XDP dispatcher for a test run.
    fn windows(&mut self, program: &str, frame: &[u8], windows: u64) -> Vec<f64> {
        let next: Array<&mut MapData, u64> = self.ebpf.map_mut("NEXT").unwrap().try_into().unwrap();
        let first = next.get(&0, 0).unwrap() / WINDOW;
        let xdp: &mut Xdp = self.ebpf.program_mut(program).unwrap().try_into().unwrap();
        let fd = xdp.fd().unwrap().as_fd().as_raw_fd();
        let mut attr = [0u64; 10];
        attr[0] = u64::from(fd.unsigned_abs());
        attr[1] = frame.len() as u64;
        attr[2] = frame.as_ptr() as u64;
        attr[4] = (windows + 1) * WINDOW;
        // SAFETY: union bpf_attr for BPF_PROG_TEST_RUN (10), naming a live buffer with its size.
        let done =
            unsafe { libc::syscall(libc::SYS_bpf, 10, attr.as_mut_ptr(), size_of_val(&attr)) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
        let stamps: Array<&mut MapData, u64> =
            self.ebpf.map_mut("STAMPS").unwrap().try_into().unwrap();
        let stamp = |n: u64| {
            stamps
                .get(&u32::try_from((first + n) % 64).unwrap(), 0)
                .unwrap()
        };
        let taken = |n: u64| (stamp(n + 1) - stamp(n)) as f64 / WINDOW as f64;
        (1..=windows).map(taken).collect()
    }

    fn sources(&mut self, sources: &[IpAddr]) {
        let map = self.ebpf.map_mut("SOURCES").unwrap();
        let mut array: Array<&mut MapData, [u64; 2]> = map.try_into().unwrap();
        for n in 0..SAMPLE {
            let words = match sources[n % sources.len()] {
                IpAddr::V4(a) => [a.to_bits().into(), 0],
                IpAddr::V6(a) => [(a.to_bits() >> 64) as u64, a.to_bits() as u64],
            };
            array.set(u32::try_from(n).unwrap(), words, 0).unwrap();
        }
    }

    fn fill_lpm(&mut self, rules: &[Cidr]) -> Duration {
        let start = Instant::now();
        if rules.first().is_none_or(|cidr| cidr.is_ipv4()) {
            let mut trie: LpmTrie<_, u32, u32> =
                self.ebpf.map_mut("DROP_V4").unwrap().try_into().unwrap();
            for (n, cidr) in rules.iter().enumerate() {
                let IpAddr::V4(address) = cidr.addr() else {
                    continue;
                };
                let key = Key::new(cidr.prefix().into(), address.to_bits().to_be());
                trie.insert(&key, (n % TAGS) as u32 + 1, 0).unwrap();
            }
        } else {
            let mut trie: LpmTrie<_, [u8; 16], u32> =
                self.ebpf.map_mut("DROP_V6").unwrap().try_into().unwrap();
            for (n, cidr) in rules.iter().enumerate() {
                let IpAddr::V6(address) = cidr.addr() else {
                    continue;
                };
                let key = Key::new(cidr.prefix().into(), address.octets());
                trie.insert(&key, (n % TAGS) as u32 + 1, 0).unwrap();
            }
        }
        start.elapsed()
    }
}

fn frame(v6: bool) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    if v6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 10, 17, 64]);
        frame.extend([0; 42]);
    } else {
        frame.extend([0x08, 0x00, 0x45, 0, 0, 46, 0, 0, 0, 0, 64, 17, 0, 0]);
        frame.extend([0; 34]);
    }
    frame
}

/// Least and median of some windows.
#[derive(Clone, Copy)]
struct Cost {
    least: f64,
    median: f64,
}

fn cost(mut windows: Vec<f64>) -> Cost {
    windows.sort_by(f64::total_cmp);
    Cost {
        least: windows[0],
        median: windows[windows.len() / 2],
    }
}

/// Floor, ours, the usual design.
fn measure(bench: &mut Bench, v6: bool) -> [Cost; 3] {
    let frame = frame(v6);
    let mut windows = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (at, (program, count)) in [("floor", 60), ("ours", 60), ("lpm", 10)]
            .into_iter()
            .enumerate()
        {
            windows[at].extend(bench.windows(program, &frame, count));
        }
    }
    windows.map(cost)
}

/// The cost of counting per rule: dropped sources, with it and without.
fn per_rule(random: &mut Random) {
    for count in [1_000, 200_000] {
        let hosts: Vec<Cidr> = (0..count)
            .map(|_| Cidr::host(Ipv4Addr::from_bits(random.next() as u32).into()))
            .collect();
        let mut sources: Vec<IpAddr> = (0..SAMPLE).map(|n| hosts[n % hosts.len()].addr()).collect();
        random.shuffle(&mut sources);
        let least = [false, true].map(|counting| {
            let mut bench = Bench::new(hosts.len(), counting);
            for (n, cidr) in hosts.iter().enumerate() {
                bench
                    .plane
                    .put(RuleKey::new(Policy::Drop, *cidr), rule(n))
                    .unwrap();
            }
            bench.sources(&sources);
            let [floor, ours, _] = measure(&mut bench, false);
            ours.least - floor.least
        });
        println!(
            "  v4, {count} hosts, dropped: {:.1} ns; with hits and last seen for each rule {:.1} ns",
            least[0], least[1]
        );
    }
}

fn run(case: &Case, random: &mut Random) -> Vec<Point> {
    let rules = (case.rules)(random);
    let mut bench = Bench::new(rules.len(), false);
    let start = Instant::now();
    for (n, cidr) in rules.iter().enumerate() {
        bench
            .plane
            .put(RuleKey::new(Policy::Drop, *cidr), rule(n))
            .unwrap();
    }
    let ours = start.elapsed();
    let lpm = bench.fill_lpm(&rules);
    let innocent: Vec<IpAddr> = std::iter::repeat_with(|| (case.source)(random))
        .filter(|source| bench.plane.verdict(*source) == CODE_PASS)
        .take(SAMPLE)
        .collect();
    let mut points = vec![show(case, &mut bench, "innocent", &innocent)];
    if !rules.is_empty() {
        let mut dropped: Vec<IpAddr> = (0..SAMPLE)
            .map(|n| inside(rules[n % rules.len()], random))
            .collect();
        random.shuffle(&mut dropped);
        points.push(show(case, &mut bench, "dropped", &dropped));
    }
    if rules.len() >= 1_000_000 {
        let start = Instant::now();
        for cidr in &rules {
            bench
                .plane
                .remove(RuleKey::new(Policy::Drop, *cidr))
                .unwrap();
        }
        println!(
            "  {}: {} rules in {:.2} s (LPM {:.2} s), out in {:.2} s",
            case.name,
            rules.len(),
            ours.as_secs_f64(),
            lpm.as_secs_f64(),
            start.elapsed().as_secs_f64()
        );
    }
    points
}

fn show(case: &Case, bench: &mut Bench, kind: &'static str, sources: &[IpAddr]) -> Point {
    bench.sources(sources);
    let [floor, ours, lpm] = measure(bench, case.v6);
    let above = |cost: Cost| (cost.least - floor.least, cost.median - floor.median);
    let (ours, lpm) = (above(ours), above(lpm));
    println!(
        "| {:<22} | {:<8} | {:7.1} ({:7.1}) | {:7.1} ({:7.1}) | {:6.0} | {:5.1} |",
        case.name,
        kind,
        ours.0,
        ours.1,
        lpm.0,
        lpm.1,
        lpm.0 / ours.0,
        floor.least
    );
    Point {
        v6: case.v6,
        hosts: case.plotted,
        rules: case.count,
        kind,
        ours: ours.0,
        lpm: lpm.0,
    }
}

/// A random address of a prefix.
fn inside(cidr: Cidr, random: &mut Random) -> IpAddr {
    let host = random.wide();
    match cidr.addr() {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shr(cidr.prefix().into()).unwrap_or(0);
            Ipv4Addr::from_bits(a.to_bits() | host as u32 & mask).into()
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shr(cidr.prefix().into()).unwrap_or(0);
            Ipv6Addr::from_bits(a.to_bits() | host & mask).into()
        }
    }
}

/// A /1 in and out over a million hosts, and a lone host in and out.
fn updates(random: &mut Random) {
    let mut plane = TablePlane::on_heap(
        Limits {
            drop_entries: 1_000_100,
            ignore_entries: 100,
        },
        [1, 2, 3],
    )
    .unwrap();
    let mut longest = Duration::ZERO;
    for n in 0..1_000_000 {
        let host = Cidr::host(Ipv4Addr::from_bits(random.next() as u32).into());
        let start = Instant::now();
        plane
            .put(RuleKey::new(Policy::Drop, host), rule(n))
            .unwrap();
        longest = longest.max(start.elapsed());
    }
    println!(
        "  the longest of 1,000,000 single puts, while a table doubles: {:.1} ms",
        longest.as_secs_f64() * 1e3
    );
    for cidr in [
        "128.0.0.0/1",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.128.0/17",
        "10.1.2.0/24",
        "10.1.2.3/32",
    ] {
        let cidr: Cidr = cidr.parse().unwrap();
        let mut best = [f64::MAX; 2];
        for _ in 0..20 {
            let start = Instant::now();
            plane
                .put(RuleKey::new(Policy::Ignore, cidr), rule(1))
                .unwrap();
            best[0] = best[0].min(start.elapsed().as_secs_f64() * 1e6);
            let start = Instant::now();
            plane.remove(RuleKey::new(Policy::Ignore, cidr)).unwrap();
            best[1] = best[1].min(start.elapsed().as_secs_f64() * 1e6);
        }
        println!(
            "  beside 1,000,000 hosts: {cidr} in {:.2} µs, out {:.2} µs",
            best[0], best[1]
        );
    }
}

fn main() {
    if !cfg!(feature = "bench") {
        eprintln!("the object that this measures is not built: please add --features bench");
        std::process::exit(1);
    }
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: the data plane's bench needs root");
        return;
    }
    println!(
        "Nanoseconds a packet above the floor (parse and draw a source): least (median) over windows of {WINDOW} runs"
    );
    println!(
        "| rules                  | sources  | Couic             | two LPM tries     | times  | floor |"
    );
    println!("|---|---|---|---|---|---|");
    let mut random = Random(0x0C01_1C00_5EED);
    let mut points = Vec::new();
    // Cargo itself adds --bench.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let is_wanted =
        |case: &Case| wanted.is_empty() || wanted.iter().any(|part| case.name.contains(part));
    for case in cases().iter().filter(|case| is_wanted(case)) {
        points.extend(run(case, &mut random));
    }
    if !wanted.is_empty() {
        return;
    }
    updates(&mut random);
    per_rule(&mut random);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/data-plane.svg");
    std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).unwrap();
    std::fs::write(path, dataplane_plot::svg(&points)).unwrap();
    println!("plot: docs/data-plane.svg");
}
