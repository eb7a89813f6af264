//! The key, the certificate and the authorities, from their files. No message quotes them.

use std::{fs::OpenOptions, io, os::unix::fs::OpenOptionsExt, path::Path, sync::Arc};

use couic_client::{SetupError, tls};
use couic_files::read_bounded;
use reqwest::header::HeaderValue;
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::{Config, CrowdSecError, config::Place};

/// The largest file of a key or certificate.
const LARGEST_FILE: u64 = 256 << 10;

pub(crate) fn tls_config(
    config: &Config,
    place: &Place,
) -> Result<rustls::ClientConfig, CrowdSecError> {
    let setup = |error: SetupError| CrowdSecError::Setup(error.to_string());
    let is_tls = matches!(place, Place::Http(url) if url.scheme() == "https");
    if !is_tls {
        return tls::untrusting_config().map_err(setup);
    }
    let ca = config.ca.as_deref().map(read_file).transpose()?;
    let mut tls = tls::client_config(ca.as_deref()).map_err(setup)?;
    if let (Some(certificate), Some(key)) = (&config.certificate, &config.private_key) {
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(&read_file(certificate)?).collect();
        let chain = chain.map_err(|_| file_error(certificate, "has no certificate in PEM"))?;
        let secret = PrivateKeyDer::from_pem_slice(&read_file(key)?)
            .map_err(|_| file_error(key, "has no private key in PEM"))?;
        let pair =
            CertifiedKey::from_der(chain, secret, &ring::default_provider()).map_err(|error| {
                file_error(
                    certificate,
                    &format!("cannot be used with its key: {error}"),
                )
            })?;
        tls.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(pair));
    }
    Ok(tls)
}

pub(crate) fn read_key(path: &Path) -> Result<HeaderValue, CrowdSecError> {
    let bytes = read_file(path)?;
    let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
    let is_key =
        !text.is_empty() && text.len() <= 4096 && text.bytes().all(|byte| byte.is_ascii_graphic());
    let value = HeaderValue::try_from(text).ok().filter(|_| is_key);
    let mut value = value.ok_or_else(|| {
        file_error(path, "holds no key: what `cscli bouncers add NAME -o raw` prints, alone (its content is not shown)")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn read_file(path: &Path) -> Result<Vec<u8>, CrowdSecError> {
    // A FIFO is not waited for.
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path);
    let read = file.and_then(|file| read_bounded(file, LARGEST_FILE));
    read.map_err(|error: io::Error| file_error(path, &format!("cannot be read: {error}")))
}

fn file_error(path: &Path, problem: &str) -> CrowdSecError {
    CrowdSecError::Setup(format!("{} {problem}", path.display()))
}
