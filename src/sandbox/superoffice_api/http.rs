//! HTTP/1.1 as far as the API needs it (RFC 9112): requests with a `Content-Length`, keep-alive, answers; in plain or over
//! TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::sandbox::loopback;

/// A longer head ends the connection.
const MAX_HEAD: usize = 64 * 1024;
/// More header lines end the connection.
const MAX_HEADERS: usize = 100;
/// A longer body is refused.
const MAX_BODY: usize = 256 * 1024 * 1024;

/// A request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// A plain or an encrypted stream.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
}

impl Call {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

impl Answer {
    pub(super) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let status = self.status;
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
        let length = ("Content-Length".to_owned(), self.body.len().to_string());
        let json = ("Content-Type".to_owned(), "application/json; charset=utf-8".to_owned());
        let own = |name: &str| header(&self.headers, name).is_none();
        let usual = [length, json].into_iter().filter(|(name, _)| own(name));
        for (name, text) in self.headers.iter().cloned().chain(usual) {
            head.push_str(&format!("{name}: {text}\r\n"));
        }
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

impl Wire {
    /// Begins a connection, with a handshake where there is a certificate.
    pub(super) async fn begin(socket: TcpStream, tls: Option<Arc<rustls::ServerConfig>>) -> io::Result<Self> {
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(socket),
            Some(tls) => Box::new(TlsAcceptor::from(tls).accept(socket).await?),
        };
        Ok(Self { stream, buffer: BytesMut::new() })
    }

    /// The head of the next request, as a call without body; `None` when the client has closed between two.
    pub(super) async fn head(&mut self) -> io::Result<Option<Call>> {
        loop {
            if let Some((call, length)) = head(&self.buffer)? {
                drop(self.buffer.split_to(length));
                return Ok(Some(call));
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads the body that belongs to the head.
    pub(super) async fn complete(&mut self, mut call: Call) -> io::Result<Call> {
        if call.header("Transfer-Encoding").is_some() {
            self.send(b"HTTP/1.1 411 Length Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await?;
            return Err(io::ErrorKind::Unsupported.into());
        }
        if call.header("Expect").is_some_and(|text| text.eq_ignore_ascii_case("100-continue")) {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let length: usize = call.header("Content-Length").unwrap_or("0").parse().unwrap_or(usize::MAX);
        if length > MAX_BODY {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.hear(length).await?;
        call.body = self.buffer.split_to(length).freeze();
        Ok(call)
    }

    /// Reads until so many bytes have come.
    pub(super) async fn hear(&mut self, length: usize) -> io::Result<()> {
        while self.buffer.len() < length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Sends byte by byte, each after a pause.
    pub(super) async fn drip(&mut self, bytes: &[u8], pause: Duration) -> io::Result<()> {
        for byte in bytes {
            tokio::time::sleep(pause).await;
            self.send(&[*byte]).await?;
        }
        Ok(())
    }

    /// Says that nothing more comes: over TLS a connection that just ends looks cut off.
    pub(super) async fn close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Reads and forgets until the client closes.
    pub(super) async fn swallow(&mut self) {
        loopback::swallow(&mut self.stream).await;
    }
}

/// The head of a request, when it is complete, and its length.
fn head(buffer: &[u8]) -> io::Result<Option<(Call, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let parsed = request.parse(buffer).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    let httparse::Status::Complete(length) = parsed else { return Ok(None) };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers = request.headers.iter().map(|header| (header.name.to_owned(), text(header.value))).collect();
    let method = request.method.unwrap_or_default().to_owned();
    let target = request.path.unwrap_or_default().to_owned();
    Ok(Some((Call { method, target, headers, body: Bytes::new() }, length)))
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, text)| text.as_str())
}

/// The query of a request target, decoded: `%20` and `+` are spaces.
pub(super) fn query(target: &str) -> Vec<(String, String)> {
    let Some((_, query)) = target.split_once('?') else { return Vec::new() };
    let pair = |part: &str| {
        let (name, text) = part.split_once('=').unwrap_or((part, ""));
        (decoded(name), decoded(text))
    };
    query.split('&').filter(|part| !part.is_empty()).map(pair).collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        let hex = tail.get(..2).filter(|_| first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => bytes.push(if first == b'+' { b' ' } else { first }),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        302 => "Found",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        413 => "Content Too Large",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded() {
        let expected = [("$filter", "messageId in ('<a+b@x>')"), ("$top", "5")];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(query("/x?%24filter=messageId+in%20('%3Ca%2Bb@x%3E')&$top=5"), expected);
        assert_eq!(decoded("100%"), "100%");
        assert!(query("/x").is_empty());
    }

    #[test]
    fn a_head_is_read_when_it_is_complete() {
        assert!(head(b"GET / HTTP/1.1\r\nA: b\r\n").unwrap().is_none());
        let (call, length) = head(b"GET /x HTTP/1.1\r\nA: b\r\n\r\nrest").unwrap().unwrap();
        assert_eq!((call.method.as_str(), call.header("a"), length), ("GET", Some("b"), 25));
        assert!(head(b"\x01\x02 nonsense\r\n\r\n").is_err());
    }
}
