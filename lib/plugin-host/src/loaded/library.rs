//! Loads a plugin through the dynamic linker, and checks its descriptor.

use std::{
    collections::HashMap,
    ffi::{CStr, c_char},
    sync::{Mutex, PoisonError},
};

use libloading::os::unix::{Library as Handle, RTLD_LOCAL, RTLD_NOW};

use crate::{PluginFile, Reason, elf};
use couic_plugin_api::abi::{self, Descriptor};

/// A library that is mapped until the process ends: closing it would unmap the code of a C plugin's threads, and Rust
/// plugins are never unmapped.
#[derive(Debug)]
pub(super) struct Library {
    pub(super) descriptor: Descriptor,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) build_info: String,
    pub(super) config_schema: String,
    /// Keeps the file descriptor's number taken: glibc identifies libraries by path, which contains that number.
    _file: PluginFile,
    _handle: Handle,
}

/// The mapped libraries by SHA-256: two notifiers with one plugin, or a reload, share the mapping.
static MAPPED: Mutex<Option<HashMap<String, &'static Library>>> = Mutex::new(None);

impl Library {
    /// Maps the plugin, which runs its constructors. `may_abort`: the process is the plugin's own.
    pub(super) fn load(file: PluginFile, may_abort: bool) -> Result<&'static Self, Reason> {
        if !may_abort && file.head().flags & abi::FLAG_UNWIND == 0 {
            return Err(Reason::Aborts);
        }
        let lock = || MAPPED.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock()
            .as_ref()
            .and_then(|all| all.get(file.sha256()).copied());
        if let Some(known) = known {
            return Ok(known);
        }
        // Without the lock: a constructor that hangs must not block other plugins.
        let sha256 = file.sha256().to_owned();
        let library: &'static Self = Box::leak(Box::new(Self::map(file)?));
        lock().get_or_insert_default().insert(sha256, library);
        Ok(library)
    }

    fn map(file: PluginFile) -> Result<Self, Reason> {
        let flags = RTLD_NOW | RTLD_LOCAL | libc::RTLD_NODELETE;
        // SAFETY: loading runs code of the plugin. Owner, mode, pin and the operator's configuration permit it to run;
        // PluginFile has checked the first three.
        let handle = unsafe { Handle::open(Some(file.copy_path()), flags) }
            .map_err(|error| dlopen(&error))?;
        // SAFETY: the symbol is data, as checked in the file, so this is its address.
        let symbol = unsafe { handle.get::<*const Descriptor>(abi::SYMBOL) }
            .map_err(|error| dlopen(&error))?;
        // SAFETY: in the file the symbol has at least struct_size bytes, which is not less than a Descriptor, and it
        // stays mapped. Unaligned, since another compiler may have placed it anywhere.
        let descriptor = unsafe { (*symbol).read_unaligned() };
        check(&descriptor, &file)?;
        Ok(Self {
            name: text(descriptor.name)
                .filter(|name| !name.is_empty())
                .ok_or(NAME)?,
            version: text(descriptor.version).unwrap_or_default(),
            build_info: text(descriptor.build_info).unwrap_or_default(),
            config_schema: text(descriptor.config_schema).unwrap_or_default(),
            descriptor,
            _file: file,
            _handle: handle,
        })
    }
}

const NAME: Reason = Reason::Descriptor("its name is missing or not UTF-8");

fn dlopen(error: &libloading::Error) -> Reason {
    Reason::Dlopen(couic_common::error_chain(error))
}

fn check(descriptor: &Descriptor, file: &PluginFile) -> Result<(), Reason> {
    elf::check_head(&descriptor.head)?;
    if descriptor.head != *file.head() {
        return Err(Reason::Descriptor("a constructor changed its head"));
    }
    if descriptor.create.is_none() || descriptor.notify.is_none() || descriptor.destroy.is_none() {
        return Err(Reason::Descriptor("create, notify or destroy is NULL"));
    }
    Ok(())
}

/// A text of the descriptor. None if it is NULL or not UTF-8.
fn text(ptr: *const c_char) -> Option<String> {
    if ptr.is_null() {
        return None;
    }
    // SAFETY: by the ABI these are C strings in the plugin's constant data, which stays mapped.
    let text = unsafe { CStr::from_ptr(ptr) };
    text.to_str().ok().map(str::to_owned)
}
