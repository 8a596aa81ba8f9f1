//! The sign-in: AUTHENTICATE PLAIN (RFC 4616, RFC 4959) and LOGIN (RFC 9051 §6.2.3). Tells "wrong password" from "not
//! now", so that an account is not locked by our patience and a person is not called for a busy server.
//!
//! Both mechanisms hand the password to the server; that the connection is protected is `connect`'s care.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};

use super::answer::{Completion, Status};
use super::capability::Capabilities;
use super::command::{Command, Outcome, Wire};
use super::error::Error;
use super::frame::Bounds;
use crate::config;
use crate::config::mailbox::ImapAuth;
use crate::telemetry::personal::{HIDDEN, gives_away};

/// Which mechanism is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    Plain,
    Login,
}

impl Mechanism {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }
}

/// Signs in. The mechanism's name and the server's answer.
pub(super) async fn sign_in(
    wire: &mut Wire,
    capabilities: &Capabilities,
    mailbox: &config::Mailbox,
) -> Result<(&'static str, Completion), Error> {
    let mechanism = choose(mailbox.auth, capabilities)?;
    let password = match &mailbox.password {
        Some(secret) => secret.read().await?,
        None => SecretString::default(),
    };
    let command = match mechanism {
        Mechanism::Plain => plain(&mailbox.user, password.expose_secret(), capabilities.has("SASL-IR"))?,
        Mechanism::Login => login(&mailbox.user, password.expose_secret())?,
    };
    let sent = command.parts.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect::<Vec<_>>();
    let mut outcome = wire.run(command, |_| {}).await?;
    // Some servers say what they were sent; the last word of AUTHENTICATE is the password in base64.
    let words = sent.last().into_iter().flat_map(|part| part.split(' ').next_back());
    if words.chain([password.expose_secret()]).any(|secret| gives_away(&outcome.completion.text, secret)) {
        HIDDEN.clone_into(&mut outcome.completion.text);
    }
    judge(outcome, mechanism).map(|completion| (mechanism.as_str(), completion))
}

fn choose(wanted: ImapAuth, capabilities: &Capabilities) -> Result<Mechanism, Error> {
    let plain = capabilities.has("AUTH=PLAIN");
    let login = !capabilities.has("LOGINDISABLED");
    let none = |reason| Err(Error::NoMechanism { reason });
    match wanted {
        ImapAuth::Auto | ImapAuth::Plain if plain => Ok(Mechanism::Plain),
        ImapAuth::Plain if capabilities.unknown() => Ok(Mechanism::Plain),
        ImapAuth::Plain => none("it does not offer AUTH=PLAIN"),
        ImapAuth::Auto | ImapAuth::Login if login => Ok(Mechanism::Login),
        ImapAuth::Auto => none("it says LOGINDISABLED and does not offer AUTH=PLAIN"),
        ImapAuth::Login => none("it says LOGINDISABLED"),
    }
}

fn plain(user: &str, password: &str, initial_response: bool) -> Result<Command, Error> {
    without_nul("user", user)?;
    without_nul("password", password)?;
    let response = STANDARD.encode(format!("\0{user}\0{password}"));
    let parts = match initial_response {
        true => vec![format!("AUTHENTICATE PLAIN {response}").into_bytes()],
        false => vec![b"AUTHENTICATE PLAIN".to_vec(), response.into_bytes()],
    };
    Ok(Command { name: "AUTHENTICATE", parts, bounds: Bounds::default() })
}

/// As quoted strings where they can say it, else as literals.
fn login(user: &str, password: &str) -> Result<Command, Error> {
    without_nul("user", user)?;
    without_nul("password", password)?;
    let quotable = |text: &str| text.bytes().all(|b| (b' '..0x7f).contains(&b)) && text.len() <= 1000;
    let parts = match quotable(user) && quotable(password) {
        true => vec![format!("LOGIN {} {}", quoted(user), quoted(password)).into_bytes()],
        false => vec![
            format!("LOGIN {{{}}}", user.len()).into_bytes(),
            format!("{user} {{{}}}", password.len()).into_bytes(),
            password.as_bytes().to_vec(),
        ],
    };
    Ok(Command { name: "LOGIN", parts, bounds: Bounds::default() })
}

fn without_nul(what: &'static str, text: &str) -> Result<(), Error> {
    match text.contains('\0') {
        true => Err(Error::Unsendable { what, reason: "it holds a NUL character" }),
        false => Ok(()),
    }
}

/// A quoted string (RFC 9051 §4.3). The caller has made sure that there is no CR, LF or NUL in it.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A NO that blames the account is a denial; one that blames the moment is not.
fn judge(outcome: Outcome, mechanism: Mechanism) -> Result<Completion, Error> {
    let denied = match outcome.completion.word() {
        "AUTHENTICATIONFAILED" | "AUTHORIZATIONFAILED" | "EXPIRED" | "PRIVACYREQUIRED" | "CONTACTADMIN" => true,
        "UNAVAILABLE" | "INUSE" | "LIMIT" | "SERVERBUG" | "THROTTLED" | "OVERQUOTA" => false,
        _ => !speaks_of_the_moment(&outcome.completion.text),
    };
    match outcome.status {
        Status::No if denied => Err(Error::Denied { mechanism: mechanism.as_str(), text: outcome.completion.text }),
        Status::Ok | Status::No | Status::Bad => outcome.accepted(),
    }
}

fn speaks_of_the_moment(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["too many", "connections", "temporar", "try again", "unavailable", "throttl", "internal error", "busy"]
        .iter()
        .any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wanted: ImapAuth, offered: &[&str], expected: Option<Mechanism>) {
        let capabilities = offered.iter().map(ToString::to_string).collect();
        assert_eq!(choose(wanted, &capabilities).ok(), expected, "{wanted:?} {offered:?}");
    }

    #[test]
    fn the_mechanism_follows_the_offer() {
        use Mechanism::{Login, Plain};
        check(ImapAuth::Auto, &["IMAP4REV1", "AUTH=PLAIN"], Some(Plain));
        check(ImapAuth::Auto, &["IMAP4REV1"], Some(Login));
        check(ImapAuth::Auto, &[], Some(Login));
        check(ImapAuth::Auto, &["IMAP4REV1", "LOGINDISABLED"], None);
        check(ImapAuth::Auto, &["LOGINDISABLED", "AUTH=PLAIN"], Some(Plain));
        check(ImapAuth::Login, &["LOGINDISABLED", "AUTH=PLAIN"], None);
        check(ImapAuth::Plain, &["IMAP4REV1"], None);
        check(ImapAuth::Plain, &[], Some(Plain));
    }

    #[test]
    fn any_password_can_be_said() {
        let parts = |command: Command| command.parts.into_iter().map(|part| String::from_utf8(part).expect("text"));
        let quoted: Vec<String> = parts(login("u", r#"a"b\c"#).expect("a command")).collect();
        assert_eq!(quoted, [r#"LOGIN "u" "a\"b\\c""#]);
        let literals: Vec<String> = parts(login("u", "pä\r\n").expect("a command")).collect();
        assert_eq!(literals, ["LOGIN {1}", "u {5}", "pä\r\n"]);
        let plain: Vec<String> = parts(plain("u", "p", true).expect("a command")).collect();
        assert_eq!(plain, ["AUTHENTICATE PLAIN AHUAcA=="]);
        assert!(login("u", "a\0b").is_err());
    }

    #[track_caller]
    fn check_judgement(code: &str, text: &str, denied: bool) {
        let code = (!code.is_empty()).then(|| super::super::answer::Code::Word(code.to_owned()));
        let completion = Completion { code, text: text.to_owned() };
        let outcome = Outcome { name: "LOGIN", status: Status::No, completion };
        let error = judge(outcome, Mechanism::Login).expect_err("a refusal");
        assert_eq!(matches!(error, Error::Denied { .. }), denied, "{error}");
    }

    #[test]
    fn wrong_password_and_not_now_are_told_apart() {
        check_judgement("AUTHENTICATIONFAILED", "Authentication failed.", true);
        check_judgement("", "LOGIN failed.", true);
        check_judgement("UNAVAILABLE", "later", false);
        check_judgement("", "Maximum number of connections from user+IP exceeded", false);
        check_judgement("ALERT", "Too many simultaneous connections. (Failure)", false);
    }
}
