//! Checks of a plugin's ELF file, before any of its code runs.

use object::{
    Endianness, Object, ObjectSymbol, SymbolKind, elf,
    read::elf::{ElfFile64, FileHeader, ProgramHeader},
};

use super::error::Reason;
use couic_plugin_api::abi::{self, Head};

type File<'a> = ElfFile64<'a, Endianness>;

/// Checks the file, and reads the plugin's head from its note.
pub(crate) fn inspect(bytes: &[u8]) -> Result<Head, Reason> {
    check_header(bytes)?;
    let file = File::parse(bytes).map_err(not_elf)?;
    check_kind(&file, bytes)?;
    let head = note(&file, bytes)?.ok_or(Reason::NoNote)?;
    check_head(&head)?;
    check_symbol(&file, bytes, &head)?;
    Ok(head)
}

fn not_elf(error: object::Error) -> Reason {
    Reason::NotElf(error.to_string())
}

/// Checks the fields of the header on which parsing the rest depends.
fn check_header(bytes: &[u8]) -> Result<(), Reason> {
    if bytes.is_empty() {
        return Err(Reason::NotElf("it is empty".to_owned()));
    }
    if !bytes.starts_with(b"\x7fELF") {
        return Err(Reason::NotElf("it has no ELF header".to_owned()));
    }
    let ours = (2, if cfg!(target_endian = "little") { 1 } else { 2 });
    match (bytes.get(4), bytes.get(5)) {
        (Some(&class), Some(&order)) if (class, order) == ours => Ok(()),
        (Some(1), _) => Err(Reason::NotElf("it is for 32 bits".to_owned())),
        (Some(_), Some(_)) => Err(Reason::NotElf("its byte order differs".to_owned())),
        _ => Err(Reason::NotElf("it is truncated".to_owned())),
    }
}

const MACHINE: u16 = if cfg!(target_arch = "aarch64") {
    elf::EM_AARCH64
} else {
    elf::EM_X86_64
};

fn check_kind(file: &File<'_>, bytes: &[u8]) -> Result<(), Reason> {
    let (endian, header) = (file.endian(), file.elf_header());
    let machine = header.e_machine(endian);
    if machine != MACHINE {
        let found = match machine {
            elf::EM_X86_64 => "x86_64".to_owned(),
            elf::EM_AARCH64 => "aarch64".to_owned(),
            elf::EM_RISCV => "RISC-V".to_owned(),
            other => format!("ELF machine {other}"),
        };
        let ours = std::env::consts::ARCH;
        return Err(Reason::Machine { found, ours });
    }
    let kind = header.e_type(endian);
    if kind == elf::ET_EXEC || is_program(file)? {
        return Err(Reason::Executable);
    }
    if kind != elf::ET_DYN {
        return Err(Reason::NotElf("it is not a shared object".to_owned()));
    }
    for segment in file.elf_program_headers() {
        let end = segment
            .p_offset(endian)
            .checked_add(segment.p_filesz(endian));
        if end.is_none_or(|end| end > bytes.len() as u64) {
            return Err(Reason::NotElf("it is truncated".to_owned()));
        }
    }
    if cfg!(target_env = "gnu") {
        check_libc(file)?;
    }
    Ok(())
}

/// Position independent executables have a flag.
fn is_program(file: &File<'_>) -> Result<bool, Reason> {
    let mut entries = file.elf_dynamic_table().map_err(not_elf)?.iter();
    Ok(entries
        .any(|entry| entry.tag == elf::DT_FLAGS_1 && entry.val & u64::from(elf::DF_1_PIE) != 0))
}

/// glibc would report "invalid ELF header" for the linker script that it finds under the name of musl's library.
fn check_libc(file: &File<'_>) -> Result<(), Reason> {
    let table = file.elf_dynamic_table().map_err(not_elf)?;
    for entry in table.iter().filter(|entry| entry.tag == elf::DT_NEEDED) {
        let name = table.string(entry).map_err(not_elf)?;
        if name == b"libc.so" || name.starts_with(b"libc.musl-") {
            let needs = String::from_utf8_lossy(name).into_owned();
            return Err(Reason::Musl { needs });
        }
    }
    Ok(())
}

/// The head in the note `COUIC`.
fn note(file: &File<'_>, bytes: &[u8]) -> Result<Option<Head>, Reason> {
    let endian = file.endian();
    for segment in file.elf_program_headers() {
        let Some(mut notes) = segment.notes(endian, bytes).map_err(not_elf)? else {
            continue;
        };
        while let Some(note) = notes.next().map_err(not_elf)? {
            if note.name() == b"COUIC" && note.n_type(endian) == abi::NOTE_TYPE {
                let head: &[u8; 24] = note
                    .desc()
                    .try_into()
                    .map_err(|_| Reason::Head("the size of the note is not 24 bytes".to_owned()))?;
                return Ok(Some(Head::read(head)));
            }
        }
    }
    Ok(None)
}

/// Requires the same major, a minor that this host has, and a complete descriptor.
pub(crate) fn check_head(head: &Head) -> Result<(), Reason> {
    if head.magic != abi::MAGIC {
        return Err(Reason::Head("the magic is wrong".to_owned()));
    }
    if head.abi_major != abi::MAJOR {
        let found = head.abi_major;
        return Err(Reason::Major {
            found,
            ours: abi::MAJOR,
        });
    }
    if head.min_host_minor > abi::MINOR {
        return Err(Reason::HostTooOld {
            major: abi::MAJOR,
            needs: head.min_host_minor,
            ours: abi::MINOR,
        });
    }
    if (head.struct_size as usize) < size_of::<abi::Descriptor>() {
        let text = format!("its descriptor has only {} bytes", head.struct_size);
        return Err(Reason::Head(text));
    }
    Ok(())
}

/// Requires the symbol, as data, as large as declared, and starting with the head that the note repeats.
fn check_symbol(file: &File<'_>, bytes: &[u8], head: &Head) -> Result<(), Reason> {
    let name = abi::SYMBOL;
    let found = file
        .dynamic_symbols()
        .find(|symbol| symbol.name_bytes() == Ok(name.as_bytes()) && symbol.is_definition());
    let symbol = found.ok_or_else(|| Reason::Symbol(format!("does not export {name}")))?;
    if symbol.kind() != SymbolKind::Data {
        return Err(Reason::Symbol(format!("exports {name}, but not as data")));
    }
    if symbol.size() < u64::from(head.struct_size) {
        return Err(Reason::Head(
            "the symbol is smaller than the descriptor".to_owned(),
        ));
    }
    let endian = file.endian();
    let inside = file
        .elf_program_headers()
        .iter()
        .filter(|segment| segment.p_type(endian) == elf::PT_LOAD)
        .find_map(|segment| {
            segment
                .data_range(endian, bytes, symbol.address(), 24)
                .ok()?
        });
    let repeated: Option<&[u8; 24]> = inside.and_then(|bytes| bytes.try_into().ok());
    if repeated.map(Head::read) != Some(*head) {
        return Err(Reason::Head("note and descriptor differ".to_owned()));
    }
    Ok(())
}
