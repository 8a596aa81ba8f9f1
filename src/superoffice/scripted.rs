//! For the tests here: a listener on loopback that takes one request after the other and does what its script says. It is
//! driven by the test's own future and ends with it.

use std::future::Future;
use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::Client;
use crate::config::units::{Period, Size};
use crate::config::{Tenant, Tls};

/// What happens to one request.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// An answer.
    Answer { status: u16, headers: String, body: String },
    /// The connection ends after the request, before the answer.
    CutBefore,
    /// The connection ends in the middle of the answer's body.
    CutWithin,
    /// The answer is not HTTP.
    Garbage,
    /// The answer begins and never ends.
    Drip,
}

impl Act {
    pub(super) fn answer(status: u16, body: &str) -> Self {
        Self::Answer { status, headers: String::new(), body: body.to_owned() }
    }

    /// The answer with one more header.
    pub(super) fn with(self, line: &str) -> Self {
        match self {
            Self::Answer { status, headers, body } => {
                Self::Answer { status, headers: format!("{headers}{line}\r\n"), body }
            }
            other => other,
        }
    }
}

/// The listener and what it will do.
#[derive(Debug)]
pub(super) struct Script {
    listener: TcpListener,
    acts: Vec<Act>,
}

impl Script {
    pub(super) async fn start(acts: Vec<Act>) -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a port"), acts }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/Cust1/api/v1/", self.listener.local_addr().expect("an address"))
    }

    /// Serves until `calls` has ended; gives its result and the requests as they came.
    pub(super) async fn serve<T>(self, calls: impl Future<Output = T>) -> (T, Vec<String>) {
        let mut requests = Vec::new();
        let result = tokio::select! {
            result = calls => result,
            never = self.run(&mut requests) => match never {
                Ok(never) => match never {},
                Err(error) => panic!("the script failed: {error}"),
            },
        };
        (result, requests)
    }

    async fn run(&self, requests: &mut Vec<String>) -> io::Result<std::convert::Infallible> {
        for act in &self.acts {
            let (mut stream, _) = self.listener.accept().await?;
            requests.push(read_request(&mut stream).await?);
            play(act, &mut stream).await?;
        }
        std::future::pending().await
    }
}

async fn read_request(stream: &mut TcpStream) -> io::Result<String> {
    let mut text = Vec::new();
    loop {
        let head = text.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at.saturating_add(4));
        let length = |head: usize| {
            let lines = String::from_utf8_lossy(&text[..head]).to_ascii_lowercase();
            let line = lines.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            head.saturating_add(line.unwrap_or(0))
        };
        if head.is_some_and(|head| text.len() >= length(head)) {
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
        if stream.read_buf(&mut text).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Every answer ends its connection, so that each request has its own.
async fn play(act: &Act, stream: &mut TcpStream) -> io::Result<()> {
    let text = match act {
        Act::Answer { status, headers, body } => {
            let length = body.len();
            format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
        }
        Act::CutBefore => String::new(),
        Act::CutWithin => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"EjMessageId\":".to_owned(),
        Act::Garbage => "220 mail.example.com ESMTP\r\n".to_owned(),
        Act::Drip => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n".to_owned(),
    };
    // The client may hang up on an answer that is beyond its bounds.
    drop(stream.write_all(text.as_bytes()).await);
    match act {
        Act::Drip => std::future::pending().await,
        _ => Ok(()),
    }
}

/// Options for a tenant at `url`, with a small bound on answers.
pub(super) fn options(url: &str) -> Tenant {
    Tenant {
        base_url: url.to_owned(),
        request_timeout: Period::secs(10),
        max_response: Size::kib(64),
        ..Tenant::default()
    }
}

/// A client of these options.
pub(super) fn client_of(options: &Tenant) -> Client {
    Client::new("main".parse().expect("a name"), options, &Tls::default()).expect("a client")
}
