//! Compiles the XDP program for the BPF target, with the toolchain that rust-toolchain.toml pins.
//!
//! A stable toolchain builds core for BPF when told that unstable flags are fine; `scripts/setup` puts bpf-linker on
//! the PATH. The objects land in OUT_DIR, where src/dataplane embeds them.

use std::{env, error::Error, fs, path::Path};

use aya_build::{Package, Toolchain, build_ebpf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    let here = env::var("CARGO_MANIFEST_DIR")?;
    let root = Path::new(&here).join("..").canonicalize()?;
    let pin = root.join("rust-toolchain.toml");
    println!("cargo:rerun-if-changed={}", pin.display());
    let channel = channel(&fs::read_to_string(&pin)?)
        .ok_or_else(|| format!("{} has no channel", pin.display()))?;
    // SAFETY: a build script has one thread here, so nobody reads the environment meanwhile.
    unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
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

fn channel(toolchain: &str) -> Option<String> {
    let line = toolchain.lines().find(|line| line.starts_with("channel"))?;
    line.split('"').nth(1).map(str::to_owned)
}
