//! Tables of dates.

use super::*;
use crate::config::Limits;
use crate::message::header;

#[track_caller]
fn check(value: &str, expected: Option<&str>) {
    assert_eq!(parse(value).map(|time| time.to_string()).as_deref(), expected, "{value}");
}

#[test]
fn dates_are_read_however_they_are_written() {
    check("Fri, 21 Nov 1997 09:55:06 -0600", Some("1997-11-21T15:55:06.000Z"));
    check("21 Nov 97 09:55 GMT", Some("1997-11-21T09:55:00.000Z"));
    check("Fri, 21 Nov 97 09(comment (nested)):55:06 -0600", Some("1997-11-21T15:55:06.000Z"));
    check("Fri,21 Nov 1997 09:55:06 -0600", Some("1997-11-21T15:55:06.000Z"));
    check("Wednesday, April 03, 2002 5:56 AM", Some("2002-04-03T05:56:00.000Z"));
    check("April 3rd, 2002 12:56:01 a.m.", Some("2002-04-03T00:56:01.000Z"));
    check("3 Apr 2002 5:56PM", Some("2002-04-03T17:56:00.000Z"));
    check("3 Apr 2002 12:00 PM", Some("2002-04-03T12:00:00.000Z"));
    check("Fri, May 09 2017 16:54:30 -0800", Some("2017-05-10T00:54:30.000Z"));
    check("Wed Jun  9 04:16:07 2004", Some("2004-06-09T04:16:07.000Z"));
    check("Wed Jun  9 04:16:07 PDT 2004", Some("2004-06-09T11:16:07.000Z"));
    check("Mon, 029 Sep 2008 10:00:00 -600", Some("2008-09-29T16:00:00.000Z"));
    check("Thu, 1 Jan 2026 12:30:00 +0100 (CET) trailing", Some("2026-01-01T11:30:00.000Z"));
    check("Thu, 13 Feb 1969 23:32 -0330 (Newfoundland Time)", Some("1969-02-14T03:02:00.000Z"));
    check("21-Nov-1997 09:55:06 +0000", Some("1997-11-21T09:55:06.000Z"));
    check("21.11.1997 09:55", Some("1997-11-21T09:55:00.000Z"));
    check("11/21/1997 4:54 PM", Some("1997-11-21T16:54:00.000Z"));
    check("9 Jun 2004", Some("2004-06-09T00:00:00.000Z"));
    check("Fri, 21 Nov 1997 09:55:06 -0600 (open", Some("1997-11-21T15:55:06.000Z"));
}

#[test]
fn iso_dates_are_read() {
    check("2017-05-09T16:54:30Z", Some("2017-05-09T16:54:30.000Z"));
    check("2017-05-09t16:54:30.123+02:00", Some("2017-05-09T14:54:30.000Z"));
    check("2017-05-09 16:54:30 +02:00", Some("2017-05-09T14:54:30.000Z"));
    check("2017-05-09 16:54:30 EST", Some("2017-05-09T21:54:30.000Z"));
    check("2017-05-09T16:54:30-07:00", Some("2017-05-09T23:54:30.000Z"));
    check("20170509T165430Z", Some("2017-05-09T16:54:30.000Z"));
    check("20170509T1654+0200", Some("2017-05-09T14:54:00.000Z"));
}

#[test]
fn years_may_be_short() {
    for (year, expected) in [
        ("97", Some("1997")),
        ("69", Some("1969")),
        ("68", Some("2068")),
        ("04", Some("2004")),
        ("102", Some("2002")),
        ("0001", None),
        ("9999", None),
        ("20200", None),
    ] {
        let date = parse(&format!("1 Mar {year} 10:00:00 +0000"));
        assert_eq!(
            date.map(|date| date.to_string().chars().take(4).collect::<String>()).as_deref(),
            expected,
            "{year}"
        );
    }
}

#[test]
fn zones_are_read_where_they_mean_something() {
    for (zone, hour) in [
        ("", "10:00"),
        ("GMT", "10:00"),
        ("Z", "10:00"),
        ("-0000", "10:00"),
        ("A", "10:00"),
        ("XYZ", "10:00"),
        ("+9900", "10:00"),
        ("+0530", "04:30"),
        ("+05:30", "04:30"),
        ("+2", "08:00"),
        ("-11", "21:00"),
        ("0200", "08:00"),
        ("GMT+0200", "08:00"),
        ("UTC-3", "13:00"),
        ("EST", "15:00"),
        ("EDT", "14:00"),
        ("AST", "14:00"),
        ("PST", "18:00"),
        ("CET", "09:00"),
        ("MESZ", "08:00"),
        ("JST", "01:00"),
        ("-0500 (EDT)", "15:00"),
        ("-0500 CET", "15:00"),
    ] {
        let date = parse(&format!("1 Mar 2020 10:00:00 {zone}")).expect("a date").to_string();
        assert_eq!(date.get(11..16), Some(hour), "{zone}");
    }
}

#[test]
fn months_have_names_in_other_languages() {
    for (date, month) in [
        ("Mo, 1 Okt 2018 10:00", "10"),
        ("1. März 2018 10:00", "03"),
        ("lun., 1 juin 2018 10:00", "06"),
        ("dim. 1 juil. 2018 10:00", "07"),
        ("mar., 1 mai 2018 10:00", "05"),
        ("1 août 2018 10:00", "08"),
        ("1 dic 2018 10:00", "12"),
        ("1 desember 2018 10:00", "12"),
        ("Mar 1, 2018 10:00", "03"),
    ] {
        assert_eq!(parse(date).expect(date).to_string().get(5..7), Some(month), "{date}");
    }
}

#[test]
fn the_ends_of_days_and_leap_seconds_are_times() {
    check("31 Dec 2019 24:00:00 +0000", Some("2020-01-01T00:00:00.000Z"));
    check("31 Dec 2016 23:59:60 +0000", Some("2017-01-01T00:00:00.000Z"));
    check("Tue, 01 Jul 2003 23:59:60 GMT+0200", Some("2003-07-01T22:00:00.000Z"));
    check("29 Feb 2020 10:00:00 +0000", Some("2020-02-29T10:00:00.000Z"));
}

#[test]
fn what_no_calendar_has_is_refused() {
    for value in [
        "",
        "yesterday",
        "99",
        "31 Feb 2020 10:00:00 +0000",
        "29 Feb 2019 10:00:00 +0000",
        "0 Jan 2020 10:00:00 +0000",
        "32 Jan 2020 10:00:00 +0000",
        "1 Jan 2020 59:00:00 +0000",
        "1 Jan 2020 24:00:01 +0000",
        "1 Jan 2020 10:60:00 +0000",
        "1 Jan 2020 10:00:61 +0000",
        "1 Jan 20200 10:00 GMT",
        "2020-13-40T10:00:00Z",
        "0000-00-00 00:00:00",
        "(Fri, 21 Nov 1997 09:55:06 -0600)",
        "+ - : :: 1:",
    ] {
        check(value, None);
    }
}

#[track_caller]
fn ladder(raw: &str, expected: Option<&str>, source: &str, code: Option<&str>) {
    let mut defects = Vec::new();
    let headers = header::split(raw.as_bytes(), &Limits::default(), &mut Vec::new());
    let (date, from) = of(&headers, &mut defects);
    assert_eq!(
        (date.map(|date| date.to_string().chars().take(10).collect::<String>()).as_deref(), from),
        (expected, source),
        "{raw}"
    );
    assert_eq!(defects.first().map(|defect| defect.code.as_str()), code, "{raw}");
}

#[test]
fn date_comes_first_then_the_newest_received_that_is_sane() {
    let received = |date: &str| format!("Received: from a by b (x; y);\n {date} (z; 1)\n");
    let [y1970, y1999, y2020, earlier, y2099] = [
        "Thu, 1 Jan 1970 00:00:07 +0000",
        "Fri, 1 Jan 1999 10:00:00 +0000",
        "Thu, 2 Jan 2020 10:00:00 +0000",
        "Wed, 1 Jan 2020 10:00:00 +0000",
        "1 Jan 2099 10:00:00 +0000",
    ]
    .map(received);
    let date = "Date: Tue, 5 May 2015 10:00:00 +0000\n";
    ladder(&format!("{y2020}{date}\n"), Some("2015-05-05"), "date", None);
    ladder(&format!("{y2020}Date: never\n{date}\n"), Some("2015-05-05"), "date", None);
    ladder(&format!("{y2020}{earlier}\n"), Some("2020-01-02"), "received", Some("date-missing"));
    ladder(&format!("{y2020}Date: never\n\n"), Some("2020-01-02"), "received", Some("date-unreadable"));
    // The clock of the first was never set, or stands still.
    ladder(&format!("{y1970}{y2020}\n"), Some("2020-01-02"), "received", Some("date-missing"));
    ladder(&format!("{y1999}{y2020}{earlier}\n"), Some("2020-01-02"), "received", Some("date-missing"));
    // A sender's lie stands below.
    ladder(&format!("{y2020}{earlier}{y2099}\n"), Some("2020-01-02"), "received", Some("date-missing"));
    ladder("Received: by b\nReceived: x; y\n\n", None, "", Some("date-missing"));
    ladder("X: y\n\n", None, "", Some("date-missing"));
}

#[test]
fn a_date_older_than_mail_gives_way_to_what_servers_say() {
    let old = "Date: Thu, 1 Jan 1970 00:00:00 +0000\n";
    ladder(&format!("{old}\n"), Some("1970-01-01"), "date", Some("date-too-old"));
    let hop = "Received: x; 1 Jan 2020 10:00:00 +0000\n";
    ladder(&format!("{hop}{old}\n"), Some("2020-01-01"), "received", Some("date-too-old"));
}
