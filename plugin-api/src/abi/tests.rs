//! The layout in Rust and the layout in the header are the same.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use super::*;

/// The header's name of a type.
fn c_name(rust: &str) -> Option<&'static str> {
    Some(match rust {
        "Slice" => "couic_slice",
        "ErrBuf" => "couic_errbuf",
        "RawResult" => "couic_result",
        "Host" => "couic_host",
        "Request" => "couic_request",
        "Head" => "couic_head",
        "Descriptor" => "couic_notifier",
        // Anonymous there: COUIC_EXPORT writes it, and the loader's tests read it back.
        "Note" => return None,
        other => panic!("{other} has no name in the header"),
    })
}

#[test]
fn the_header_has_the_same_layout() {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let mut source =
        "#include <couic_notifier.h>\n#ifdef __cplusplus\n#define SA static_assert\n#else\n\
                      #define SA _Static_assert\n#endif\n"
            .to_owned();
    for (rust, size, fields) in LAYOUT {
        let Some(c) = c_name(rust) else { continue };
        writeln!(source, "SA(sizeof({c}) == {size}, \"{c}\");").unwrap();
        for (field, offset) in *fields {
            writeln!(
                source,
                "SA(offsetof({c}, {field}) == {offset}, \"{c}.{field}\");"
            )
            .unwrap();
        }
    }
    let statuses = "OK RETRY RATE_LIMITED PERMANENT BAD_CONFIG PANIC CANCELLED BUSY";
    for (value, name) in statuses.split(' ').enumerate() {
        writeln!(source, "SA(COUIC_{name} == {value}, \"{name}\");").unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    for (compiler, file, standard) in [("cc", "a.c", "-std=c11"), ("g++", "a.cc", "-std=c++17")] {
        let path = dir.path().join(file);
        fs::write(&path, &source).unwrap();
        let mut command = Command::new(compiler);
        command.args([
            standard,
            "-Wall",
            "-Wextra",
            "-Werror",
            "-fsyntax-only",
            "-I",
        ]);
        let Ok(output) = command.arg(&include).arg(&path).output() else {
            eprintln!("skipped: there is no {compiler}");
            continue;
        };
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{compiler}: {errors}");
    }
}

#[test]
fn statuses_are_those_of_the_header() {
    let rust = [
        OK,
        RETRY,
        RATE_LIMITED,
        PERMANENT,
        BAD_CONFIG,
        PANIC,
        CANCELLED,
        BUSY,
    ];
    assert_eq!(rust, [0, 1, 2, 3, 4, 5, 6, 7]);
}

/// The bytes of ABI 1.0.
#[test]
fn the_head_and_the_note_are_golden() {
    let head = Head::current(FLAG_UNWIND | FLAG_ASYNC);
    let mut expected = [0_u8; 44];
    expected[..4].copy_from_slice(&6_u32.to_ne_bytes());
    expected[4..8].copy_from_slice(&24_u32.to_ne_bytes());
    expected[8..12].copy_from_slice(&1_u32.to_ne_bytes());
    expected[12..17].copy_from_slice(b"COUIC");
    expected[20..28].copy_from_slice(b"COUICNTF");
    expected[28..30].copy_from_slice(&1_u16.to_ne_bytes());
    expected[36..40].copy_from_slice(&88_u32.to_ne_bytes());
    expected[40..44].copy_from_slice(&5_u32.to_ne_bytes());
    let note = Note::new(head);
    // SAFETY: a note is 44 bytes without padding.
    let bytes: [u8; 44] = unsafe { std::mem::transmute(note) };
    assert_eq!(bytes, expected);
    let mut in_note = [0; 24];
    in_note.copy_from_slice(&bytes[20..]);
    assert_eq!(Head::read(&in_note), head);
}

#[test]
fn an_impossible_slice_is_none() {
    let nothing = Slice {
        ptr: std::ptr::null(),
        len: 0,
    };
    let null = Slice { len: 3, ..nothing };
    let endless = Slice {
        ptr: b"x".as_ptr(),
        len: usize::MAX,
    };
    // SAFETY: NULL, or of a length that is refused before anything is read.
    unsafe {
        assert_eq!(nothing.bytes(), Some(&[][..]));
        assert_eq!(null.bytes(), None);
        assert_eq!(endless.bytes(), None);
        assert_eq!(Slice::new(b"abc").bytes(), Some(&b"abc"[..]));
    }
}
