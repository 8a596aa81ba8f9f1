//! Tables of address lists.

use super::*;

fn read(value: &str, max: usize) -> List {
    let mut list = List::default();
    Reader::new(value, max, &mut list).read();
    list
}

#[track_caller]
fn check(value: &str, expected: &[(&str, &str)]) {
    let list = read(value, 100);
    let found: Vec<_> = list.addresses.iter().map(|a| (a.name.as_str(), a.address.as_str())).collect();
    assert_eq!(found, expected, "{value}");
}

#[test]
fn lists_are_read() {
    check("a@b", &[("", "a@b")]);
    check("Ann <a@b>, \"B, C\" <c@d>", &[("Ann", "a@b"), ("B, C", "c@d")]);
    check("a@b (Ann (x))", &[("Ann (x)", "a@b")]);
    check("a@b (Ann \\) x)", &[("Ann ) x", "a@b")]);
    check("\"Ann \\\"A\\\" B\" <a@b>", &[("Ann \"A\" B", "a@b")]);
    check("\"Ann \\\"A\\\"\" <a@b>", &[("Ann \"A\"", "a@b")]);
    check("\"'Ann'\" <a@b>, '\"Bob\"' <c@d>", &[("Ann", "a@b"), ("Bob", "c@d")]);
    check("<a@b> (Ann)", &[("Ann", "a@b")]);
    check("<a@b> Ann", &[("Ann", "a@b")]);
    check("Ann <a@b> via list", &[("Ann", "a@b")]);
    check("a@b,,c@d,", &[("", "a@b"), ("", "c@d")]);
    check("", &[]);
    check("<>", &[]);
    check("MAILER-DAEMON", &[]);
    check("Daemon <MAILER-DAEMON>", &[("Daemon", "MAILER-DAEMON")]);
    check("ann@example.org <>", &[("", "ann@example.org")]);
    check("Jos\u{e9} <jos\u{e9}@ex\u{e4}mple.org>", &[("José", "josé@exämple.org")]);
}

#[test]
fn groups_are_passed_over() {
    check("team: a@b, Ann <c@d>;, e@f", &[("", "a@b"), ("Ann", "c@d"), ("", "e@f")]);
    check("undisclosed-recipients:;", &[]);
    check("Undisclosed recipients (nobody(that I know)) :;", &[]);
    check(
        "A Group(Some people):Chris Jones <c@(Chris's host.)public.example>, joe@example.org;",
        &[("Chris Jones", "c@public.example"), ("", "joe@example.org")],
    );
    check("one:a@b;two:c@d;", &[("", "a@b"), ("", "c@d")]);
    check("Managing Partners:ben@b.example,carol@b.example;", &[("", "ben@b.example"), ("", "carol@b.example")]);
}

#[test]
fn local_parts_and_domains_may_be_odd() {
    check("\"a b\"@c", &[("", "\"a b\"@c")]);
    check("X <\"a, <b>\"@c>", &[("X", "\"a, <b>\"@c")]);
    check("\"a\\\"b\"@c, d@e", &[("", "\"a\\\"b\"@c"), ("", "d@e")]);
    check("<@x,@y:a@b>", &[("", "a@b")]);
    check("a@[192.0.2.1]", &[("", "a@[192.0.2.1]")]);
    check("X <a@[IPv6:2001:db8::1]>", &[("X", "a@[IPv6:2001:db8::1]")]);
    check("Ann a@b . example, c@d. example (x)", &[("", "a@b.example"), ("x", "c@d.example")]);
    check("joe @ example . org", &[("", "joe@example.org")]);
    check("Pete(A \\) chap) <pete(his account)@silly.test(his host)>", &[("Pete", "pete@silly.test")]);
    check("pete(x)@silly.test", &[("x", "pete@silly.test")]);
    check("/G=Ann/S=B/@gw.example", &[("", "/G=Ann/S=B/@gw.example")]);
}

#[test]
fn signs_that_are_missing_or_too_many_are_lived_with() {
    check("Doe, John <a@b>", &[("Doe, John", "a@b")]);
    check("Doe, John <a@b>, Roe, Ann <c@d>", &[("Doe, John", "a@b"), ("Roe, Ann", "c@d")]);
    check("a@b; Ann <c@d>; e@f;", &[("", "a@b"), ("Ann", "c@d"), ("", "e@f")]);
    check("a@b c@d\te@f", &[("", "a@b"), ("", "c@d"), ("", "e@f")]);
    check("Bob <a@b> Bobby <c@d>", &[("Bob", "a@b"), ("Bobby", "c@d")]);
    check("<a@b><c@d>", &[("", "a@b"), ("", "c@d")]);
    check("a@b <a@b> <mailto:a@b>", &[("a@b", "a@b")]);
    check("Ann <ann> <a@b>", &[("Ann", "a@b")]);
    check("Ann <<a@b>>", &[("Ann", "a@b")]);
    check("Ann <a@b, Bob <c@d>", &[("Ann", "a@b"), ("Bob", "c@d")]);
    check("Ann <a@b", &[("Ann", "a@b")]);
    check("a@b>", &[("", "a@b")]);
    check("\"Ann <a@b>", &[("Ann", "a@b")]);
    check("Ann \"x <a@b>, Bob <c@d>", &[("Ann x", "a@b"), ("Bob", "c@d")]);
    check("(Ann <a@b>", &[("Ann", "a@b")]);
    check("Ann :-) <a@b>", &[("-)", "a@b")]);
    check("<MAILTO:a@b>", &[("", "a@b")]);
    check("mailto:a@b", &[("", "a@b")]);
    check("Ann [mailto:a@b]", &[("", "a@b")]);
    check("'a@b'", &[("", "a@b")]);
    check("'Ann' <a@b>", &[("Ann", "a@b")]);
    check("<a@b,c@d>", &[("", "a@b"), ("", "c@d")]);
    check("@", &[]);
    check("Mr. a@b", &[("", "a@b")]);
}

#[test]
fn encoded_words_stand_anywhere() {
    check("=?utf-8?Q?=C3=84nn=2C?= <a@b>", &[("Änn,", "a@b")]);
    check("=?utf-8?Q?Doe,_J:_(x)_<y>;?= <a@b>", &[("Doe, J: (x) <y>;", "a@b")]);
    check("\"=?utf-8?Q?=C3=84nn?=\" <a@b>", &[("Änn", "a@b")]);
    check("=?utf-8?Q?=22=C3=84nn=22?= <a@b>", &[("Änn", "a@b")]);
    check("\"=?utf-8?Q?=C3=84nn?=\" =?utf-8?Q?B?= <a@b>", &[("Änn B", "a@b")]);
    check("a@b (=?utf-8?Q?=C3=84nn?=)", &[("Änn", "a@b")]);
    check("=?utf-8?Q?a=40b?=", &[("", "a@b")]);
    check("=?utf-8?Q?=C3=84nn_=3Ca=40b=3E?=", &[("Änn", "a@b")]);
    check("X <=?utf-8?Q?a=40b?=>", &[("X", "a@b")]);
    check("=?utf-8?Q?=C3?= =?utf-8?Q?=84nn?= <a@b>", &[("Änn", "a@b")]);
}

#[test]
fn nothing_in_an_address_adds_another_recipient() {
    for value in ["X <=?utf-8?q?a@b,c@d?=>", "X <=?utf-8?q?a@b=3E,_<c@d?=>", "X <=?utf-8?q?a@b=0D=0ABcc:c@d?=>"] {
        let list = read(value, 100);
        let [address] = list.addresses.as_slice() else { panic!("{value}: {:?}", list.addresses) };
        assert!(!address.address.contains([',', '<', '>', '\r', '\n', ' ']), "{address:?}");
    }
    check("=?utf-8?q?x=0D=0ABcc:_c@d?= <a@b>", &[("x Bcc: c@d", "a@b")]);
}

#[test]
fn what_is_hidden_is_taken_from_names_and_shown_in_addresses() {
    check("A\u{202e}nn\u{200b} <a\u{200b}b@c>", &[("Ann", "a\u{fffd}b@c")]);
    assert!(read("A\u{202e}nn <a@b>", 9).hides && read("Ann <a\u{200b}@b>", 9).hides && !read("Änn <a@b>", 9).hides);
}

#[test]
fn domains_have_two_forms() {
    for (address, expected) in [
        ("a@example.org", None),
        ("a@xn--bcher-kva.example", Some("bücher.example")),
        ("a@XN--BCHER-KVA.example", Some("bücher.example")),
        ("a@bücher.example", Some("xn--bcher-kva.example")),
        ("a@xn--80ak6aa92e.com", None),
        ("a@xn--pypal-4ve.com", None),
        ("a@xn--a", None),
        ("root", None),
    ] {
        let address = Address { name: String::new(), address: address.to_owned() };
        assert_eq!(address.other_domain().as_deref(), expected, "{}", address.address);
    }
}

#[test]
fn doubtful_senders_are_told() {
    for (value, expected) in [
        ("Ann <a@example.org>", false),
        ("Änn <a@bücher.example>", false),
        ("Иван <ivan@пример.испытание>", false),
        ("Pаypal <a@example.org>", true),
        ("Ann <a@pаypal.com>", true),
        ("Ann <a@xn--80ak6aa92e.com>", true),
        ("Ann <pаypal@example.org>", true),
    ] {
        assert_eq!(read(value, 1).addresses[0].is_doubtful(), expected, "{value}");
    }
}

#[test]
fn no_more_than_asked_for() {
    // Also behind an encoded word, and behind a name with a bare comma.
    for value in [
        "a@b, c@d, e@f",
        "=?utf-8?q?a@b,a@b,a@b?=",
        "=?utf-8?q?a@b,<a@b>,a@b?=",
        "\"a@b\", c@d (x), e@f, g@h",
        "a@b (x), <c@d>, <e@f>",
        "a@b c@d e@f",
    ] {
        assert_eq!(read(value, 2).addresses.len(), 2, "{value}");
    }
}

/// What is told of a sender: `m`ixed alphabets or a lookalike, `n`ame holds another address, something `h`idden.
fn told(value: &str) -> String {
    let list = read(value, 9);
    let any = |test: &dyn Fn(&Address) -> bool| list.addresses.iter().any(test);
    let marks = [
        ("m", any(&Address::is_doubtful)),
        ("n", any(&|one| trick::holds_other_address(&one.name, &one.address))),
        ("h", list.hides),
    ];
    marks.into_iter().filter(|(_, seen)| *seen).map(|(mark, _)| mark).collect()
}

#[test]
fn senders_who_play_tricks_are_told_and_honest_ones_are_not() {
    for (value, expected) in [
        ("ann@example.org", ""),
        ("Ann <ann@example.org>", ""),
        ("\"Doe, Ann (Sales)\" <ann@example.org>", ""),
        ("ann@example.org <ann@example.org>", ""),
        ("\"ANN@EXAMPLE.ORG\" <ann@example.org>", ""),
        ("\"'ann@example.org'\" <ann@example.org>", ""),
        ("Ann @ Example <ann@example.org>", ""),
        ("Team@Example <ann@example.org>", ""),
        ("=?utf-8?Q?J=C3=B6rg?= <joerg@example.org>", ""),
        ("Иван Петров <ivan@example.org>", ""),
        ("Ιωάννης <john@example.org>", ""),
        ("Иван (Ivan) <ivan@example.org>", ""),
        ("株式会社 ABC <info@example.jp>", ""),
        ("שלום <shalom@example.org>", ""),
        ("سلام <salam@example.org>", ""),
        ("Łukasz Żółć <l@example.pl>", ""),
        ("Nguyễn Văn <n@example.vn>", ""),
        ("Ann <ann@xn--bcher-kva.example>", ""),
        ("Ann <ann@bücher.example>", ""),
        ("Ann <ann@xn--e1afmkfd.example>", ""),
        ("\"ceo@bank.example\" <x@evil.example>", "n"),
        ("\"CEO <ceo@bank.example>\" <x@evil.example>", "n"),
        ("ceo@bank.example <x@evil.example>", "n"),
        ("=?utf-8?Q?ceo=40bank=2Eexample?= <x@evil.example>", "n"),
        ("=?utf-8?B?Y2VvQGJhbmsuZXhhbXBsZQ==?= <x@evil.example>", "n"),
        ("\"ceo＠bank.example\" <x@evil.example>", "n"),
        ("x@evil.example (ceo@bank.example)", "n"),
        ("\"ann@example.org via List\" <list@lists.example>", "n"),
        ("\"mailto:ceo@bank.example\" <x@evil.example>", "n"),
        ("Pаypal <x@evil.example>", "m"),
        ("PayPaӏ Support <x@evil.example>", "m"),
        ("=?utf-8?B?0KBheXBhbA==?= <x@evil.example>", "m"),
        ("Μicrosoft <x@evil.example>", "m"),
        ("<info@pаypal.example>", "m"),
        ("<info@xn--pypal-4ve.com>", "m"),
        ("<info@xn--80ak6aa92e.com>", "m"),
        ("<info@аррӏе.com>", "m"),
        ("<аdmin@example.org>", "m"),
        ("A\u{202e}nn <ann@example.org>", "h"),
        ("A\u{200b}nn <ann@example.org>", "h"),
        ("=?utf-8?Q?Ann=E2=80=AE?= <ann@example.org>", "h"),
        ("\u{2066}Ann\u{2069} <ann@example.org>", "h"),
        ("Ann <an\u{200b}n@example.org>", "h"),
        ("Ann <ann@exam\u{ad}ple.org>", "h"),
        ("\"ceo@bank.example\u{200b}\" <x@evil.example>", "nh"),
        ("\"c\u{435}o@bank.example\u{200b}\" <x@evil.example>", "mnh"),
    ] {
        assert_eq!(told(value), expected, "{value}");
    }
}
