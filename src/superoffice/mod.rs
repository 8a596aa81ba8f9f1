//! The client of one SuperOffice tenant: `POST /api/v1/TicketMessage` and the look-up of what was posted. The only module
//! that opens connections to the API.
//!
//! Never repeats a write by itself (only a 401 is answered by reading the secrets again and asking once more: such a
//! request was not carried out), never follows a redirect, never reads a proxy from the environment, never sends the
//! sign-in to another origin. Every call ends within `request_timeout`.

mod answer;
mod auth;
mod base;
mod error;
mod message;
mod outgoing;
#[cfg(test)]
mod scripted;
mod search;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Certificate, RequestBuilder, StatusCode};
use tokio::sync::Mutex;

use crate::config;
use crate::ids::TenantName;

pub use error::{Call, Error};
pub use message::Posted;
pub use search::Row;

use answer::Answer;
use base::Base;
use outgoing::LastPiece;

/// Idle connections are closed after this: before most servers and balancers do, since a request on a connection that is
/// just being closed has an unknown outcome.
const IDLE: Duration = Duration::from_secs(20);

/// The client of one tenant. Clones share connections and sign-in.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    name: TenantName,
    options: config::Tenant,
    base: Base,
    http: reqwest::Client,
    /// The headers made from the secrets; read at the first need.
    sign_in: Mutex<Option<HeaderMap>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("tenant", &self.inner.name).finish_non_exhaustive()
    }
}

impl Client {
    /// A client for the tenant. Opens no connection and reads no secret yet.
    ///
    /// # Errors
    /// [`Error::Options`] when `base_url`, the sign-in, a header or a file of `extra_roots` cannot be used.
    pub fn new(name: TenantName, options: &config::Tenant, tls: &config::Tls) -> Result<Self, Error> {
        let wrong = |reason| Error::Options { tenant: name.to_string(), reason };
        let base = Base::parse(&options.base_url, options.allow_http).map_err(wrong)?;
        auth::scheme(options).map_err(wrong)?;
        let http = http_client(options, tls).map_err(wrong)?;
        let sign_in = Mutex::new(None);
        Ok(Self { inner: Arc::new(Inner { name, options: options.clone(), base, http, sign_in }) })
    }

    /// Reads the secrets, unless they are known: so that a secret that cannot be read is noticed before any mail is
    /// taken up.
    ///
    /// # Errors
    /// [`Error::Secret`], or [`Error::Options`] when a secret cannot stand in a header.
    pub async fn ready(&self) -> Result<(), Error> {
        self.sign_in().await.map(drop)
    }

    /// Sends a request with the sign-in and reads the answer, at most `max` bytes of it. A 401 makes the secrets be read again; when they have
    /// changed, the request is sent once more with the new ones.
    async fn send<F>(&self, call: Call, max: u64, request: F) -> Result<Answer, Error>
    where
        F: Fn(&reqwest::Client) -> (RequestBuilder, LastPiece),
    {
        let known = self.sign_in().await?;
        let answer = self.exchange(call, max, request(&self.inner.http), known.clone()).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        match self.renewed(&known).await? {
            Some(fresh) => self.exchange(call, max, request(&self.inner.http), fresh).await,
            None => Ok(answer),
        }
    }

    async fn exchange(
        &self,
        call: Call,
        max: u64,
        (request, last): (RequestBuilder, LastPiece),
        sign_in: HeaderMap,
    ) -> Result<Answer, Error> {
        let answer = async {
            let response = request.headers(sign_in.clone()).send().await?;
            Answer::read(response, sign_in, max).await
        };
        answer.await.map_err(|error| error::of_transport(call, error, last.keep()))
    }

    async fn sign_in(&self) -> Result<HeaderMap, Error> {
        let mut known = self.inner.sign_in.lock().await;
        if let Some(headers) = known.as_ref() {
            return Ok(headers.clone());
        }
        let headers = auth::secret_headers(self.inner.name.as_str(), &self.inner.options).await?;
        Ok(known.insert(headers).clone())
    }

    /// Other headers than those that were refused: those that somebody else has read meanwhile, or those read now.
    async fn renewed(&self, refused: &HeaderMap) -> Result<Option<HeaderMap>, Error> {
        let mut known = self.inner.sign_in.lock().await;
        if known.as_ref() == Some(refused) {
            *known = Some(auth::secret_headers(self.inner.name.as_str(), &self.inner.options).await?);
        }
        Ok(known.clone().filter(|headers| headers != refused))
    }
}

/// The HTTP client of a tenant.
fn http_client(options: &config::Tenant, tls: &config::Tls) -> Result<reqwest::Client, String> {
    // Without a provider the builder panics. That one is installed already is no error.
    drop(rustls::crypto::ring::default_provider().install_default());
    let timeout = options.request_timeout.0;
    reqwest::Client::builder()
        .user_agent(concat!("mailbridge/", env!("CARGO_PKG_VERSION")))
        .default_headers(auth::fixed(options)?)
        .connect_timeout(options.connect_timeout.0)
        .timeout(timeout)
        .read_timeout(timeout)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(usize::from(options.concurrency))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tls_certs_merge(extra_roots(tls)?)
        .build()
        .map_err(|error| format!("the HTTP client cannot be made: {}", error::chain(&error)))
}

fn extra_roots(tls: &config::Tls) -> Result<Vec<Certificate>, String> {
    let mut roots = Vec::new();
    for path in &tls.extra_roots {
        let pem = std::fs::read(path).map_err(|error| format!("reading extra_roots {path}: {error}"))?;
        let found = Certificate::from_pem_bundle(&pem).map_err(|_| format!("extra_roots {path} is not a PEM file"))?;
        if found.is_empty() {
            return Err(format!("extra_roots {path} holds no certificate"));
        }
        roots.extend(found);
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::superoffice::scripted::{client_of, options};

    #[tokio::test]
    async fn options_that_cannot_be_used_are_named() {
        let reason = |options: &config::Tenant, tls: &config::Tls| {
            Client::new("main".parse().expect("a name"), options, tls).expect_err("a mistake").to_string()
        };
        let none = config::Tls::default();
        let plain = config::Tenant { base_url: "http://crm.example.com".into(), ..Default::default() };
        assert!(reason(&plain, &none).contains("allow_http"));
        let half = config::Tenant { username: "tim".into(), ..options("http://127.0.0.1:1") };
        assert!(reason(&half, &none).contains("password"));
        let tls = config::Tls { extra_roots: vec!["/nowhere.pem".into()] };
        assert!(reason(&options("http://127.0.0.1:1"), &tls).contains("/nowhere.pem"));
    }

    #[tokio::test]
    async fn a_secret_that_cannot_be_read_is_noticed_before_any_call() {
        let secret = config::Secret::File { file: "/nowhere/token".into() };
        let client = client_of(&config::Tenant { token: Some(secret), ..options("http://127.0.0.1:1") });
        let error = client.ready().await.expect_err("no such file");
        assert!(error.to_string().starts_with("token: "), "{error}");
        assert!(!format!("{client:?}").contains("token"));
    }

    /// A listener with a certificate that only `extra_roots` can make believed; it answers one request a connection.
    async fn serve_tls(listener: &tokio::net::TcpListener, key: &rcgen::CertifiedKey<rcgen::KeyPair>) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).expect("a key");
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![key.cert.der().clone()], private)
            .expect("a certificate");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            assert_ne!(stream.read_u8().await.expect("a request"), 0);
            let answer = b"HTTP/1.1 401 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).await.expect("written");
            drop(stream.shutdown().await);
        }
    }

    #[tokio::test]
    async fn a_certificate_is_believed_only_when_its_root_is_named() {
        let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
        let root = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(root.path(), key.cert.pem()).expect("written");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let options = options(&format!("https://localhost:{}", listener.local_addr().expect("an address").port()));
        let fails = async |tls: config::Tls| {
            let client = Client::new("main".parse().expect("a name"), &options, &tls).expect("a client");
            client.search("a@x").await.expect_err("a failure").class()
        };
        let named = config::Tls { extra_roots: vec![root.path().display().to_string()] };
        let calls = async { (fails(config::Tls::default()).await, fails(named).await) };
        tokio::select! {
            classes = calls => assert_eq!(classes, ("tls", "auth")),
            () = serve_tls(&listener, &key) => {}
        }
    }
}
