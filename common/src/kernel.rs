//! Kernel releases as reported by uname(2), compared by version number and never as text.

use std::{fmt, str::FromStr};

/// Version of a kernel, for feature checks. Distributions backport features, so probing is preferred if it is cheap;
/// the version is for features that cannot be probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
}

/// The text does not begin with a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a kernel release begins with two numbers, such as 6.1")]
pub struct KernelVersionError;

impl KernelVersion {
    /// The oldest supported kernel. Older verifiers and helpers lack features that the XDP program cannot do without.
    pub const OLDEST: Self = Self::new(5, 10);

    /// The version `major.minor`.
    #[must_use]
    pub const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }
}

impl FromStr for KernelVersion {
    type Err = KernelVersionError;

    /// Parses a release with any vendor suffix: `6.1.0-28-cloud-amd64`, `5.15.0-rc1+`, `7.0+`.
    fn from_str(release: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok()
        };
        let (major, rest) = release.split_once('.').ok_or(KernelVersionError)?;
        // The part before the first dot is all digits: vendors add suffixes, never prefixes.
        let major = major.parse().map_err(|_| KernelVersionError)?;
        let minor = number(rest).ok_or(KernelVersionError)?;
        Ok(Self { major, minor })
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_as_vendors_write_them() {
        for (release, version) in [
            ("6.1.0-28-cloud-amd64", (6, 1)),
            ("5.15.0-rc1+", (5, 15)),
            ("5.14.0-427.13.1.el9_4.x86_64", (5, 14)),
            ("5.15.90.1-microsoft-standard-WSL2", (5, 15)),
            ("6.18.44-fc-v595", (6, 18)),
            ("5.10.0-1160.el7", (5, 10)),
            ("7.0+", (7, 0)),
            ("6.6-rc1", (6, 6)),
            ("4.19", (4, 19)),
        ] {
            let (major, minor) = version;
            assert_eq!(
                release.parse(),
                Ok(KernelVersion::new(major, minor)),
                "{release}"
            );
        }
    }

    #[test]
    fn other_texts_are_rejected() {
        for text in [
            "",
            "6",
            ".",
            "6.",
            "v6.1",
            "mainline",
            "-1.2",
            "99999999999.1",
            "6.99999999999",
        ] {
            assert_eq!(
                text.parse::<KernelVersion>(),
                Err(KernelVersionError),
                "{text}"
            );
        }
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let version = |text: &str| text.parse::<KernelVersion>().unwrap();
        assert!(version("5.9.16") < KernelVersion::OLDEST);
        assert!(version("4.19.0") < KernelVersion::OLDEST);
        assert!(version("5.10.262") >= KernelVersion::OLDEST);
        assert!(version("6.1.0") > version("5.15.0"));
        assert_eq!(KernelVersion::OLDEST.to_string(), "5.10");
    }
}
