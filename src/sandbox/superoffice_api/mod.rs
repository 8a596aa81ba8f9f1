//! A loopback SuperOffice API (`/api/v1/TicketMessage`, save and search) with state.
//!
//! Every request is checked against [`contract`]; one outside it is answered with 400 in the API's error shape and
//! remembered ([`Handle::violations`]). What is in order is stored and answered as the real API does: the entity with its
//! `EjMessageId` and `Ticket`. What goes wrong on purpose is a [`Rule`].

mod http;
mod script;
mod tickets;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::sandbox::contract;
use crate::sandbox::loopback::{self, Shared};
use http::{Answer, Wire};
use script::Play;
use tickets::Tickets;

pub use script::{Call, Rule, Step};
pub use tickets::Stored;

/// Requests that are remembered.
const MAX_REQUESTS: usize = 100_000;

/// What kind of API it is.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The port; 0 = a free one.
    pub port: u16,
    /// Certificate and key, for `https`: a certificate for `localhost`.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// What stands before `/api/v1`: `/Cust12345`.
    pub base: String,
    /// The `Authorization` that every request needs, else 401; the scheme's name in any case. `None`: anyone may.
    pub authorization: Option<String>,
    /// The `SO-AppToken` that every request needs, else 401.
    pub app_token: Option<String>,
    /// The `X-XSRF-TOKEN` that every request needs, else 401.
    pub xsrf_token: Option<String>,
    /// `GET /api/v1/TicketMessage` does not exist: 404.
    pub no_search: bool,
    /// A search answers with so many rows at once, and a link to the next; 0 = all.
    pub page: usize,
}

/// The API, bound but not yet served.
#[derive(Debug)]
pub struct SuperofficeApi {
    listener: TcpListener,
    address: SocketAddr,
    options: Arc<Options>,
    shared: Arc<Shared<World>>,
}

/// A request that was heard to its end.
#[derive(Debug, Clone)]
pub struct Request {
    /// `POST`, `GET`.
    pub method: String,
    /// Path and query as they came.
    pub target: String,
    /// The headers as they came.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body.
    pub body_bytes: usize,
    /// When.
    pub at: Instant,
}

impl Request {
    /// A header by name in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, text)| text.as_str())
    }
}

#[derive(Debug, Default)]
struct World {
    tickets: Tickets,
    requests: Vec<Request>,
    violations: Vec<String>,
    rules: Vec<Rule>,
}

impl SuperofficeApi {
    /// Listens on 127.0.0.1. Connections are accepted from now on and served once [`Self::serve`] runs.
    ///
    /// # Errors
    /// When the port cannot be had.
    pub async fn bind(options: Options) -> std::io::Result<Self> {
        let (listener, address) = loopback::listen(options.port).await?;
        Ok(Self { listener, address, options: Arc::new(options), shared: Arc::new(Shared::new(World::default())) })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base URL, without `/api/v1`.
    #[must_use]
    pub fn url(&self) -> String {
        let base = &self.options.base;
        match self.options.tls {
            None => format!("http://{}{base}", self.address),
            Some(_) => format!("https://localhost:{}{base}", self.address.port()),
        }
    }

    /// The view from behind.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Runs the API for as long as the future is polled; it never ends by itself.
    pub async fn serve(self) {
        let url = self.url();
        let connect = |socket| {
            let desk = Desk { options: Arc::clone(&self.options), shared: Arc::clone(&self.shared), url: url.clone() };
            async move {
                // An error means that the client is gone or not understood, which ends the connection as well.
                desk.converse(socket).await.ok();
            }
        };
        loopback::serve::<World, _>(self.listener, &self.shared, |socket: TcpStream| connect(socket)).await;
    }
}

/// The view from behind: what was posted and what is to go wrong. Clones are the same API.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared<World>>,
}

impl Handle {
    /// How many messages are stored.
    #[must_use]
    pub fn count(&self) -> usize {
        self.shared.read(|world| world.tickets.messages.len())
    }

    /// The stored entities as they were answered, in order.
    #[must_use]
    pub fn messages(&self) -> Vec<Value> {
        self.shared.read(|world| world.tickets.messages.iter().map(|stored| stored.entity.clone()).collect())
    }

    /// The stored messages with their keys and times, in order.
    #[must_use]
    pub fn stored(&self) -> Vec<Stored> {
        self.shared.read(|world| world.tickets.messages.clone())
    }

    /// What was outside the contract so far: place and what was expected, without personal data.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.shared.read(|world| world.violations.clone())
    }

    /// The requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.read(|world| world.requests.clone())
    }

    /// Somebody else saves a message: no check, no rule. Its key.
    pub fn save(&self, entity: Value) -> u32 {
        let Value::Object(entity) = entity else { return 0 };
        self.shared.change(|world| {
            world.tickets.save(entity);
            world.tickets.messages.last().map_or(0, |stored| stored.ej_message_id)
        })
    }

    /// From now on these rules hold, in this order, counted from 1 again. No rules: the API behaves.
    pub fn script(&self, rules: impl IntoIterator<Item = Rule>) {
        self.shared.change(|world| world.rules = rules.into_iter().collect());
    }

    /// Takes the API away (connections break, new ones are refused) or brings it back on the same port.
    pub fn set_down(&self, down: bool) {
        self.shared.set_down(down);
    }

    /// Waits until `holds` is true, looking again after every change. False when that does not happen `within`.
    pub async fn wait(&self, within: Duration, mut holds: impl FnMut(&Self) -> bool) -> bool {
        self.shared.wait(within, || holds(self)).await
    }
}

/// What one connection needs.
struct Desk {
    options: Arc<Options>,
    shared: Arc<Shared<World>>,
    url: String,
}

impl Desk {
    async fn converse(self, socket: TcpStream) -> std::io::Result<()> {
        let mut wire = Wire::begin(socket, self.options.tls.clone()).await?;
        while let Some(head) = wire.head().await? {
            let step = self.shared.change(|world| script::play(&mut world.rules, kind(&head)));
            let step = step.unwrap_or_else(|| Step::delay(Duration::ZERO));
            if let Play::Deaf(bytes) = step.play {
                return wire.hear(bytes).await;
            }
            let call = wire.complete(head).await?;
            self.note(&call);
            if !step.delay.is_zero() {
                tokio::time::sleep(step.delay).await;
            }
            let ordinary = if step.stores { Some(self.answer(&call)) } else { None };
            let closes = call.header("Connection").is_some_and(|text| text.eq_ignore_ascii_case("close"));
            if play(&mut wire, step.play, ordinary).await? || closes || step.closes {
                return wire.close().await;
            }
        }
        Ok(())
    }

    fn note(&self, call: &http::Call) {
        let http::Call { method, target, headers, body } = call;
        let (method, target, headers) = (method.clone(), target.clone(), headers.clone());
        let request = Request { method, target, headers, body_bytes: body.len(), at: Instant::now() };
        self.shared.change(|world| {
            if world.requests.len() < MAX_REQUESTS {
                world.requests.push(request);
            }
        });
    }

    /// What the API answers when nothing goes wrong on purpose.
    fn answer(&self, call: &http::Call) -> Answer {
        if !self.admits(call) {
            return error(401, "SoAuthenticationException", "not signed in");
        }
        let path = call.target.split('?').next().unwrap_or_default();
        let path = path.strip_prefix(&self.options.base).unwrap_or_default();
        let here = contract::ROUTES.iter().filter(|route| route.path == path);
        let Some(route) = here.clone().find(|route| route.method == call.method) else {
            let status = if here.count() == 0 { 404 } else { 405 };
            return self.violation(status, vec![format!("{} {path}: no such call", call.method)]);
        };
        let query = http::query(&call.target);
        let mut wrong = contract::check_headers(&call.headers, route.body.is_some());
        wrong.extend(contract::check_query(route, &query));
        if let Some(record) = route.body {
            return self.save(record, &call.body, wrong);
        }
        if self.options.no_search {
            return error(404, "SoNotFoundException", "no such resource");
        }
        if wrong.is_empty() { self.search(&query) } else { self.violation(400, wrong) }
    }

    fn admits(&self, call: &http::Call) -> bool {
        let scheme_aside = |given: &str, needed: &str| match (given.split_once(' '), needed.split_once(' ')) {
            (Some((a, given)), Some((b, needed))) => a.eq_ignore_ascii_case(b) && given == needed,
            _ => false,
        };
        let needed = |name: &str, needed: &Option<String>| {
            needed.as_ref().is_none_or(|needed| call.header(name) == Some(needed.as_str()))
        };
        let authorization = self.options.authorization.as_ref();
        authorization.is_none_or(|needed| call.header("Authorization").is_some_and(|given| scheme_aside(given, needed)))
            && needed("SO-AppToken", &self.options.app_token)
            && needed("X-XSRF-TOKEN", &self.options.xsrf_token)
    }

    fn save(&self, record: &contract::Record, body: &[u8], mut wrong: Vec<String>) -> Answer {
        let entity = match serde_json::from_slice(body) {
            Ok(Value::Object(entity)) => entity,
            Ok(_) => return self.violation(400, vec!["body: not a JSON object".to_owned()]),
            Err(e) => return self.violation(400, vec![format!("body: not JSON: {e}")]),
        };
        let entity = Value::Object(entity);
        wrong.extend(contract::check_body(record, &entity));
        match entity {
            Value::Object(entity) if wrong.is_empty() => {
                Answer::json(200, &self.shared.change(|world| world.tickets.save(entity)))
            }
            _ => self.violation(400, wrong),
        }
    }

    fn search(&self, query: &[(String, String)]) -> Answer {
        let rows = match self.shared.read(|world| world.tickets.search(query)) {
            Ok(rows) => rows,
            Err(wrong) => return self.violation(400, vec![wrong]),
        };
        let number =
            |name: &str| query.iter().find(|(known, _)| known == name).and_then(|(_, text)| text.parse::<usize>().ok());
        let (skip, top) = (number("$skip").unwrap_or(0), number("$top").unwrap_or(usize::MAX));
        let page = if self.options.page == 0 { top } else { self.options.page.min(top) };
        let end = skip.saturating_add(page);
        let next = (rows.len() > end && page < top).then(|| self.next_page(query, end, top.saturating_sub(page)));
        let value: Vec<Value> = rows.into_iter().skip(skip).take(page).collect();
        let metadata = format!("{}/api/v1/Archive/TicketMessage/$metadata", self.url);
        Answer::json(200, &json!({ "odata.metadata": metadata, "odata.nextLink": next, "value": value }))
    }

    /// The link to what is left: the same query from `skip`, `top` rows at most.
    fn next_page(&self, query: &[(String, String)], skip: usize, top: usize) -> String {
        let same = query.iter().filter(|(name, _)| name != "$skip" && name != "$top");
        let same: String = same.map(|(name, text)| format!("{name}={}&", encoded(text))).collect();
        let top = if top > MAX_REQUESTS { String::new() } else { format!("&$top={top}") };
        format!("{}/api/v1/TicketMessage?{same}$skip={skip}{top}", self.url)
    }

    fn violation(&self, status: u16, wrong: Vec<String>) -> Answer {
        let message = wrong.join("; ");
        self.shared.change(|world| world.violations.extend(wrong));
        error(status, "ContractViolation", &message)
    }
}

/// Sends what the step says. True: the connection ends.
async fn play(wire: &mut Wire, play: Play, ordinary: Option<Answer>) -> std::io::Result<bool> {
    let ordinary = ordinary.map(|answer| answer.bytes()).unwrap_or_default();
    match play {
        Play::Ordinary => wire.send(&ordinary).await?,
        Play::Response { status, headers, body } => {
            wire.send(&Answer { status, headers, body }.bytes()).await?;
        }
        Play::Cut(n) => {
            wire.send(ordinary.get(..n).unwrap_or(&ordinary)).await?;
            return Ok(true);
        }
        Play::Raw(bytes) => {
            wire.send(&bytes).await?;
            return Ok(true);
        }
        Play::Drip(pause) => wire.drip(&ordinary, pause).await?,
        Play::Endless => {
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n").await?;
            loop {
                wire.send(&[b' '; 65536]).await?;
            }
        }
        Play::EndlessHead => {
            wire.send(b"HTTP/1.1 200 OK\r\n").await?;
            loop {
                wire.send(b"X-More: and more\r\n").await?;
            }
        }
        Play::Stall | Play::Deaf(_) => {
            wire.swallow().await;
            return Ok(true);
        }
    }
    Ok(false)
}

fn kind(call: &http::Call) -> Call {
    if call.method == "GET" { Call::Search } else { Call::Post }
}

/// The API's error shape.
fn error(status: u16, error_type: &str, message: &str) -> Answer {
    let body =
        json!({ "Error": true, "ErrorType": error_type, "ErrorMessage": message, "ErrorSource": "mailbridge.sandbox" });
    Answer::json(status, &body)
}

fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
}
