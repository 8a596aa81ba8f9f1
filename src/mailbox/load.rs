//! What one FETCH asks for: mails in loads that are bounded by count and bytes.

use crate::imap::fetch::{Metadata, Section};

/// What one FETCH asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Load {
    pub(super) mails: Vec<Metadata>,
    pub(super) section: Section,
}

/// What is asked for of a mail, by itself.
pub(super) fn section_of(mail: &Metadata, largest: u64) -> Section {
    if mail.size > largest { Section::Header } else { Section::Whole }
}

/// The mails in loads of at most `count` mails and `bytes` bytes (one mail at least), in the order of their UIDs. A mail
/// that is larger than `above` goes alone, and one that is larger than `largest` with its headers only.
pub(super) fn plan(mails: &[Metadata], count: usize, bytes: u64, largest: u64, above: u64) -> Vec<Load> {
    let mut loads: Vec<Load> = Vec::new();
    let mut sum = 0_u64;
    for mail in mails {
        let section = section_of(mail, largest);
        let alone = |mail: &Metadata| mail.size > above.min(largest);
        let open = loads.last_mut().filter(|load| {
            !alone(mail)
                && !load.mails.iter().any(alone)
                && load.mails.len() < count.max(1)
                && sum.saturating_add(mail.size) <= bytes
        });
        match open {
            Some(load) => {
                load.mails.push(*mail);
                sum = sum.saturating_add(mail.size);
            }
            None => {
                loads.push(Load { mails: vec![*mail], section });
                sum = mail.size;
            }
        }
    }
    loads
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Uid;

    #[track_caller]
    fn check(sizes: &[u64], expected: &[&[u32]]) {
        let mails: Vec<Metadata> = (1_u32..)
            .zip(sizes)
            .map(|(uid, size)| Metadata { uid: Uid(uid), size: *size, internal_date: None })
            .collect();
        let loads = plan(&mails, 3, 100, 500, 90);
        let uids: Vec<Vec<u32>> = loads.iter().map(|load| load.mails.iter().map(|mail| mail.uid.0).collect()).collect();
        assert_eq!(uids, expected);
    }

    #[test]
    fn loads_are_bounded_by_count_and_bytes() {
        check(&[], &[]);
        check(&[1, 1, 1, 1], &[&[1, 2, 3], &[4]]);
        check(&[60, 60, 40, 1], &[&[1], &[2, 3], &[4]]);
        check(&[1, 91, 1], &[&[1], &[2], &[3]]);
        check(&[1, 400, 1], &[&[1], &[2], &[3]]);
    }

    #[test]
    fn a_mail_that_is_too_large_goes_alone_as_headers() {
        check(&[1, 501, 1], &[&[1], &[2], &[3]]);
        let large = Metadata { uid: Uid(1), size: 501, internal_date: None };
        assert_eq!(plan(&[large], 3, 100, 500, 90), [Load { mails: vec![large], section: Section::Header }]);
    }
}
