//! A stream of bytes to the server: TCP, with TLS over it where the address says `https`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};
use url::Host;

use super::address::Address;

/// How long finding the server and shaking hands with it may take.
const DIAL_WITHIN: Duration = Duration::from_secs(10);

/// Whatever carries bytes both ways.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error("{0} does not answer")]
    Late(String),
    #[error("{0} cannot be reached: {1}")]
    Unreachable(String, io::Error),
    #[error("{0} cannot be trusted: {1}")]
    Untrusted(String, io::Error),
    #[error(
        "this machine names no authorities to trust for https: install its ca-certificates, or name a file of them in SSL_CERT_FILE"
    )]
    NoAuthorities,
    #[error("TLS cannot be spoken: {0}")]
    Tls(#[from] tokio_rustls::rustls::Error),
}

/// Makes streams to one server.
pub struct Dialer {
    pub address: Address,
    tls: Option<TlsConnector>,
}

impl Dialer {
    /// # Errors
    /// [`DialError::NoAuthorities`], for `https` on a machine that trusts nobody.
    pub fn new(address: Address) -> Result<Self, DialError> {
        let tls = if address.tls { Some(trusting_what_the_machine_trusts()?) } else { None };
        Ok(Self { address, tls })
    }

    /// # Errors
    /// [`DialError`]: all but [`DialError::Untrusted`] may be otherwise in a moment.
    pub async fn dial(&self) -> Result<Box<dyn Io>, DialError> {
        let late = || DialError::Late(self.address.to_string());
        timeout(DIAL_WITHIN, self.connect()).await.map_err(|_| late())?
    }

    async fn connect(&self) -> Result<Box<dyn Io>, DialError> {
        let unreachable = |error| DialError::Unreachable(self.address.to_string(), error);
        let port = self.address.port;
        let connecting = match &self.address.host {
            Host::Domain(name) => TcpStream::connect((name.as_str(), port)).await,
            Host::Ipv4(ip) => TcpStream::connect((*ip, port)).await,
            Host::Ipv6(ip) => TcpStream::connect((*ip, port)).await,
        };
        let stream = connecting.map_err(unreachable)?;
        // A message is small, and someone waits for it.
        stream.set_nodelay(true).map_err(unreachable)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        let untrusted = |error| DialError::Untrusted(self.address.to_string(), error);
        let name = match &self.address.host {
            Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|error| untrusted(io::Error::other(error)))?,
            Host::Ipv4(ip) => ServerName::from(std::net::IpAddr::from(*ip)),
            Host::Ipv6(ip) => ServerName::from(std::net::IpAddr::from(*ip)),
        };
        let secured = tls.connect(name, stream).await.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => untrusted(error),
            _ => unreachable(error),
        })?;
        Ok(Box::new(secured))
    }
}

/// The authorities are those of the machine (or of `SSL_CERT_FILE`, `SSL_CERT_DIR`): who runs their own chat may have their own,
/// and a list in the program would grow old with it.
fn trusting_what_the_machine_trusts() -> Result<TlsConnector, DialError> {
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        return Err(DialError::NoAuthorities);
    }
    let builder =
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
