//! HTML of mails: a copy with nothing active in it (an allow-list), and text made from it. Never fetches anything, and the
//! original stays in the raw mail.

mod allowed;
mod page;
mod sheet;
mod style;
mod tags;
mod value;

use std::borrow::Cow;
use std::sync::LazyLock;

use ammonia::Builder;

use crate::message::model::Defect;

/// How often a copy is made of a copy until nothing changes any more. Twice is enough for honest HTML.
const MAX_COPIES: usize = 5;
/// More tags than an honest mail has; each costs the sanitiser a node, some of them much more.
const MAX_TAGS: usize = 100_000;
/// More of the sanitiser's work than an honest mail is.
const MAX_EFFORT: usize = 20_000_000;

/// Elements that hold nothing, and those whose end is often left out since the next one implies it.
const NEVER_DEEP: &[&str] = &[
    "area", "base", "body", "br", "col", "colgroup", "dd", "dt", "embed", "head", "hr", "html", "img", "input", "li",
    "link", "meta", "option", "p", "param", "source", "tbody", "td", "tfoot", "th", "thead", "tr", "track", "wbr",
];
/// More words than an honest tag has.
const MAX_WORDS: usize = 2_000;

/// What the sanitiser's time grows with: each element is compared with those that are open around it, each attribute with
/// those before it. An estimate that needs no tree; what deceives it is stopped by the worker's limits.
fn effort(html: &str) -> usize {
    let mut open: Vec<&[u8]> = Vec::new();
    let mut steps: usize = 0;
    for tag in html.as_bytes().split(|byte| *byte == b'<').skip(1) {
        let (closes, tag) = tag.strip_prefix(b"/").map_or((false, tag), |tag| (true, tag));
        let name = tag.split(|byte| !byte.is_ascii_alphanumeric()).next().unwrap_or_default();
        if name.is_empty() {
            continue;
        }
        if closes {
            open.pop_if(|last| last.eq_ignore_ascii_case(name));
            continue;
        }
        steps = steps.saturating_add(open.len()).saturating_add(attributes(tag).saturating_pow(2));
        if !NEVER_DEEP.iter().any(|element| name.eq_ignore_ascii_case(element.as_bytes())) {
            open.push(name);
        }
    }
    steps
}

/// What the sanitiser's writer takes: at each `&`, and at each byte that may begin a fixed blank, it looks for the end of
/// the text or of the value in which that stands.
fn writing(html: &str) -> usize {
    let bytes = html.as_bytes();
    let is_tag = |at: &usize| bytes.get(at.saturating_add(1)).is_some_and(|c| c.is_ascii_alphabetic() || *c == b'/');
    let mut from = 0;
    let ends = memchr::memchr_iter(b'<', bytes).filter(is_tag).chain([bytes.len()]);
    let texts = ends.map(|end| bytes.get(std::mem::replace(&mut from, end)..end).unwrap_or_default());
    let steps = texts.map(|text| memchr::memchr2_iter(b'&', 0xc2, text).count().saturating_mul(text.len()) >> 8);
    steps.fold(0, usize::saturating_add)
}

/// About as many as a tag has; the words of a value count only where there are very many.
fn attributes(tag: &[u8]) -> usize {
    let values = tag.iter().filter(|byte| **byte == b'=').count();
    let words = tag.iter().take_while(|byte| **byte != b'>').filter(|byte| byte.is_ascii_whitespace()).count();
    if words > MAX_WORDS { values.max(words) } else { values }
}

/// A copy with nothing active in it: no script, no style sheet, no frame, no form; links of known schemes; pictures by
/// http(s), by `cid:` or as raster data; styles that only change looks. A copy of the copy is the copy.
///
/// # Errors
/// What is too much, and how much of it there is: `html-tags`, `html-effort`, or `html-unsettled` for HTML that each
/// reading understands otherwise.
pub(crate) fn sanitize(html: &str) -> Result<String, Defect> {
    within_bounds(html)?;
    let page = page::prepared(html);
    if let Cow::Owned(page) = &page {
        within_bounds(page)?;
    }
    let mut copy = cleaned(&page);
    if copy == html {
        return Ok(copy);
    }
    for _ in 1..MAX_COPIES {
        within_bounds(&copy)?;
        let again = cleaned(&copy);
        if again == copy {
            return Ok(copy);
        }
        copy = again;
    }
    Err(Defect::new("html-unsettled", MAX_COPIES.to_string()))
}

fn within_bounds(html: &str) -> Result<(), Defect> {
    let tags = memchr::memchr_iter(b'<', html.as_bytes()).count();
    if tags > MAX_TAGS {
        return Err(Defect::new("html-tags", tags.to_string()));
    }
    let effort = effort(html).saturating_add(writing(html));
    if effort > MAX_EFFORT {
        return Err(Defect::new("html-effort", effort.to_string()));
    }
    Ok(())
}

/// One pass of the sanitiser.
fn cleaned(html: &str) -> String {
    static ALLOWED: LazyLock<Builder<'static>> = LazyLock::new(allowed::builder);
    // In pieces: given whole, each `&` would cost a copy of what follows it. Reading a slice does not fail.
    let clean = ALLOWED.clean_from_reader(html.as_bytes()).map(|clean| clean.to_string()).unwrap_or_default();
    with_first_lines(clean)
}

/// A reader leaves out a line end right after `<pre>` (HTML §13.1.2.5); the sanitiser's writer does not make up for it.
fn with_first_lines(clean: String) -> String {
    if !clean.contains("<pre") {
        return clean;
    }
    let mut whole = String::with_capacity(clean.len().saturating_add(8));
    let mut rest = clean.as_str();
    while let Some(end) = after_pre(rest) {
        let (before, after) = rest.split_at(end);
        whole.push_str(before);
        if after.starts_with('\n') {
            whole.push('\n');
        }
        rest = after;
    }
    whole.push_str(rest);
    whole
}

/// Where the next `<pre>` has ended; the sanitiser's writer leaves no other `<`, and no `>` in a tag.
fn after_pre(html: &str) -> Option<usize> {
    let at = html.find("<pre")?;
    html.get(at..)?.find('>')?.checked_add(at)?.checked_add(1)
}

/// Whether the HTML refers to the part with this Content-ID: `cid:a@b`, `cid:a%40b` (RFC 2392), or the id alone as the whole
/// value of an attribute.
pub(crate) fn refers_to(html: &str, content_id: &str) -> bool {
    let escaped = content_id.replace('@', "%40");
    !content_id.is_empty() && [content_id, &escaped].into_iter().any(|id| stands_as_link(html, id))
}

fn stands_as_link(html: &str, id: &str) -> bool {
    html.match_indices(id).any(|(at, _)| {
        let (before, after) = (html.get(..at).unwrap_or_default(), html.get(at.saturating_add(id.len())..));
        let next = after.and_then(|after| after.chars().next());
        let ends = next.is_none_or(|c| c.is_whitespace() || matches!(c, '"' | '\'' | '>' | ')' | '&' | '<'));
        let scheme =
            before.get(before.len().saturating_sub(4)..).is_some_and(|scheme| scheme.eq_ignore_ascii_case("cid:"));
        let alone = before.ends_with(['"', '\''])
            && before.get(..before.len().saturating_sub(1)).is_some_and(|name| name.ends_with('='));
        ends && (scheme || alone)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(html: &str, expected: &str) {
        let clean = sanitize(html).expect("honest HTML");
        assert_eq!(clean, expected);
        assert_eq!(sanitize(&clean), Ok(clean), "twice is once");
    }

    #[test]
    fn nothing_active_is_left() {
        check("<p onclick=x>a<script>b</script></p>", "<p>a</p>");
        check("<a href=\"javascript:x\">a</a>", "<a rel=\"noopener noreferrer nofollow\">a</a>");
        check("<style>p{}</style><svg><a href=x>b</a></svg><iframe src=x></iframe>t", "t");
        check("<form action=x><input><button>a</button></form>", "a");
        check("<a href=\"data:text/html,x\">a</a>", "<a rel=\"noopener noreferrer nofollow\">a</a>");
        check("<img src=\"data:image/svg+xml;base64,AA\">", "<img>");
        check("<meta http-equiv=refresh><base href=\"http://a/\"><link href=x><title>t</title>a", "a");
        check("<noscript>a</noscript><object>b</object><!--[if mso]>c<![endif]--><![if !mso]>d<![endif]>", "bd");
        check("<p id=a class=b name=c>x</p>", "<p>x</p>");
    }

    #[test]
    fn what_a_mail_shows_stays() {
        for html in [
            "<p>Hi</p>",
            "a &amp; b&nbsp;&lt;c",
            "<img src=\"cid:a@b\" width=\"5\" alt=\"x &lt;y&gt;\">",
            "<img src=\"data:image/png;base64,AA\"><img src=\"https://a.example/b.png?c=d&amp;e\" style=\"width: 5px;\">",
            "<table bgcolor=\"red\" cellpadding=\"0\" role=\"presentation\"><tbody><tr>\
             <td align=\"left\" colspan=\"2\" background=\"cid:a\" nowrap=\"\">x</td></tr></tbody></table>",
            "<font color=\"#fff\" face=\"Arial, Helvetica\" size=\"+1\">x</font><ol type=\"a\" start=\"3\"><li>y</li></ol>",
            "<a href=\"mailto:a@b?subject=c\" target=\"_blank\" rel=\"noopener noreferrer nofollow\">x</a>",
            "<blockquote type=\"cite\" style=\"border-left: 1px solid #ccc; margin: 0 0 0 .8ex\">x</blockquote>",
            "<pre>\n\n\na\n</pre>",
            "<div dir=\"rtl\" lang=\"he\">x</div>",
        ] {
            check(html, html);
        }
    }

    #[test]
    fn values_are_looked_at() {
        check("<td background=\"http://a/b\">x", "x");
        check("<table background=\"http://a/b\"></table>", "<table></table>");
        check(
            "<a target=\"_top\" rel=opener href=\"http://a/\">x</a>",
            "<a rel=\"noopener noreferrer nofollow\" href=\"http://a/\">x</a>",
        );
        check("<a href=\"#a\">x</a><img src=\"//a/b\">", "<a rel=\"noopener noreferrer nofollow\">x</a><img>");
        check("<p style=\"position:fixed\" align=\"a(b\">x</p>", "<p>x</p>");
        check("<p style=\"color:red;position:fixed\">x</p>", "<p style=\"color:red\">x</p>");
    }

    #[test]
    fn the_look_of_the_page_moves_into_its_elements() {
        check(
            "<html><head><title>t</title><style><!-- p.MsoNormal {margin:0cm; mso-x:y} --></style></head>\
             <body bgcolor=\"#eeeeee\" lang=DE><p class=MsoNormal>x<o:p></o:p></p></body></html>",
            "<div style=\"background-color:#eeeeee;\"><p style=\"margin:0cm\">x</p></div>",
        );
    }

    #[test]
    fn a_page_is_no_way_around_the_bounds() {
        let refused = sanitize(&"<body bgcolor=red>".repeat(20_000)).expect_err("20,000 boxes in each other");
        assert_eq!(refused.code, "html-effort");
    }

    #[test]
    fn html_that_is_read_otherwise_the_second_time_settles() {
        for (html, expected) in [
            ("<p><object><table></table></object>", "<p></p><table></table><p></p>"),
            ("<a href=\"http://a/\"><object><a>x</a></object></a>", ""),
            ("a\u{0}&#13;<pre>&#13;\n x", ""),
        ] {
            let copy = sanitize(html).expect("it settles");
            assert_eq!(sanitize(&copy).as_ref(), Ok(&copy), "{html}");
            assert!(expected.is_empty() || copy == expected, "{copy}");
        }
    }

    #[test]
    fn deep_and_crowded_html_is_much_work_and_long_html_is_not() {
        let crowded = (0..5_000).map(|n| format!(" a{n}")).collect::<String>();
        for html in [
            "<div>".repeat(10_000),
            "<div><table></div></table>".repeat(10_000),
            "<a><b>".repeat(5_000),
            format!("<p{crowded}>"),
            format!("<p{}>", crowded.replace(' ', "=1 ")),
        ] {
            assert!(effort(&html) > 20_000_000, "{}", html.get(..20).unwrap_or_default());
        }
        for html in ["<p>x", "<tr><td><b style=\"a: b\">x</b>", "<br>&nbsp;", "a < b = c", "<li><i>x</i>"] {
            assert!(effort(&html.repeat(20_000)) < 1_000_000, "{html}");
        }
    }

    #[test]
    fn signs_that_are_written_otherwise_are_much_work_in_one_long_text() {
        for html in ["&".repeat(100_000), "&amp; ".repeat(60_000), "«»".repeat(50_000)] {
            assert!(writing(&html) > 20_000_000);
            assert!(writing(&format!("<a href=\"{html}\">")) > 20_000_000);
            assert!(writing(&html.repeat(4).replace("&", "<b>&").replace('«', "<i>«")) < 1_000_000);
        }
        assert!(writing(&"a text & more <b>of</b> it &mdash; ".repeat(50_000)) < 1_000_000);
    }

    #[test]
    fn references_by_content_id_are_found() {
        assert!(refers_to("<img src='CID:a@b'>", "a@b"));
        assert!(refers_to("<img src=\"cid:a%40b\">", "a@b"));
        assert!(refers_to("<img src=\"a@b\">", "a@b"));
        assert!(!refers_to("<img src=\"cid:a@b.c\">", "a@b"));
        assert!(!refers_to("<p>a@b</p>", "a@b"));
        assert!(!refers_to("<img src='cid:'>", ""));
    }
}
