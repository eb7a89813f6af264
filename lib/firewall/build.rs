//! Compiles the XDP program for the BPF target, with the toolchain that rust-toolchain.toml pins.
//!
//! A stable toolchain builds core for BPF when told that unstable flags are fine; `scripts/setup` puts bpf-linker on
//! the PATH. The objects land in OUT_DIR, from which src/dataplane embeds them.
//!
//! Whether the verifier of an old kernel accepts an object depends on how the code is optimised. So the object is the
//! same for every profile of the daemon, and for all flags and profiles that the environment asks for.
//! scripts/check-object shows it.
//!
//! With COUIC_SKIP_BPF=1 the objects are empty and bpf-linker is not needed: for work on the engine, the API and the
//! command line. Loading such an object is refused.

use std::{env, error::Error, fs, path::Path};

use aya_build::{Package, Toolchain, build_ebpf};

/// Variables of the environment that change a build of cargo's. The command line of the nested one names its target,
/// its directory and its flags itself.
const MEDDLING: [&str; 6] = [
    "CARGO_BUILD_",
    "CARGO_INCREMENTAL",
    "CARGO_PROFILE_",
    "CARGO_TARGET_BPF",
    "CARGO_UNSTABLE_",
    "RUSTFLAGS",
];

/// The release profile of this workspace, said once more: it wins over one in a configuration file of cargo's.
const PROFILE: [(&str, &str); 7] = [
    ("OPT_LEVEL", "3"),
    ("LTO", "thin"),
    ("CODEGEN_UNITS", "1"),
    ("DEBUG", "line-tables-only"),
    ("DEBUG_ASSERTIONS", "false"),
    ("OVERFLOW_CHECKS", "false"),
    ("STRIP", "none"),
];

/// The objects that the crate embeds.
const OBJECTS: [&str; 3] = ["couic-xdp", "couic-xdp-ordered", "couic-bench"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=COUIC_SKIP_BPF");
    if env::var_os("COUIC_SKIP_BPF").is_some_and(|value| value == "1") {
        let dir = env::var("OUT_DIR")?;
        for name in OBJECTS {
            fs::write(Path::new(&dir).join(name), "")?;
        }
        return Ok(());
    }
    let here = env::var("CARGO_MANIFEST_DIR")?;
    let root = Path::new(&here).join("../..").canonicalize()?;
    let pin = root.join("rust-toolchain.toml");
    println!("cargo:rerun-if-changed={}", pin.display());
    let channel = channel(&fs::read_to_string(&pin)?)
        .ok_or_else(|| format!("{} has no channel", pin.display()))?;
    prepare_environment();
    let ebpf = root.join("ebpf");
    // Adds the object that benches/dataplane.rs measures; the shipped one is the same without.
    let bench = env::var_os("CARGO_FEATURE_BENCH").is_some();
    let package = Package {
        name: "couic-ebpf",
        root_dir: ebpf.to_str().ok_or("the path of ebpf/ is not UTF-8")?,
        features: if bench { &["bench"] } else { &[] },
        ..Package::default()
    };
    build_ebpf([package], Toolchain::Custom(&channel))?;
    Ok(())
}

/// For the nested cargo, which inherits it.
fn prepare_environment() {
    let meddling = |name: &str| MEDDLING.iter().any(|prefix| name.starts_with(prefix));
    let names = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let unwanted: Vec<String> = names.filter(|name| meddling(name)).collect();
    // SAFETY: a build script has one thread here, so nothing else reads the environment meanwhile.
    unsafe {
        for name in unwanted {
            env::remove_var(name);
        }
        for (key, value) in PROFILE {
            env::set_var(format!("CARGO_PROFILE_RELEASE_{key}"), value);
        }
        env::set_var("RUSTC_BOOTSTRAP", "1");
        // aya-build makes a warning of every line that cargo writes, those of its progress too.
        env::set_var("CARGO_TERM_QUIET", "true");
    }
}

fn channel(toolchain: &str) -> Option<String> {
    let line = toolchain.lines().find(|line| line.starts_with("channel"))?;
    line.split('"').nth(1).map(str::to_owned)
}
