//! The cost of a mesh of many nodes: messages and bytes per change, and the time to converge. Time and network are
//! simulated; the messages are those of the daemon, measured as JSON bodies without HTTP.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that fails ends the run, and its table goes to stdout"
)]

#[expect(dead_code, reason = "shared with the tests, which use other parts")]
#[path = "../tests/sim/mod.rs"]
mod sim;

use std::time::Instant;

use couic_common::Policy;
use sim::World;

const NODES: usize = 50;

/// The load of a run.
struct Load {
    what: &'static str,
    changes: u32,
    /// Simulated ms between two changes; 0 = all at once.
    every: u64,
    /// Whether half of the nodes are partitioned from the other half.
    split: bool,
}

const LOADS: [Load; 4] = [
    Load {
        what: "one add a second",
        changes: 20,
        every: 1_000,
        split: false,
    },
    Load {
        what: "100 changes a second",
        changes: 2_000,
        every: 10,
        split: false,
    },
    Load {
        what: "10,000 adds at once on one node",
        changes: 10_000,
        every: 0,
        split: false,
    },
    Load {
        what: "2,000 changes while the net is split in two",
        changes: 2_000,
        every: 10,
        split: true,
    },
];

fn main() {
    println!("\n{NODES} nodes, full mesh, delays of 1 to 40 ms, simulated\n");
    println!(
        "| load | changes | messages per change | bytes per change | converged after the last change | real time |"
    );
    println!("|---|---|---|---|---|---|");
    let idle = idle();
    for load in LOADS {
        run(&load, idle);
    }
    let (messages, bytes) = idle;
    let per_node = |n: f64| n * 1e3 / NODES as f64;
    println!(
        "\nIdle, not counted above: {:.1} messages and {:.0} bytes a second and node, comparing digests.",
        per_node(messages),
        per_node(bytes)
    );
}

fn world() -> World {
    let mut world = World::new(NODES, World::mesh(NODES), 30_000, 42);
    world.delay = 40;
    let quiet = world.now + 30_000;
    world.run_until(quiet);
    world.measure = true;
    (world.messages, world.bytes) = (0, 0);
    world
}

fn run(load: &Load, (idle_messages, idle_bytes): (f64, f64)) {
    let real = Instant::now();
    let mut world = world();
    if load.split {
        let half = NODES / 2;
        world.cut = (0..half)
            .flat_map(|a| (half..NODES).map(move |b| (a, b)))
            .collect();
    }
    let begin = world.now;
    for n in 0..load.changes {
        let node = if load.every == 0 {
            0
        } else {
            world.chance.usize(..NODES)
        };
        let next = begin + u64::from(n) * load.every;
        world.run_until(next);
        world.add(node, Policy::Drop, n, None);
    }
    world.cut.clear();
    let last = world.now;
    while !world.is_equal() {
        let next = world.now + 5;
        world.run_until(next);
    }
    let took = world.now - last;
    // Includes messages still in flight.
    let quiet = world.now + 300;
    world.run_until(quiet);
    let idle = (world.now - begin) as f64;
    let per = |n: u64, of_idle: f64| (n as f64 - idle * of_idle) / f64::from(load.changes);
    println!(
        "| {} | {} | {:.1} | {:.0} | {took} ms | {:.1} s |",
        load.what,
        load.changes,
        per(world.messages, idle_messages),
        per(world.bytes, idle_bytes),
        real.elapsed().as_secs_f64()
    );
}

/// Messages and bytes per millisecond without changes.
fn idle() -> (f64, f64) {
    const SPAN: u64 = 60_000;
    let mut world = world();
    let end = world.now + SPAN;
    world.run_until(end);
    let per = |n: u64| n as f64 / SPAN as f64;
    (per(world.messages), per(world.bytes))
}
