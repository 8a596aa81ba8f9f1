//! The headers that say who we are: the sign-in, and the fixed ones of the API page. A value that is secret is marked
//! sensitive, so that no debug print shows it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret as _;

use super::error::Error;
use crate::config;
use crate::config::Secret;
use crate::config::tenant::Auth;
use crate::telemetry::personal::{HIDDEN, gives_away};

/// Content-Type and Accept of the API page.
pub(super) const JSON: &str = "application/json; charset=utf-8";

/// The sign-in that is meant: by what is given when the option does not say.
pub(super) fn scheme(options: &config::Tenant) -> Result<Option<Auth>, String> {
    let wanted = match options.auth {
        Auth::Inferred if !options.username.is_empty() => Some(Auth::Basic),
        Auth::Inferred => options.token.as_ref().map(|_| Auth::Bearer),
        named => Some(named),
    };
    match wanted {
        Some(Auth::Basic) if options.username.is_empty() => Err("auth = \"basic\" needs username".to_owned()),
        Some(Auth::Basic) if options.password.is_none() => Err("auth = \"basic\" needs password".to_owned()),
        Some(Auth::SoTicket | Auth::Bearer) if options.token.is_none() => {
            Err("auth = \"bearer\" and \"soticket\" need token".to_owned())
        }
        _ => Ok(wanted),
    }
}

/// The headers that hold no secret.
pub(super) fn fixed(options: &config::Tenant) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(JSON));
    for (name, option, text) in [
        (ACCEPT_LANGUAGE, "accept_language", &options.accept_language),
        (HeaderName::from_static("so-language"), "language", &options.language),
        (HeaderName::from_static("so-culture"), "culture", &options.culture),
        (HeaderName::from_static("so-timezone"), "timezone", &options.timezone),
    ] {
        if !text.is_empty() {
            let value = HeaderValue::from_str(text).map_err(|_| format!("{option} cannot be sent as a header"))?;
            headers.insert(name, value);
        }
    }
    Ok(headers)
}

/// Reads the secrets and makes the headers from them.
pub(super) async fn secret_headers(tenant: &str, options: &config::Tenant) -> Result<HeaderMap, Error> {
    let wrong = |reason| Error::Options { tenant: tenant.to_owned(), reason };
    let mut headers = HeaderMap::new();
    let value = match scheme(options).map_err(wrong)? {
        Some(Auth::Basic) => {
            let password = read("password", options.password.as_ref()).await?.unwrap_or_default();
            Some(format!("Basic {}", STANDARD.encode(format!("{}:{password}", options.username))))
        }
        Some(Auth::SoTicket) => read("token", options.token.as_ref()).await?.map(|token| format!("SOTicket {token}")),
        Some(Auth::Bearer) => read("token", options.token.as_ref()).await?.map(|token| format!("Bearer {token}")),
        Some(Auth::Inferred) | None => None,
    };
    let app_token = read("app_token", options.app_token.as_ref()).await?;
    let xsrf_token = read("xsrf_token", options.xsrf_token.as_ref()).await?;
    for (name, option, text) in [
        (AUTHORIZATION, "token or password", value),
        (HeaderName::from_static("so-apptoken"), "app_token", app_token),
        (HeaderName::from_static("x-xsrf-token"), "xsrf_token", xsrf_token),
    ] {
        if let Some(text) = text {
            headers.insert(name, sensitive(&text).map_err(|_| wrong(format!("{option} cannot be sent as a header")))?);
        }
    }
    Ok(headers)
}

/// A text without what these headers keep secret, in the forms in which it was sent or written down.
pub(super) fn without_secrets(mut text: String, headers: &HeaderMap) -> String {
    for secret in secrets(headers).filter(|secret| !secret.is_empty()) {
        if text.contains(&secret) {
            text = text.replace(&secret, "(secret)");
        }
        if gives_away(&text, &secret) {
            HIDDEN.clone_into(&mut text);
        }
    }
    text
}

/// The secrets in headers that [`secret_headers`] has made.
fn secrets(headers: &HeaderMap) -> impl Iterator<Item = String> {
    let credentials = headers.values().filter_map(|value| value.to_str().ok()?.split(' ').next_back());
    credentials.flat_map(|credential| {
        let plain = STANDARD.decode(credential).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let password =
            plain.as_deref().and_then(|plain| plain.split_once(':')).map(|(_, password)| password.to_owned());
        [Some(credential.to_owned()), plain, password].into_iter().flatten()
    })
}

fn sensitive(text: &str) -> Result<HeaderValue, reqwest::header::InvalidHeaderValue> {
    let mut value = HeaderValue::from_str(text)?;
    value.set_sensitive(true);
    Ok(value)
}

async fn read(option: &'static str, secret: Option<&Secret>) -> Result<Option<String>, Error> {
    match secret {
        None => Ok(None),
        Some(secret) => match secret.read().await {
            Ok(text) => Ok(Some(text.expose_secret().trim().to_owned())),
            Err(source) => Err(Error::Secret { option, source }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Option<Secret> {
        Some(Secret::Plain(text.to_owned()))
    }

    #[track_caller]
    fn check(options: &config::Tenant, expected: &[(&str, &str)]) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let headers = runtime.block_on(secret_headers("main", options)).expect("headers");
        let found: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().expect("text"))).collect();
        assert_eq!(found, expected);
        assert!(headers.values().all(HeaderValue::is_sensitive));
    }

    #[test]
    fn the_sign_in_is_the_one_that_is_meant() {
        let none = config::Tenant::default();
        check(&none, &[]);
        let basic = config::Tenant { username: "tim".into(), password: plain("Tim0"), ..none.clone() };
        check(&basic, &[("authorization", "Basic dGltOlRpbTA=")]);
        let bearer = config::Tenant { token: plain("8A:Cust1.x"), ..none.clone() };
        check(&bearer, &[("authorization", "Bearer 8A:Cust1.x")]);
        let ticket =
            config::Tenant { auth: Auth::SoTicket, token: plain("7T:abc\n"), app_token: plain("s3cret"), ..none };
        check(&ticket, &[("authorization", "SOTicket 7T:abc"), ("so-apptoken", "s3cret")]);
        check(&config::Tenant { xsrf_token: plain("x"), ..config::Tenant::default() }, &[("x-xsrf-token", "x")]);
    }

    #[test]
    fn a_secret_is_taken_out_in_every_form() {
        let value = |text: &'static str| HeaderValue::from_static(text);
        let headers: HeaderMap =
            [(AUTHORIZATION, value("Basic dGltOlRpbTA=")), (HeaderName::from_static("so-apptoken"), value("s3cret"))]
                .into_iter()
                .collect();
        let said = "no tim:Tim0, no Tim0, no dGltOlRpbTA=, no [s3cret]".to_owned();
        let expected = "no (secret), no (secret), no (secret), no [(secret)]";
        assert_eq!(without_secrets(said, &headers), expected);
    }

    #[test]
    fn half_a_sign_in_is_a_mistake() {
        let none = config::Tenant::default();
        assert!(scheme(&config::Tenant { username: "tim".into(), ..none.clone() }).is_err());
        assert!(scheme(&config::Tenant { auth: Auth::Basic, password: plain("x"), ..none.clone() }).is_err());
        assert!(scheme(&config::Tenant { auth: Auth::Bearer, ..none }).is_err());
    }

    #[test]
    fn empty_options_send_no_header() {
        let options = config::Tenant { culture: String::new(), accept_language: "en".into(), ..Default::default() };
        let headers = fixed(&options).expect("headers");
        let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["accept", "accept-language", "so-language", "so-timezone"]);
        assert!(fixed(&config::Tenant { language: "e\nn".into(), ..Default::default() }).is_err());
    }
}
