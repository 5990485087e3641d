//! HTTPS, when a certificate is given.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Why there can be no HTTPS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not what it should be.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The key is not that of the certificate, or neither can be used.
    #[error("{} and {} cannot be used together: {problem}", cert.display(), key.display())]
    Pair {
        /// The certificate chain.
        cert: PathBuf,
        /// The private key.
        key: PathBuf,
        /// What is wrong with them.
        problem: rustls::Error,
    },
}

/// Has clients of this process that choose no cryptography of their own take ring's; if others were chosen already, they stay.
pub fn use_ring() {
    let _were_chosen = ring::default_provider().install_default();
}

/// TLS 1.2 and 1.3 with a certificate chain and its private key, both PEM.
///
/// # Errors
///
/// [`TlsError`], which names the file.
pub fn config(cert: &Path, key: &Path) -> Result<ServerConfig, TlsError> {
    let wrong = |path: &Path, problem: String| TlsError::File { path: path.to_path_buf(), problem };
    let chain = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let chain = chain.map_err(|error| wrong(cert, format!("no certificate can be read from it: {error}")))?;
    if chain.is_empty() {
        return Err(wrong(cert, "there is no certificate in it, expected PEM with BEGIN CERTIFICATE".to_owned()));
    }
    let secret = PrivateKeyDer::from_pem_file(key);
    let secret = secret.map_err(|error| wrong(key, format!("no private key can be read from it: {error}")))?;
    let pair = |problem| TlsError::Pair { cert: cert.to_path_buf(), key: key.to_path_buf(), problem };
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(pair)?;
    builder.with_no_client_auth().with_single_cert(chain, secret).map_err(pair)
}
