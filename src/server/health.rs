//! Asking a running server whether it is ready, as a container's health check does.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server may take to answer. It waits for its database for 7 s itself before it says that it is away.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of the answer that are read: its head, and a line.
const ANSWER: u64 = 8 * 1024;

/// Why a server is not known to be ready; each is one line.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    #[error("the address has port 0, which stands for any: name the one that the server took, with --addr")]
    AnyPort,
    #[error("nothing answers at {addr}: {source}")]
    Silent { addr: SocketAddr, source: std::io::Error },
    #[error("the server at {addr} does not answer within {} s", PATIENCE.as_secs())]
    Late { addr: SocketAddr },
    #[error("what answers at {addr} is no snug server")]
    Stranger { addr: SocketAddr },
    #[error("the server at {addr} is not ready: {why}")]
    NotReady { addr: SocketAddr, why: String },
}

/// Where to ask a server that listens on `addr`: one that listens on every address is asked on this machine's own.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// Asks `/readyz` of the server that listens on `addr`: what it says when it is ready. Takes some seconds at most.
///
/// # Errors
/// [`HealthError`], when it is not ready for work.
pub fn check(addr: SocketAddr) -> Result<String, HealthError> {
    if addr.port() == 0 {
        return Err(HealthError::AnyPort);
    }
    let addr = reachable(addr);
    let answer = ask(addr).map_err(|source| match source.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => HealthError::Late { addr },
        _ => HealthError::Silent { addr, source },
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(HealthError::Stranger { addr })?;
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).ok_or(HealthError::Stranger { addr })?;
    match (status, body.trim()) {
        // It has one line to say, and begins with this.
        ("200", said) if said.starts_with("ready") && said.lines().count() == 1 => Ok(said.to_owned()),
        ("503", why) => Err(HealthError::NotReady { addr, why: why.lines().next().unwrap_or("it does not say why").to_owned() }),
        _ => Err(HealthError::Stranger { addr }),
    }
}

fn ask(addr: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&addr, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(format!("GET /readyz HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_every_address_is_asked_on_this_machine() {
        let asked = |addr: &str| reachable(addr.parse().expect("an address")).to_string();
        assert_eq!(asked("0.0.0.0:3000"), "127.0.0.1:3000");
        assert_eq!(asked("[::]:3000"), "[::1]:3000");
        assert_eq!(asked("10.1.2.3:80"), "10.1.2.3:80");
    }
}
