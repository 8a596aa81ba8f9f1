//! From a host name to a connection whose greeting is read: DNS, TCP, TLS or STARTTLS (RFC 8314, RFC 9051 §6.2.1), all
//! within `connect_timeout`.
//!
//! Certificates are always verified. STARTTLS is never opportunistic: what is not protected is closed before any secret.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ProtocolVersion;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::Verifier;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::capability::Capabilities;
use super::command::{Command, Wire};
use super::error::{Error, excerpt};
use super::guard::Transport;
use super::heard::Heard;
use crate::config;
use crate::config::mailbox::ImapTls;
use crate::telemetry::progress::Pulse;

/// A dead peer is noticed by keep-alive after about this long, with [`PROBES`] probes within it.
const KEEPALIVE: Duration = Duration::from_secs(60);
const PROBES: u32 = 4;

/// A connection before the sign-in.
#[derive(Debug)]
pub(super) struct Connected {
    pub(super) wire: Wire,
    pub(super) capabilities: Capabilities,
    /// `TLSv1.3` …, or `none`.
    pub(super) tls_version: &'static str,
}

/// Connects as the mailbox's options say.
pub(super) async fn connect(
    mailbox: &config::Mailbox,
    tls: &config::Tls,
    max_line: usize,
    pulse: Pulse,
) -> Result<Connected, Error> {
    let now = Instant::now();
    let deadline = now.checked_add(mailbox.connect_timeout.0).unwrap_or(now);
    let tcp: Box<dyn Transport> = Box::new(Heard::new(open_tcp(mailbox, deadline).await?, pulse));
    match mailbox.tls {
        ImapTls::Implicit => {
            let (stream, version) = secure(tcp, mailbox, tls, deadline).await?;
            greeted(Wire::new(stream, max_line, mailbox.io_timeout.0), mailbox, version, deadline).await
        }
        ImapTls::None | ImapTls::InsecurePlaintext => {
            greeted(Wire::new(tcp, max_line, mailbox.io_timeout.0), mailbox, "none", deadline).await
        }
        ImapTls::Starttls => {
            let wire = Wire::new(tcp, max_line, mailbox.io_timeout.0);
            starttls(wire, mailbox, tls, deadline).await
        }
    }
}

async fn greeted(
    mut wire: Wire,
    mailbox: &config::Mailbox,
    tls_version: &'static str,
    deadline: Instant,
) -> Result<Connected, Error> {
    let late = Error::Timeout { command: "greeting", waited_for: "the greeting" };
    timeout_at(deadline, wire.greeting(&mailbox.host)).await.map_err(|_| late)??;
    let capabilities = Capabilities::ask(&mut wire).await?;
    Ok(Connected { wire, capabilities, tls_version })
}

async fn starttls(
    wire: Wire,
    mailbox: &config::Mailbox,
    tls: &config::Tls,
    deadline: Instant,
) -> Result<Connected, Error> {
    let Connected { mut wire, capabilities, .. } = greeted(wire, mailbox, "none", deadline).await?;
    let refused = |reason: &str| Error::Tls { host: mailbox.host.clone(), reason: reason.to_owned() };
    if !capabilities.unknown() && !capabilities.has("STARTTLS") {
        return Err(refused("the server does not offer STARTTLS"));
    }
    let outcome = wire.run(Command::new("STARTTLS", "STARTTLS"), |_| {}).await?;
    outcome.accepted().map_err(|error| refused(&error.to_string()))?;
    let max_line = wire.max_line();
    let (stream, version) = secure(wire.into_transport()?, mailbox, tls, deadline).await?;
    let mut wire = Wire::new(stream, max_line, mailbox.io_timeout.0);
    // What was said in clear text counts for nothing.
    let capabilities = Capabilities::ask(&mut wire).await?;
    Ok(Connected { wire, capabilities, tls_version: version })
}

async fn open_tcp(mailbox: &config::Mailbox, deadline: Instant) -> Result<TcpStream, Error> {
    let addresses = resolve(mailbox, deadline).await?;
    let mut last = None;
    for (i, address) in addresses.iter().enumerate() {
        let left = u32::try_from(addresses.len().saturating_sub(i)).unwrap_or(u32::MAX);
        let share = deadline.saturating_duration_since(Instant::now()).checked_div(left).unwrap_or_default();
        let opened = tokio::time::timeout(share, TcpStream::connect(address)).await;
        let reason = match opened {
            Ok(Ok(stream)) => match prepare(&stream, mailbox.io_timeout.0) {
                Ok(()) => return Ok(stream),
                Err(error) => error.to_string(),
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        last = Some(Error::Tcp { address: address.to_string(), reason: excerpt(&reason) });
    }
    Err(last.unwrap_or_else(|| Error::Dns { host: mailbox.host.clone(), reason: "no address".to_owned() }))
}

async fn resolve(mailbox: &config::Mailbox, deadline: Instant) -> Result<Vec<SocketAddr>, Error> {
    let failed = |reason: String| Error::Dns { host: mailbox.host.clone(), reason: excerpt(&reason) };
    let looked_up = tokio::net::lookup_host((mailbox.host.as_str(), mailbox.effective_port()));
    let found = timeout_at(deadline, looked_up).await.map_err(|_| failed("no answer in time".to_owned()))?;
    let addresses: Vec<SocketAddr> = found.map_err(|error| failed(error.to_string()))?.collect();
    if mailbox.tls == ImapTls::None && !addresses.iter().all(|address| address.ip().is_loopback()) {
        return Err(failed("tls = \"none\" is for this machine only, and the address is another one's".to_owned()));
    }
    Ok(addresses)
}

/// No delay for small writes; and a peer that has silently gone is noticed, also when nothing is sent.
fn prepare(stream: &TcpStream, io_timeout: Duration) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let interval = KEEPALIVE.checked_div(PROBES).unwrap_or(KEEPALIVE);
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(interval).with_retries(PROBES);
    let socket = socket2::SockRef::from(stream);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(io_timeout))
}

async fn secure(
    stream: Box<dyn Transport>,
    mailbox: &config::Mailbox,
    tls: &config::Tls,
    deadline: Instant,
) -> Result<(Box<dyn Transport>, &'static str), Error> {
    let host = if mailbox.tls_name.is_empty() { &mailbox.host } else { &mailbox.tls_name };
    let failed = |reason: String| Error::Tls { host: host.clone(), reason: excerpt(&reason) };
    let name = ServerName::try_from(host.clone()).map_err(|error| failed(error.to_string()))?;
    let paths = tls.extra_roots.clone();
    // The system's certificates are files: reading them may block.
    let loaded = tokio::task::spawn_blocking(move || client_config(&paths)).await;
    let config = loaded.map_err(|error| failed(error.to_string()))?.map_err(failed)?;
    let handshake = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream);
    let handshake = timeout_at(deadline, handshake).await.map_err(|_| failed("no answer in time".to_owned()))?;
    let stream = handshake.map_err(|error| failed(error.to_string()))?;
    let version = match stream.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLSv1.2",
    };
    Ok((Box::new(stream), version))
}

/// The system's roots and those of `paths`. The reason when they cannot be had.
fn client_config(paths: &[String]) -> Result<rustls::ClientConfig, String> {
    let mut roots = Vec::new();
    for path in paths {
        let unreadable = |error: rustls::pki_types::pem::Error| format!("extra_roots {path}: {error}");
        for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
            roots.push(certificate.map_err(unreadable)?);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new_with_extra_roots(roots, Arc::clone(&provider)).map_err(|error| error.to_string())?;
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}
