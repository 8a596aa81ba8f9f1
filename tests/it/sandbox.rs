//! The two servers that all other stories stand on, spoken to over raw sockets.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use mailbridge::clock::UtcMillis;
use mailbridge::sandbox::imap_server::{self, ImapServer, Rule, Step, Tagged};
use mailbridge::sandbox::superoffice_api::{self, Call, SuperofficeApi};
use mailbridge::sandbox::{samples, script::When};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const DEADLINE: Duration = Duration::from_secs(10);

/// Runs the server for as long as the story takes.
async fn beside<T>(server: impl Future<Output = ()>, story: impl Future<Output = T>) -> T {
    let story = tokio::time::timeout(DEADLINE, story);
    tokio::select! { () = server => panic!("the server ended"), told = story => told.expect("in time") }
}

/// A client that speaks raw lines.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    async fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    /// One line, without its end; empty at the end of the connection.
    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line).await.unwrap();
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    /// Sends a command; the answer's lines up to the tagged one, or to the end of the connection.
    async fn command(&mut self, command: &str) -> Vec<String> {
        let tag = command.split(' ').next().unwrap().to_owned();
        self.send(&format!("{command}\r\n")).await;
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            if line.is_empty() && self.0.fill_buf().await.unwrap().is_empty() {
                return lines;
            }
            let last = line.starts_with(&tag);
            lines.push(line);
            if last {
                return lines;
            }
        }
    }

    async fn signed_in(address: SocketAddr) -> Self {
        let mut client = Self::connect(address).await;
        assert!(client.line().await.starts_with("* OK"));
        assert!(client.command("l LOGIN support pw").await.last().unwrap().starts_with("l OK"));
        client.command("s SELECT INBOX").await;
        client
    }
}

async fn server(options: imap_server::Options) -> (ImapServer, imap_server::Handle, SocketAddr) {
    let server = ImapServer::bind(options).await.unwrap();
    let (handle, address) = (server.handle(), server.address());
    handle.add_user("support", "pw");
    (server, handle, address)
}

#[tokio::test]
async fn a_mail_is_found_fetched_flagged_and_moved() {
    let (server, handle, address) = server(imap_server::Options::default()).await;
    let uid = handle.append_as("support", "INBOX", &b"Subject: a\r\n\r\nbody"[..], UtcMillis(0), &[]);
    handle.create("support", "Done");
    beside(server.serve(), async {
        let mut client = Client::signed_in(address).await;
        let selected = client.command("a SELECT inbox").await;
        assert!(selected.contains(&"* 1 EXISTS".to_owned()), "{selected:?}");
        assert!(selected.contains(&"* OK [UIDNEXT 2] next".to_owned()), "{selected:?}");
        assert_eq!(client.command("b UID SEARCH UID 1:* UNSEEN").await, ["* SEARCH 1", "b OK done"]);
        let fetched = client.command("c UID FETCH 1 (UID FLAGS RFC822.SIZE INTERNALDATE BODY.PEEK[]<9.8>)").await;
        assert_eq!(
            fetched,
            [
                "* 1 FETCH (UID 1 FLAGS () RFC822.SIZE 18 INTERNALDATE \"01-Jan-1970 00:00:00 +0000\" BODY[]<9> {8}",
                "a",
                "",
                "bod)",
                "c OK done"
            ]
        );
        let stored = client.command(r"d UID STORE 1 +FLAGS (\Seen $MailBridge)").await;
        assert_eq!(stored, [r"* 1 FETCH (UID 1 FLAGS ($MailBridge \Seen))", "d OK done"]);
        assert!(handle.flags("support", "INBOX", uid).unwrap().contains("$MailBridge"));
        let moved = client.command("e UID MOVE 1 Done").await;
        assert!(moved[0].starts_with("* OK [COPYUID ") && moved[1] == "* 1 EXPUNGE" && moved[2] == "e OK done");
    })
    .await;
    assert!(handle.messages("support", "INBOX").is_empty());
    assert_eq!(handle.messages("support", "Done")[0].raw, &b"Subject: a\r\n\r\nbody"[..]);
}

#[tokio::test]
async fn idle_tells_of_new_mail_at_once() {
    let (server, handle, address) = server(imap_server::Options::default()).await;
    beside(server.serve(), async {
        let mut client = Client::signed_in(address).await;
        client.send("i IDLE\r\n").await;
        assert_eq!(client.line().await, "+ idling");
        handle.append("support", "INBOX", &b"Subject: new\r\n\r\n"[..]);
        assert_eq!(client.line().await, "* 1 EXISTS");
        client.send("DONE\r\n").await;
        assert_eq!(client.line().await, "i OK done");
    })
    .await;
}

#[tokio::test]
async fn append_takes_both_kinds_of_literals() {
    let (server, handle, address) = server(imap_server::Options::default()).await;
    beside(server.serve(), async {
        let mut client = Client::signed_in(address).await;
        client.send("a APPEND INBOX (\\Seen) {3}\r\n").await;
        assert_eq!(client.line().await, "+ go ahead");
        client.send("abc\r\n").await;
        assert_eq!(client.line().await, "* 1 EXISTS");
        assert!(client.line().await.starts_with("a OK [APPENDUID "));
        let appended = client.command("b APPEND INBOX \" 1-Jan-1970 00:00:01 +0000\" {3+}\r\ndef").await;
        assert!(appended[0] == "* 2 EXISTS" && appended[1].starts_with("b OK [APPENDUID "), "{appended:?}");
    })
    .await;
    let mails = handle.messages("support", "INBOX");
    assert_eq!((&mails[0].raw[..], mails[0].flags.contains("\\Seen")), (&b"abc"[..], true));
    assert_eq!((&mails[1].raw[..], mails[1].internal_date), (&b"def"[..], UtcMillis(1000)));
}

#[tokio::test]
async fn a_copied_mail_is_deleted_alone() {
    let (server, handle, address) = server(imap_server::Options::default().without("MOVE")).await;
    for text in ["one", "two"] {
        handle.append("support", "INBOX", text);
    }
    beside(server.serve(), async {
        let mut client = Client::signed_in(address).await;
        assert!(client.command("a UID MOVE 1 Done").await[0].starts_with("a BAD"));
        assert!(client.command("b UID COPY 1 Done").await[0].starts_with("b NO [TRYCREATE]"));
        client.command("c CREATE Done").await;
        assert!(client.command("d UID COPY 1 Done").await[0].starts_with("d OK [COPYUID"));
        assert_eq!(client.command(r"e UID STORE 1:2 +FLAGS.SILENT (\Deleted)").await, ["e OK done"]);
        assert_eq!(client.command("f UID EXPUNGE 1").await, ["* 1 EXPUNGE", "f OK done"]);
    })
    .await;
    assert_eq!(handle.messages("support", "INBOX").len(), 1);
}

#[tokio::test]
async fn a_poor_server_knows_only_the_base() {
    let (server, handle, address) = server(imap_server::Options::poor()).await;
    handle.append("support", "INBOX", "x");
    beside(server.serve(), async {
        let mut client = Client::signed_in(address).await;
        for command in ["a IDLE", "a ID NIL", "a UID EXPUNGE 1", "a UID MOVE 1 INBOX", "a AUTHENTICATE PLAIN"] {
            assert!(client.command(command).await[0].starts_with("a BAD"), "{command}");
        }
        let selected = client.command("b SELECT INBOX").await.join("\n");
        assert!(!selected.contains("UIDNEXT") && !selected.contains(r"\*"), "{selected}");
        assert_eq!(client.command("c UID STORE 1 +FLAGS ($X)").await, ["* 1 FETCH (UID 1 FLAGS ())", "c OK done"]);
    })
    .await;
}

#[tokio::test]
async fn signing_in_by_plain_and_not_without_the_password() {
    let (server, handle, address) = server(imap_server::Options::default()).await;
    beside(server.serve(), async {
        let mut client = Client::connect(address).await;
        client.line().await;
        assert!(client.command("a LOGIN support no").await[0].starts_with("a NO [AUTHENTICATIONFAILED]"));
        assert!(client.command("b SELECT INBOX").await[0].starts_with("b BAD"));
        assert!(client.command("c AUTHENTICATE PLAIN AHN1cHBvcnQAcHc=").await[0].starts_with("c OK"));
    })
    .await;
    let log: Vec<String> = handle.log().into_iter().map(|logged| logged.line).collect();
    assert_eq!(log, ["a LOGIN support ***", "b SELECT INBOX", "c AUTHENTICATE ***"]);
}

#[tokio::test]
async fn a_server_with_starttls_takes_no_password_before() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let tls = rustls::ServerConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let options = imap_server::Options { tls: Some(tls.into()), ..imap_server::Options::default() };
    let (server, handle, address) = server(options).await;
    beside(server.serve(), async {
        let mut client = Client::connect(address).await;
        assert!(client.line().await.contains("STARTTLS LOGINDISABLED"));
        assert!(client.command("a LOGIN support pw").await[0].starts_with("a NO [PRIVACYREQUIRED]"));
        assert_eq!(client.command("b STARTTLS").await, ["b OK begin TLS"]);
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certified.cert.der().clone()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "localhost".try_into().unwrap();
        let plain = client.0.into_inner();
        let mut stream =
            tokio_rustls::TlsConnector::from(std::sync::Arc::new(config)).connect(name, plain).await.unwrap();
        stream.write_all(b"c LOGIN support pw\r\n").await.unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"c OK");
    })
    .await;
    assert_eq!(handle.connections(), 1);
}

#[tokio::test]
async fn scripted_steps_are_played() {
    let (server, handle, address) = server(imap_server::Options::default()).await;
    handle.append("support", "INBOX", "x");
    beside(server.serve(), async {
        let mut client = Client::signed_in(address).await;
        handle.script([
            Rule::on("UID SEARCH", Step::no("[UNAVAILABLE] later")).nth(1),
            Rule::on("UID SEARCH", Step::Instead(Tagged::Bad("odd".to_owned()))).nth(2),
            Rule::on("UID SEARCH", Step::Before(vec!["7 EXISTS".to_owned()])).nth(3),
            Rule::on("NOOP", Step::Raw(b"* hm\r\n<tag> OK raw\r\n".to_vec())).when(When::From(1)),
            Rule::on("UID FETCH", Step::Cut(9)),
            Rule::on("GREETING", Step::bye("full")).connection(2),
            Rule::on("LOGIN", Step::Close).connection(3),
            Rule::on("SELECT", Step::Without("UIDVALIDITY".to_owned())),
        ]);
        assert_eq!(client.command("a UID SEARCH ALL").await, ["a NO [UNAVAILABLE] later"]);
        assert_eq!(client.command("b UID SEARCH ALL").await, ["* SEARCH 1", "b BAD odd"]);
        assert_eq!(client.command("c UID SEARCH ALL").await, ["* 7 EXISTS", "* SEARCH 1", "c OK done"]);
        assert_eq!(client.command("d NOOP").await, ["* hm", "d OK raw"]);
        let selected = client.command("s SELECT INBOX").await.join(" ");
        assert!(selected.contains("UIDNEXT") && !selected.contains("UIDVALIDITY"), "{selected}");
        assert_eq!(client.command("e UID FETCH 1 (FLAGS)").await, ["* 1 FETCH"]);
        let mut refused = Client::connect(address).await;
        assert_eq!((refused.line().await.as_str(), refused.line().await.as_str()), ("* BYE full", ""));
        let mut closed = Client::connect(address).await;
        closed.line().await;
        assert_eq!(closed.command("f LOGIN support pw").await, Vec::<String>::new());
    })
    .await;
    assert_eq!((handle.connections(), handle.seen("UID SEARCH")), (3, 3));
}

/// Sends these bytes and nothing more; what comes until the connection ends.
async fn last_words(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_stalled_server_hears_and_says_nothing() {
    let (server, handle, address) = server(imap_server::Options::default()).await;
    handle.script([Rule::on("GREETING", Step::Stall)]);
    assert_eq!(beside(server.serve(), last_words(address, "a NOOP\r\n")).await, "");
    assert_eq!(handle.seen("NOOP"), 0);
    let (api, handle, address) = api(superoffice_api::Options::default()).await;
    handle.script([superoffice_api::Rule::on(Call::Search, superoffice_api::Step::stall())]);
    let get = "GET /api/v1/TicketMessage HTTP/1.1\r\n\r\n";
    assert_eq!(beside(api.serve(), last_words(address, get)).await, "");
    assert_eq!(handle.requests().len(), 1);
}

#[tokio::test]
async fn a_server_that_was_away_is_back_on_its_port() {
    let (server, handle, address) = server(imap_server::Options::default()).await;
    beside(server.serve(), async {
        let mut client = Client::signed_in(address).await;
        handle.set_down(true);
        assert_eq!(client.line().await, "");
        handle.set_down(false);
        while TcpStream::connect(address).await.is_err() {
            tokio::task::yield_now().await;
        }
        Client::signed_in(address).await;
    })
    .await;
}

#[tokio::test]
async fn another_uidvalidity_brings_other_uids() {
    let (server, handle, address) = server(imap_server::Options::default()).await;
    for sample in samples::all() {
        handle.append("support", "INBOX", sample.raw.into_owned());
    }
    handle.set_uidvalidity("support", "INBOX", 77, 500);
    beside(server.serve(), async {
        let mut client = Client::signed_in(address).await;
        assert!(client.command("a SELECT INBOX").await.contains(&"* OK [UIDVALIDITY 77] stable".to_owned()));
        assert_eq!(client.command("b UID SEARCH UID 512:*").await, ["* SEARCH 512 513", "b OK done"]);
    })
    .await;
}

/// Sends one request; status and body.
async fn request(address: SocketAddr, method: &str, target: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let text =
        format!("{method} {target} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return (0, answer) };
    (head[9..12].parse().unwrap(), body.to_owned())
}

async fn post(address: SocketAddr, entity: Value) -> (u16, Value) {
    let headers = "Content-Type: application/json; charset=utf-8\r\nAccept: application/json\r\n";
    let (status, body) = request(address, "POST", "/api/v1/TicketMessage", headers, &entity.to_string()).await;
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

async fn api(options: superoffice_api::Options) -> (SuperofficeApi, superoffice_api::Handle, SocketAddr) {
    let api = SuperofficeApi::bind(options).await.unwrap();
    let (handle, address) = (api.handle(), api.address());
    (api, handle, address)
}

#[tokio::test]
async fn a_message_is_stored_and_answered_with_its_keys() {
    let (api, handle, address) = api(superoffice_api::Options::default()).await;
    beside(api.serve(), async {
        let (status, answer) = post(address, json!({ "MessageId": "<a@example.com>", "Ticket": null })).await;
        assert_eq!((status, &answer["EjMessageId"], &answer["Ticket"]["TicketId"]), (200, &json!(1001), &json!(5001)));
        assert!(handle.wait(DEADLINE, |api| api.count() == 1).await);
    })
    .await;
    assert_eq!(handle.violations(), Vec::<String>::new());
    assert_eq!(handle.messages()[0]["MessageId"], "<a@example.com>");
}

#[tokio::test]
async fn a_misspelt_field_is_refused_and_remembered() {
    let (api, handle, address) = api(superoffice_api::Options::default()).await;
    beside(api.serve(), async {
        let (status, answer) = post(address, json!({ "MesageId": "x" })).await;
        assert_eq!((status, &answer["Error"], &answer["ErrorType"]), (400, &json!(true), &json!("ContractViolation")));
        assert_eq!(request(address, "PUT", "/api/v1/TicketMessage", "", "").await.0, 405);
        assert_eq!(request(address, "GET", "/api/v1/TicketMesage", "", "").await.0, 404);
        let (status, _) = request(address, "POST", "/api/v1/TicketMessage?notfy=true", "", "{}").await;
        assert_eq!(status, 400);
    })
    .await;
    assert_eq!(handle.count(), 0);
    assert_eq!(
        handle.violations(),
        [
            "TicketMessageEntity.MesageId: unknown member",
            "PUT /api/v1/TicketMessage: no such call",
            "GET /api/v1/TicketMesage: no such call",
            "header: `Content-Type` is not JSON in UTF-8",
            "query: unknown parameter `notfy`",
        ]
    );
}

#[tokio::test]
async fn messages_are_found_by_message_id_in_pages() {
    let (api, handle, address) = api(superoffice_api::Options { page: 1, ..superoffice_api::Options::default() }).await;
    for qid in ["one", "two"] {
        handle.save(json!({ "MessageId": "<a+b@example.com>", "DebugInfo": format!("mailbridge qid={qid}") }));
    }
    handle.save(json!({ "MessageId": "<other@example.com>" }));
    beside(api.serve(), async {
        let target = "/api/v1/TicketMessage?$select=ticketMessageId,debugInfo&$orderBy=ticketMessageId%20desc\
                      &$filter=messageId%20in%20('%3Ca%2Bb@example.com%3E')";
        let (status, body) = request(address, "GET", target, "", "").await;
        let first: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &first["value"][0]["PrimaryKey"]), (200, &json!("1002")));
        assert_eq!(first["value"][0]["debugInfo"], "mailbridge qid=two");
        let next = first["odata.nextLink"].as_str().unwrap().split_once("/api").unwrap().1;
        let (_, body) = request(address, "GET", &format!("/api{next}"), "", "").await;
        let second: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((&second["value"][0]["PrimaryKey"], &second["odata.nextLink"]), (&json!("1001"), &Value::Null));
    })
    .await;
    assert_eq!(handle.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn an_api_without_search_says_404_and_one_with_a_lock_401() {
    let options = superoffice_api::Options {
        base: "/Cust1".to_owned(),
        authorization: Some("SOTicket 7T:x".to_owned()),
        app_token: Some("app".to_owned()),
        no_search: true,
        ..superoffice_api::Options::default()
    };
    let (api, handle, address) = api(options).await;
    beside(api.serve(), async {
        let target = "/Cust1/api/v1/TicketMessage?$filter=messageId%20eq%20'a'";
        assert_eq!(request(address, "GET", target, "Authorization: SOTicket 7T:x\r\n", "").await.0, 401);
        let keys = "authorization: SoTicket 7T:x\r\nSO-AppToken: app\r\n";
        assert_eq!(request(address, "GET", target, keys, "").await.0, 404);
    })
    .await;
    assert_eq!(handle.violations(), Vec::<String>::new());
    assert_eq!(handle.requests()[1].header("so-apptoken"), Some("app"));
}

#[tokio::test]
async fn the_api_plays_its_script() {
    let (api, handle, address) = api(superoffice_api::Options::default()).await;
    let wait = superoffice_api::Step::status(503, "").header("Retry-After", "1");
    handle.script([
        superoffice_api::Rule::on(Call::Post, wait).nth(1),
        superoffice_api::Rule::on(Call::Any, superoffice_api::Step::html()).nth(2),
        superoffice_api::Rule::on(Call::Post, superoffice_api::Step::cut(0).stored()).nth(3),
        superoffice_api::Rule::on(Call::Post, superoffice_api::Step::status(500, "{}").stored()).nth(4),
        superoffice_api::Rule::on(Call::Post, superoffice_api::Step::cut(20)).nth(5),
    ]);
    beside(api.serve(), async {
        assert_eq!(post(address, json!({})).await, (503, Value::Null));
        assert_eq!((post(address, json!({})).await, handle.count()), ((200, Value::Null), 0));
        assert_eq!((post(address, json!({})).await, handle.count()), ((0, Value::Null), 1));
        assert_eq!((post(address, json!({})).await, handle.count()), ((500, json!({})), 2));
        assert_eq!((post(address, json!({})).await.0, handle.count()), (0, 3));
        assert_eq!((post(address, json!({})).await.0, handle.count()), (200, 4));
    })
    .await;
}
