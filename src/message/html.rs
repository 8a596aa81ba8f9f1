//! HTML of mails: a copy with nothing active in it (an allow-list), and text made from it. Never fetches anything, and the
//! original stays in the raw mail.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

use ammonia::{Builder, UrlRelative};
use mail_parser::decoders::html::html_to_text;

/// Looks that plain HTML mails carry on their elements.
const LOOKS: &[&str] =
    &["align", "valign", "width", "height", "bgcolor", "border", "cellpadding", "cellspacing", "dir"];

/// Elements that hold nothing, and those whose end is often left out since the next one implies it.
const NEVER_DEEP: &[&str] = &[
    "area", "base", "body", "br", "col", "colgroup", "dd", "dt", "embed", "head", "hr", "html", "img", "input", "li",
    "link", "meta", "option", "p", "param", "source", "tbody", "td", "tfoot", "th", "thead", "tr", "track", "wbr",
];
/// More words than an honest tag has.
const MAX_WORDS: usize = 2_000;

/// What the sanitiser's time grows with: each element is compared with those that are open around it, each attribute with
/// those before it. An estimate that needs no tree; what deceives it is stopped by the worker's limits.
pub(crate) fn effort(html: &str) -> usize {
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

/// About as many as a tag has; the words of a value count only where there are very many.
fn attributes(tag: &[u8]) -> usize {
    let values = tag.iter().filter(|byte| **byte == b'=').count();
    let words = tag.iter().take_while(|byte| **byte != b'>').filter(|byte| byte.is_ascii_whitespace()).count();
    if words > MAX_WORDS { values.max(words) } else { values }
}

/// A copy with nothing active in it: no script, no style, no frame, no form; links of known schemes; images by http(s),
/// by `cid:` or as raster data.
pub(crate) fn sanitize(html: &str) -> String {
    static ALLOWED: LazyLock<Builder<'static>> = LazyLock::new(allowed);
    // In pieces: given whole, each `&` would cost a copy of what follows it. Reading a slice does not fail.
    ALLOWED.clean_from_reader(html.as_bytes()).map(|clean| clean.to_string()).unwrap_or_default()
}

/// What is allowed; making the list takes longer than cleaning a small mail.
fn allowed() -> Builder<'static> {
    let mut builder = Builder::default();
    builder
        .url_schemes(HashSet::from(["http", "https", "mailto", "tel", "cid", "data"]))
        .url_relative(UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        .add_tags(["font", "u", "big", "tt", "center"])
        .add_generic_attributes(LOOKS)
        .add_tag_attributes("font", ["color", "face", "size"])
        .attribute_filter(|element, attribute, value| match attribute {
            "src" | "href" if is_data(value) => (element == "img" && is_raster(value)).then_some(Cow::Borrowed(value)),
            "cite" | "background" if is_data(value) => None,
            _ => Some(Cow::Borrowed(value)),
        });
    builder
}

/// Text for a mail that has only HTML.
pub(crate) fn to_text(html: &str) -> String {
    html_to_text(html)
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

fn is_data(url: &str) -> bool {
    url.trim_start().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

fn is_raster(url: &str) -> bool {
    let head: String = url.trim_start().chars().take(24).collect::<String>().to_ascii_lowercase();
    ["png", "jpeg", "jpg", "gif", "webp", "bmp"].iter().any(|kind| head.starts_with(&format!("data:image/{kind};")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(html: &str, expected: &str) {
        let clean = sanitize(html);
        assert_eq!(clean, expected);
        assert_eq!(sanitize(&clean), clean, "twice is once");
    }

    #[test]
    fn nothing_active_is_left() {
        check("<p onclick=x>a<script>b</script></p>", "<p>a</p>");
        check("<a href=\"javascript:x\">a</a>", "<a rel=\"noopener noreferrer nofollow\">a</a>");
        check("<style>p{}</style><svg><a href=x>b</a></svg><iframe src=x></iframe>t", "t");
        check("<form action=x><input></form>", "");
        check("<a href=\"data:text/html,x\">a</a>", "<a rel=\"noopener noreferrer nofollow\">a</a>");
        check("<img src=\"data:image/svg+xml;base64,AA\">", "<img>");
    }

    #[test]
    fn what_a_mail_shows_stays() {
        check("<img src=\"cid:a@b\" width=\"5\">", "<img src=\"cid:a@b\" width=\"5\">");
        check("<img src=\"data:image/png;base64,AA\">", "<img src=\"data:image/png;base64,AA\">");
        check(
            "<table bgcolor=\"red\"><tbody><tr><td align=\"left\">x</td></tr></tbody></table>",
            "<table bgcolor=\"red\"><tbody><tr><td align=\"left\">x</td></tr></tbody></table>",
        );
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
    fn references_by_content_id_are_found() {
        assert!(refers_to("<img src='CID:a@b'>", "a@b"));
        assert!(refers_to("<img src=\"cid:a%40b\">", "a@b"));
        assert!(refers_to("<img src=\"a@b\">", "a@b"));
        assert!(!refers_to("<img src=\"cid:a@b.c\">", "a@b"));
        assert!(!refers_to("<p>a@b</p>", "a@b"));
        assert!(!refers_to("<img src='cid:'>", ""));
    }
}
