//! Sample mails: what mail can be, in a dozen examples. Every address lies in a domain that is kept for examples.

use std::borrow::Cow;

/// Lines of the large sample; each is 64 bytes.
const LARGE_LINES: usize = 3200;

/// One sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// What it is called.
    pub name: &'static str,
    /// The raw mail.
    pub raw: Cow<'static, [u8]>,
}

macro_rules! samples {
    ($($name:literal),+ $(,)?) => {
        [$(Sample { name: $name, raw: Cow::Borrowed(include_bytes!(concat!($name, ".eml"))) }),+]
    };
}

/// All samples, in the order in which they arrive.
#[must_use]
pub fn all() -> Vec<Sample> {
    let mut all = samples![
        "01-plain",
        "02-newsletter",
        "03-attachments",
        "04-reply",
        "05-japanese",
        "06-latin1",
        "07-out-of-office",
        "08-bounce",
        "09-no-headers",
        "10-empty",
        "11-invitation",
        "12-nested",
        "13-broken",
    ]
    .to_vec();
    all.push(Sample { name: "14-large", raw: Cow::Owned(large()) });
    all
}

/// A log file of 200 KiB pasted into a mail.
fn large() -> Vec<u8> {
    let mut mail = String::from(
        "From: build@example.com\r\nTo: support@example.org\r\nSubject: Log of the night's run\r\n\
         Date: Wed, 11 Nov 2026 03:00:00 +0000\r\nMessage-ID: <night-315@example.com>\r\n\r\n",
    );
    for line in 1..=LARGE_LINES {
        mail.push_str(&format!("{line:06} everything is as it should be, and it goes on like that\r\n"));
    }
    mail.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_sample_has_its_own_name_and_bytes() {
        let all = all();
        let names: BTreeSet<_> = all.iter().map(|sample| sample.name).collect();
        let contents: BTreeSet<_> = all.iter().map(|sample| sample.raw.as_ref()).collect();
        assert_eq!((names.len(), contents.len()), (all.len(), all.len()));
        assert!(all.iter().any(|sample| sample.raw.len() > 200_000));
    }

    #[test]
    fn addresses_lie_in_example_domains() {
        for sample in all() {
            let text = String::from_utf8_lossy(&sample.raw).into_owned();
            for after in text.split('@').skip(1) {
                let domain: String =
                    after.chars().take_while(|c| c.is_ascii_alphanumeric() || "-.".contains(*c)).collect();
                let domain = domain.trim_end_matches('.');
                // The Japanese text has the byte of @ in its escape sequences.
                if !domain.contains('.') {
                    continue;
                }
                assert!(
                    domain.ends_with("example.com") || domain.ends_with("example.org"),
                    "{}: {domain}",
                    sample.name
                );
            }
        }
    }
}
