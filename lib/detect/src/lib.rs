//! Detection of offenders in log lines.
//!
//! No I/O, no threads, no clock: callers pass bytes and times.

mod client;
mod event;
mod format;

pub use client::{Client, Nets, Trusted};
pub use event::{Event, Login};
pub use format::{Container, FORMATS, Field, Format, FormatError, Unparsed};

// Rules and the detector.
mod account;
mod bots;
mod bucket;
mod clock;
mod config;
mod decision;
mod detector;
mod dominant;
mod figures;
mod guard;
mod key;
mod ladder;
mod memory;
mod needs;
mod rules;
mod sample;
mod sketch;
mod top;
mod widen;

pub use account::{Collateral, JailAccount};
pub use config::{
    BotConfig, BotsConfig, DetectConfig, Distinct, GuardConfig, JailConfig, LadderConfig,
    LoginConfig, WidenConfig,
};
pub use decision::{Answer, Ask, Ban, Decision};
pub use detector::{Detector, SourceId};
pub use dominant::Dominant;
pub use figures::{Counters, JailFigures, Verdict};
pub use guard::Why;
pub use ladder::LadderRow;
pub use needs::Needs;
pub use rules::{Mistake, Rules};
pub use sample::SAMPLE_BYTES;
pub use top::Talker;
