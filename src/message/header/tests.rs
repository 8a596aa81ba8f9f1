//! Tables of header blocks.

use super::*;

#[track_caller]
fn check(raw: &[u8], names: &[&str], body: &[u8]) {
    let mut defects = Vec::new();
    let headers = split(raw, &Limits::default(), &mut defects);
    let found: Vec<_> = headers.fields.iter().map(|f| String::from_utf8_lossy(f.name).into_owned()).collect();
    assert_eq!(found, names, "{defects:?}");
    assert_eq!(&raw[headers.body..], body);
}

#[test]
fn a_block_ends_at_the_empty_line_whatever_ends_the_lines() {
    check(b"A: 1\r\nB: 2\r\n x\r\n\r\nbody", &["A", "B"], b"body");
    check(b"A: 1\nB: 2\n\nbody", &["A", "B"], b"body");
    check(b"A: 1\rB: 2\r\rbody", &["A", "B"], b"body");
    check(b" \r\n\r\nA : 1\r\n\r\nbody", &["A"], b"body");
    check(b"From x Mon\nA: 1\n\nbody", &["A"], b"body");
    check(b"A: 1\n", &["A"], b"");
    check(b"", &[], b"");
    check(b"A: 1\r\r\nB: 2\r\r\n\r\r\nbody", &["A", "B"], b"body");
    check(b"A: 1\rB: 2\r\nC: 3\n\nbody", &["A", "B", "C"], b"body");
    check(b"A: 1\rB: 2\r\rbody\nmore", &["A", "B"], b"body\nmore");
    check(b"A: a\rb\nB: 2\n\nbody", &["A", "B"], b"body");
}

#[test]
fn a_byte_order_mark_stays_in_the_block() {
    let raw = "\u{feff}A: 1\n\nbody".as_bytes();
    assert_eq!(split(raw, &Limits::default(), &mut Vec::new()).block, "\u{feff}A: 1\n".as_bytes());
}

#[test]
fn what_stands_before_the_fields_is_passed() {
    check("\u{feff}A: 1\n\nbody".as_bytes(), &["A"], b"body");
    check(b"From x\n>From y\nA: 1\n\nbody", &["A"], b"body");
    check(b"\n\nFrom x\nA: 1\n\nbody", &["A"], b"body");
    check(b" lost\nFrom: a\n b\nTo: b\n\nbody", &["From", "To"], b"body");
    check(b"lost\nFrom: a\nis from a\n", &[], b"lost\nFrom: a\nis from a\n");
}

#[test]
fn a_fold_without_its_blank_is_seen_where_the_field_is_unfinished() {
    check(b"Content-Type: a/b;\nboundary=\"x:y\"\nB: 2\n\nbody", &["Content-Type", "B"], b"body");
    check(b"References: <a@b>, <c\nd@e>\n\nbody", &["References"], b"body");
    check(b"To: a@b,\nc@d\n e@f\n\nbody", &["To"], b"body");
    check(b"Subject: Hello,\nand this is text\n", &["Subject"], b"and this is text\n");
    check(b"To: a@b,\nCc: c@d\n\n", &["To", "Cc"], b"");
    check(b"To: \"a\n\nbody", &["To"], b"body");
}

#[track_caller]
fn first(raw: &[u8], name: &str, expected: &str, codes: &[&str]) {
    let mut defects = Vec::new();
    let headers = split(raw, &Limits::default(), &mut defects);
    headers.tell_doubles(&mut defects);
    assert_eq!(headers.text(name), expected);
    assert_eq!(defects.iter().map(|defect| defect.code.as_str()).collect::<Vec<_>>(), codes);
    assert!(headers.counting(name).count() <= 1);
}

#[test]
fn the_first_of_two_that_says_anything_wins() {
    first(b"Subject: a\nSubject: b\n\n", "Subject", "a", &["duplicate-header"]);
    first(b"SUBJECT:\nsubject : b\n\n", "Subject", "b", &["duplicate-header"]);
    first(b"Subject:\n\n", "Subject", "", &[]);
    first(b"X: a\n\n", "Subject", "", &[]);
}

#[test]
fn bytes_beyond_ascii_are_read_line_by_line() {
    let raw = b"Subject: \xd0\xd2\xc9\nFrom: \xd0\xbf\nContent-Type: text/plain; charset=koi8-r\n\n";
    first(raw, "Subject", "при", &[]);
    first(raw, "From", "п", &[]);
    first(b"Subject: \xe4\nContent-Type: text/plain; charset=utf-8\n\n", "Subject", "ä", &[]);
    assert_eq!(block_text(b"A: \xc3\xa4\r\nB: \xe4\0\r\n\r\n"), "A: ä\nB: ä\u{fffd}");
}

#[test]
fn garbage_between_fields_is_passed_and_text_behind_them_is_body() {
    check(b"A: 1\ngarbage\nB: 2\n\nbody", &["A", "B"], b"body");
    check(b"A: 1\nno empty line\nhere\n", &["A"], b"no empty line\nhere\n");
    check(b"only text\nhere", &[], b"only text\nhere");
    check(b"\nonly text", &[], b"only text");
}

#[test]
fn bounds_are_kept_and_told() {
    let limits = Limits { header_count: 1, ..Limits::default() };
    let mut defects = Vec::new();
    let headers = split(b"A: 1\nB: 2\n\nbody", &limits, &mut defects);
    assert_eq!((headers.fields.len(), headers.body), (1, 11));
    assert_eq!(defects, [Defect::new("header-count", "")]);
}

#[test]
fn folds_become_one_blank() {
    assert_eq!(unfold(b" a\r\n\t b\n c \r\n"), "a b c");
    assert_eq!(unfold(b"gr\xfc\xdfe\x00x"), "grüße x");
}
