//! TLS of a door: certificate and key from PEM files, read again when they change, and the handshake. Never prints a
//! key, and never serves a certificate with a key that is not its own.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::io::secrets::{LiveSecret, SecretError, SecretRef};
use crate::model::Secret;

const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// What a door shows of itself, and proves.
#[derive(Debug)]
pub struct Tls {
    chain: LiveSecret,
    key: LiveSecret,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    /// What was last read, whether or not it could be used: each pair of texts is tried once.
    chain: Secret,
    key: Secret,
    config: Arc<ServerConfig>,
}

/// Why a certificate cannot be used. Names files, never what is in them.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the certificate cannot be read: {0}")]
    NoChain(SecretError),
    #[error("the key cannot be read: {0}")]
    NoKey(SecretError),
    #[error("there is no certificate in PEM form in the file of the certificate")]
    EmptyChain,
    #[error("there is no private key in PEM form in the file of the key")]
    EmptyKey,
    #[error("certificate and key do not fit: {0}")]
    Unfit(rustls::Error),
}

impl TlsError {
    /// Whether the file of the key is at fault, and not that of the certificate or both.
    pub fn is_about_the_key(&self) -> bool {
        match self {
            TlsError::NoKey(_) | TlsError::EmptyKey => true,
            TlsError::NoChain(_) | TlsError::EmptyChain | TlsError::Unfit(_) => false,
        }
    }
}

impl Tls {
    /// Fails where the files cannot be used now: a start must not wait for the first sender to find out.
    pub fn open(chain: &Path, key: &Path) -> Result<Tls, TlsError> {
        let open = |path: &Path| LiveSecret::open(SecretRef::File(path.to_owned()));
        let (chain, key) = (open(chain).map_err(TlsError::NoChain)?, open(key).map_err(TlsError::NoKey)?);
        let (chain_text, key_text) = (chain.get(), key.get());
        let config = configure(&chain_text, &key_text)?;
        Ok(Tls { chain, key, held: Mutex::new(Held { chain: chain_text, key: key_text, config }) })
    }

    /// By the files as they are. Two files are never replaced at once, so what does not fit yet changes nothing.
    fn config(&self) -> Arc<ServerConfig> {
        let (chain, key) = (self.chain.get(), self.key.get());
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.chain != chain || held.key != key {
            match configure(&chain, &key) {
                Ok(config) => {
                    tracing::info!("the doors of telemetry have a new certificate");
                    held.config = config;
                }
                Err(cause) => tracing::warn!(error = %cause, "the doors of telemetry keep their old certificate"),
            }
            (held.chain, held.key) = (chain, key);
        }
        held.config.clone()
    }

    /// The handshake. The caller bounds it in time.
    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.config()).accept(stream).await
    }
}

/// Whether both sides have agreed on HTTP/2; who does not say speaks HTTP/1.1.
pub(super) fn is_http2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(HTTP2)
}

fn configure(chain: &Secret, key: &Secret) -> Result<Arc<ServerConfig>, TlsError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.reveal().as_bytes()).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::EmptyChain)?;
    let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes()).map_err(|_| TlsError::EmptyKey)?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(TlsError::Unfit)?.with_no_client_auth();
    let mut config = builder.with_single_cert(chain, key).map_err(TlsError::Unfit)?;
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tls").join(name)
    }

    fn refusal(chain: &str, key: &str) -> String {
        Tls::open(&fixture(chain), &fixture(key)).expect_err("it cannot be used").to_string()
    }

    #[test]
    fn a_certificate_and_its_key_are_taken_and_anything_else_is_named() {
        assert!(Tls::open(&fixture("cert.pem"), &fixture("key.pem")).is_ok());
        assert!(refusal("nowhere.pem", "key.pem").starts_with("the certificate cannot be read: file `"));
        assert!(refusal("cert.pem", "nowhere.pem").starts_with("the key cannot be read: file `"));
        assert!(refusal("key.pem", "key.pem").starts_with("there is no certificate"));
        assert!(refusal("cert.pem", "cert.pem").starts_with("there is no private key"));
        assert!(refusal("cert.pem", "other-key.pem").starts_with("certificate and key do not fit"));
    }

    #[tokio::test(start_paused = true)]
    async fn new_files_are_taken_once_they_fit_and_the_old_certificate_serves_until_then() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        let mut age = std::time::SystemTime::UNIX_EPOCH;
        let mut put = |path: &Path, name: &str| {
            std::fs::copy(fixture(name), path).unwrap();
            age += std::time::Duration::from_secs(60);
            std::fs::File::options().write(true).open(path).unwrap().set_modified(age).unwrap();
        };
        put(&chain, "cert.pem");
        put(&key, "key.pem");
        let tls = Tls::open(&chain, &key).unwrap();
        let first = tls.config();
        let later = async || {
            tokio::time::advance(std::time::Duration::from_secs(2)).await;
            tls.config()
        };
        assert!(Arc::ptr_eq(&first, &later().await));
        put(&chain, "other-cert.pem");
        assert!(Arc::ptr_eq(&first, &later().await), "the key is still the old one's");
        put(&key, "other-key.pem");
        assert!(!Arc::ptr_eq(&first, &later().await));
    }
}
