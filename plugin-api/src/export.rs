//! The plugin's side of the ABI: what [`export_notifier!`](crate::export_notifier) generates.
//!
//! It provides a tokio runtime with one worker per instance, catches panics at every entry and in the polled future,
//! and completes every accepted notification exactly once.

mod gate;
mod instance;
#[cfg(test)]
mod tests;

use std::ffi::{CStr, c_char};

pub use gate::{Level, log};

use crate::{
    Plugin,
    abi::{Descriptor, FLAG_ASYNC, FLAG_CONCURRENT, FLAG_UNWIND, Head},
};

/// Exports a [`Plugin`] from a crate of type `cdylib`: the ELF note and the symbol `couic_notifier_plugin`.
///
/// `export_notifier!(Type, name = "mine")`, or with `config_schema = r#"{"type":"object"}"#`; the example of the
/// [crate] uses it.
///
/// A library has one such symbol: two crates that export cannot be linked into one program. A crate that is also
/// linked in as an `rlib` needs the macro behind a feature that is off by default.
#[macro_export]
macro_rules! export_notifier {
    ($plugin:ty, name = $name:literal $(,)?) => {
        $crate::export_notifier!($plugin, name = $name, config_schema = "");
    };
    ($plugin:ty, name = $name:literal, config_schema = $schema:literal $(,)?) => {
        const _: () = {
            const HEAD: $crate::abi::Head = $crate::export::head(cfg!(panic = "unwind"));
            #[used]
            #[unsafe(link_section = ".note.couic")]
            static NOTE: $crate::abi::Note = $crate::abi::Note::new(HEAD);
            #[used]
            #[unsafe(export_name = "couic_notifier_plugin")]
            static DESCRIPTOR: $crate::abi::Descriptor = $crate::export::descriptor::<$plugin>(
                HEAD,
                [
                    concat!($name, "\0"),
                    concat!(env!("CARGO_PKG_VERSION"), "\0"),
                    concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"), "\0"),
                    concat!($schema, "\0"),
                ],
            );
        };
    };
}

/// The head of an exported plugin. One that aborts on a panic declares it, and is loaded in isolation only.
#[doc(hidden)]
#[must_use]
pub const fn head(unwinds: bool) -> Head {
    let flags = FLAG_CONCURRENT | FLAG_ASYNC;
    Head::current(if unwinds { flags | FLAG_UNWIND } else { flags })
}

/// The descriptor of `P`. The texts end in NUL: name, version, build info, schema.
#[doc(hidden)]
#[must_use]
pub const fn descriptor<P: Plugin>(head: Head, texts: [&'static str; 4]) -> Descriptor {
    Descriptor {
        head,
        name: c_str(texts[0]),
        version: c_str(texts[1]),
        build_info: c_str(texts[2]),
        config_schema: c_str(texts[3]),
        create: Some(instance::create::<P>),
        notify: Some(instance::notify::<P>),
        cancel: Some(instance::cancel::<P>),
        destroy: Some(instance::destroy::<P>),
    }
}

#[expect(
    clippy::panic,
    reason = "runs while the plugin is compiled: a NUL in its name is a build error"
)]
const fn c_str(text: &'static str) -> *const c_char {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text.as_ptr(),
        Err(_) => panic!("the name and the schema of a plugin contain no NUL"),
    }
}
