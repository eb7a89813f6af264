//! TLS for API calls: rustls with the ring provider, and the system trust store.
//!
//! The provider is passed explicitly and not installed process-wide, which is left to the application.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::Verifier;

use crate::SetupError;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// TLS 1.2 and 1.3, verified against the system trust store plus the certificates in `extra_ca` (PEM).
///
/// # Errors
/// [`SetupError::Ca`] if `extra_ca` contains no certificate, [`SetupError::Tls`] if the trust store cannot be read.
pub fn client_config(extra_ca: Option<&[u8]>) -> Result<ClientConfig, SetupError> {
    let extra = extra_ca.map(parse_ca).transpose()?.unwrap_or_default();
    let tls = |e: rustls::Error| SetupError::Tls(e.to_string());
    let verifier = Verifier::new_with_extra_roots(extra, provider()).map_err(tls)?;
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// For connections without TLS: trusts no certificate, and does not load the trust store.
///
/// # Errors
/// [`SetupError::Tls`], only with a broken TLS library.
pub fn untrusting_config() -> Result<ClientConfig, SetupError> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|e| SetupError::Tls(e.to_string()))?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth())
}

fn parse_ca(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match certificates {
        Ok(list) if !list.is_empty() => Ok(list),
        Ok(_) => Err(SetupError::Ca("the file contains no certificate".into())),
        Err(error) => Err(SetupError::Ca(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_without_a_certificate_is_refused() {
        for bad in [
            "",
            "no PEM",
            "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n",
        ] {
            let error = client_config(Some(bad.as_bytes())).unwrap_err();
            assert!(matches!(error, SetupError::Ca(_)), "{bad:?}: {error}");
        }
    }
}
