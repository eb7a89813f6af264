//! Files that are refused before any of their code runs, with the reason.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use couic_plugin_host::{LoadError, PluginFile, Reason};
use nix::{sys::stat::Mode as Bits, unistd::mkfifo};

use crate::kit::{chameleon, compile, folder};

pub(crate) fn refuse(path: &Path) -> Reason {
    let error: LoadError = PluginFile::check(path, None).unwrap_err();
    assert_eq!(error.path, path);
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("plugin {}: ", path.display())),
        "{text}"
    );
    error.reason
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    path
}

#[test]
fn files_that_are_no_library() {
    let dir = folder();
    let at = |name: &str, bytes: &[u8]| file(dir.path(), name, bytes);
    assert!(matches!(
        refuse(&at("text.so", b"hello, this is text")),
        Reason::NotElf(_)
    ));
    assert!(matches!(refuse(&at("empty.so", b"")), Reason::NotElf(_)));
    assert!(matches!(
        refuse(&at("magic.so", b"\x7fELF")),
        Reason::NotElf(_)
    ));
    assert!(matches!(
        refuse(dir.path()),
        Reason::NotRegular("a directory")
    ));
    let absent = dir.path().join("absent.so");
    assert!(matches!(refuse(&absent), Reason::Read(_)));
    let fifo = dir.path().join("fifo.so");
    mkfifo(&fifo, Bits::S_IRUSR | Bits::S_IWUSR).unwrap();
    assert!(matches!(refuse(&fifo), Reason::NotRegular("a fifo")));
    assert!(matches!(
        refuse(Path::new("/dev/zero")),
        Reason::NotRegular("a device")
    ));
    let program = fs::read("/bin/true").unwrap();
    assert!(matches!(
        refuse(&at("true.so", &program)),
        Reason::Executable
    ));
}

#[test]
fn other_libraries_and_other_machines() {
    let Some(good) = chameleon() else { return };
    let bytes = fs::read(&*good).unwrap();
    let dir = folder();
    let patched = |name: &str, at: usize, new: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        refuse(&file(dir.path(), name, &bytes))
    };
    let foreign: u16 = if cfg!(target_arch = "x86_64") {
        183
    } else {
        62
    };
    assert!(matches!(
        patched("cpu.so", 18, &foreign.to_le_bytes()),
        Reason::Machine { .. }
    ));
    assert!(matches!(
        patched("m.so", 18, &[0x99, 0x99]),
        Reason::Machine { .. }
    ));
    assert!(matches!(patched("bits.so", 4, &[1]), Reason::NotElf(_)));
    assert!(matches!(patched("order.so", 5, &[2]), Reason::NotElf(_)));
    assert!(matches!(patched("object.so", 16, &[1]), Reason::NotElf(_)));
    let Some(other) = libc_path() else {
        return eprintln!("skipped: no libc.so.6 was found");
    };
    let other = fs::read(other).unwrap();
    assert!(matches!(
        refuse(&file(dir.path(), "libc.so", &other)),
        Reason::NoNote
    ));
}

fn libc_path() -> Option<PathBuf> {
    [
        "/lib/x86_64-linux-gnu/libc.so.6",
        "/lib/aarch64-linux-gnu/libc.so.6",
        "/lib64/libc.so.6",
    ]
    .map(PathBuf::from)
    .into_iter()
    .find(|path| path.exists())
}

/// Cut anywhere, or with any byte of its headers inverted, a plugin is refused or accepted without a crash.
#[test]
fn a_damaged_library_is_accepted_or_refused_by_its_name() {
    let golden =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/couic_notifier_1_0_x86_64.so");
    let bytes = fs::read(golden).unwrap();
    let dir = folder();
    let path = file(dir.path(), "cut.so", &bytes);
    for end in (0..bytes.len()).step_by(31) {
        fs::write(&path, &bytes[..end]).unwrap();
        let reason = PluginFile::check(&path, None).unwrap_err().reason;
        assert!(
            matches!(
                reason,
                Reason::NotElf(_) | Reason::Machine { .. } | Reason::Symbol(_)
            ),
            "{end}: {reason}"
        );
    }
    for at in (0..900).chain((900..bytes.len()).step_by(17)) {
        let mut bytes = bytes.clone();
        bytes[at] ^= 0xff;
        fs::write(&path, &bytes).unwrap();
        if let Err(error) = PluginFile::check(&path, None) {
            assert!(error.to_string().contains("cut.so"), "{at}: {error}");
        }
    }
}

#[test]
fn heads_that_do_not_fit_and_no_constructor_ran() {
    let dir = folder();
    let ran = dir.path().join("ran");
    let ctor = format!("-DCTOR=\"{}\"", ran.display());
    let head = |major, minor, needs, size: &str| {
        format!(
            "-DCUSTOM_HEAD={{{{'C','O','U','I','C','N','T','F'}},{major},{minor},{needs},0,{size},FLAGS}}"
        )
    };
    let size = "sizeof(couic_notifier)";
    type Check = fn(&Reason) -> bool;
    let cases: [(&str, String, Check); 8] = [
        ("bare", "-DBARE".to_owned(), |r| matches!(r, Reason::NoNote)),
        ("major", head(2, 0, 0, size), |r| {
            matches!(r, Reason::Major { found: 2, ours: 1 })
        }),
        ("zero", head(0, 0, 0, size), |r| {
            matches!(r, Reason::Major { found: 0, .. })
        }),
        ("minor", head(1, 3, 3, size), |r| {
            matches!(r, Reason::HostTooOld { needs: 3, .. })
        }),
        ("small", head(1, 0, 0, "80"), |r| {
            matches!(r, Reason::Head(_))
        }),
        ("lies", head(1, 0, 0, "4096"), |r| {
            matches!(r, Reason::Head(_))
        }),
        ("magic", head(1, 0, 0, size).replace("'F'", "'X'"), |r| {
            matches!(r, Reason::Head(_))
        }),
        ("hidden", "-DNOTE_ONLY".to_owned(), |r| {
            matches!(r, Reason::Symbol(_))
        }),
    ];
    for (name, flag, expected) in cases {
        let path = dir.path().join(format!("{name}.so"));
        // Functions that are not exported are unused.
        let flags = [
            flag.as_str(),
            &ctor,
            "-Wno-unused-function",
            "-Wno-unused-variable",
        ];
        let flags = if name == "hidden" {
            [flag.as_str(), "-fvisibility=hidden", "-w", "-DCTOR=\"/\""]
        } else {
            flags
        };
        let Some(()) = compile_hidden(name, &flags, &path) else {
            return;
        };
        let reason = refuse(&path);
        assert!(expected(&reason), "{name}: {reason}");
    }
    assert!(!ran.exists(), "code of a refused plugin ran");
    let path = dir.path().join("good.so");
    compile("chameleon.c", &[&ctor], &path).unwrap();
    PluginFile::check(&path, None).unwrap();
    assert!(!ran.exists(), "checking runs nothing");
}

/// A note without the symbol can only be compiled from other source.
fn compile_hidden(name: &str, flags: &[&str], to: &Path) -> Option<()> {
    if name != "hidden" {
        return compile("chameleon.c", flags, to);
    }
    let source = to.with_extension("c");
    let text = "#include <couic_notifier.h>\n\
        __attribute__((used, section(\".note.couic\"), aligned(4))) static const struct {\n\
          uint32_t n, d, t; char nm[8]; couic_head h;\n\
        } note = { 6, 24, 1, \"COUIC\", COUIC_HEAD(1u) };\n\
        int32_t something(void) { return 1; }\n";
    fs::write(&source, text).unwrap();
    crate::kit::compile_with("cc", &source, &[], to)
}

#[test]
fn a_function_under_the_name_of_the_symbol() {
    let dir = folder();
    let path = dir.path().join("function.so");
    let source = path.with_extension("c");
    let text = "#include <couic_notifier.h>\n\
        __attribute__((used, section(\".note.couic\"), aligned(4))) static const struct {\n\
          uint32_t n, d, t; char nm[8]; couic_head h;\n\
        } note = { 6, 24, 1, \"COUIC\", COUIC_HEAD(1u) };\n\
        void function(void) __asm__(\"couic_notifier_plugin\");\n\
        void function(void) {}\n";
    fs::write(&source, text).unwrap();
    let Some(()) = crate::kit::compile_with("cc", &source, &[], &path) else {
        return;
    };
    let reason = refuse(&path);
    assert!(
        matches!(&reason, Reason::Symbol(text) if text.contains("not as data")),
        "{reason}"
    );
}

#[test]
fn musl_is_named() {
    let dir = folder();
    let fake = dir.path().join("libfake.so");
    let source = dir.path().join("fake.c");
    fs::write(&source, "int fake(void) { return 1; }\n").unwrap();
    let soname = ["-Wl,-soname,libc.musl-x86_64.so.1"];
    let Some(()) = crate::kit::compile_with("cc", &source, &soname, &fake) else {
        return;
    };
    let path = dir.path().join("musl.so");
    let library = fake.to_str().unwrap();
    compile("chameleon.c", &["-Wl,--no-as-needed", library], &path).unwrap();
    let reason = refuse(&path);
    assert!(
        matches!(&reason, Reason::Musl { needs } if needs.contains("musl")),
        "{reason}"
    );
}

#[test]
fn a_pin_holds() {
    let Some(path) = chameleon() else { return };
    let sha256 = PluginFile::check(&path, None).unwrap().sha256().to_owned();
    PluginFile::check(&path, Some(&sha256.to_uppercase())).unwrap();
    let error = PluginFile::check(&path, Some(&"0".repeat(64))).unwrap_err();
    assert!(
        matches!(&error.reason, Reason::Pin { found, .. } if *found == sha256),
        "{error}"
    );
}
