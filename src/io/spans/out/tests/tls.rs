//! Sinks behind TLS, over both protocols: the certificate is checked, and the body is the same.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::*;

fn fixture(name: &str) -> String {
    format!("{}/tests/fixtures/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn certificate() -> CertificateDer<'static> {
    CertificateDer::from_pem_file(fixture("cert.pem")).unwrap()
}

fn acceptor() -> TlsAcceptor {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = PrivateKeyDer::from_pem_file(fixture("key.pem")).unwrap();
    let builder = rustls::ServerConfig::builder().with_no_client_auth();
    let mut config = builder.with_single_cert(vec![certificate()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn requests_go_through_tls_when_the_certificate_is_trusted() {
    for protocol in ["http", "grpc"] {
        let is_grpc = protocol == "grpc";
        let stand_in = StandIn::with_tls(acceptor(), move |_, _| if is_grpc { grpc(0) } else { http(200) }).await;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate()).unwrap();
        let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let machinery = Arc::new(Machinery {
            clock: Arc::default(),
            connectors: Connectors::trusting(&config),
            encoders: Encoders::default(),
            workers: Arc::default(),
        });
        let endpoint = format!("https://localhost:{}", stand_in.address.port());
        let options = json!({"protocol": protocol, "compression": "zstd"});
        let rig = rig_on(&machinery, endpoint, Patience::Pass, &options);
        for name in ["a", "b"] {
            assert_eq!(rig.fate(&[name]).await, Fate::Delivered, "{protocol}");
        }
        let versions: Vec<Version> = stand_in.seen().iter().map(|seen| seen.version).collect();
        assert_eq!(versions, [if is_grpc { Version::HTTP_2 } else { Version::HTTP_11 }; 2]);
        assert_eq!(stand_in.connection_count.load(Ordering::Relaxed), 1);
        rig.end(GRACE).await;
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_gets_no_secret() {
    let stand_in = StandIn::with_tls(acceptor(), |_, _| http(200)).await;
    let rig = rig(format!("https://localhost:{}", stand_in.address.port()), Patience::Pass, json!({}));
    let Fate::NotNow { reason, .. } = rig.fate(&["a"]).await else { panic!("it is not to be trusted") };
    assert!(reason.starts_with("cannot connect: "), "{reason}");
    assert!(stand_in.seen().is_empty());
    rig.end(GRACE).await;
}
