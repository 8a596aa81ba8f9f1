//! The allow-list of the sanitised copy: elements, attributes, schemes. What is not named here is not in the copy.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use ammonia::{Builder, UrlRelative};

use crate::message::html::style;

/// Elements that lay out and mark up text.
const ELEMENTS: &[&str] = &[
    "a",
    "abbr",
    "acronym",
    "address",
    "article",
    "aside",
    "b",
    "bdi",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "details",
    "dfn",
    "dir",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "font",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hgroup",
    "hr",
    "i",
    "img",
    "ins",
    "kbd",
    "li",
    "main",
    "mark",
    "menu",
    "nav",
    "nobr",
    "ol",
    "p",
    "pre",
    "q",
    "rp",
    "rt",
    "ruby",
    "s",
    "samp",
    "section",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "time",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
    "wbr",
];
/// Elements that go with all that is in them: nobody sees it as text of the mail. Of others the content stays.
const WITH_CONTENT: &[&str] = &[
    "audio", "canvas", "datalist", "iframe", "math", "noembed", "noframes", "noscript", "script", "select", "style",
    "svg", "template", "title", "video",
];
/// Looks that mails carry on any element.
const LOOKS: &[&str] =
    &["align", "bgcolor", "border", "color", "dir", "height", "lang", "style", "title", "valign", "width"];
/// What only some elements have.
const OF_ELEMENTS: &[(&str, &[&str])] = &[
    ("a", &["href", "hreflang", "rel"]),
    ("blockquote", &["cite", "type"]),
    ("br", &["clear"]),
    ("col", &["span"]),
    ("colgroup", &["span"]),
    ("del", &["cite", "datetime"]),
    ("font", &["face", "size"]),
    ("hr", &["noshade", "size"]),
    ("img", &["alt", "hspace", "src", "vspace"]),
    ("ins", &["cite", "datetime"]),
    ("li", &["type", "value"]),
    ("pre", &["wrap"]),
    ("ol", &["reversed", "start", "type"]),
    ("q", &["cite"]),
    ("table", &["background", "bordercolor", "cellpadding", "cellspacing", "frame", "rules", "summary"]),
    ("td", &["abbr", "background", "colspan", "headers", "nowrap", "rowspan", "scope"]),
    ("th", &["abbr", "background", "colspan", "headers", "nowrap", "rowspan", "scope"]),
    ("time", &["datetime"]),
    ("tr", &["background"]),
    ("ul", &["type"]),
];
/// What a link says of itself: the page that it opens learns nothing of this one.
const REL: &str = "noopener noreferrer nofollow";
/// Raster pictures that may stand in the mail itself; SVG is a document.
const RASTER: &[&str] = &["png", "x-png", "jpeg", "jpg", "pjpeg", "gif", "webp", "bmp", "avif"];

/// The sanitiser; making it takes longer than cleaning a small mail.
pub(crate) fn builder() -> Builder<'static> {
    let of_elements: HashMap<&str, HashSet<&str>> =
        OF_ELEMENTS.iter().map(|(element, names)| (*element, names.iter().copied().collect())).collect();
    let layout = || HashMap::from([("role", HashSet::from(["presentation", "none"]))]);
    let mut builder = Builder::default();
    builder
        .tags(ELEMENTS.iter().copied().collect())
        .clean_content_tags(WITH_CONTENT.iter().copied().collect())
        .generic_attributes(LOOKS.iter().copied().collect())
        .tag_attributes(of_elements)
        .tag_attribute_values(HashMap::from([
            // A name would open the link in a window of the page around.
            ("a", HashMap::from([("target", HashSet::from(["_blank"]))])),
            ("table", layout()),
            ("td", layout()),
            ("div", layout()),
        ]))
        // In place where there is one, so that the copy of a copy has the same order.
        .set_tag_attribute_values(HashMap::from([("a", HashMap::from([("rel", REL)]))]))
        .link_rel(None)
        .url_schemes(HashSet::from(["http", "https", "mailto", "tel", "cid", "data"]))
        .url_relative(UrlRelative::Deny)
        .attribute_filter(filtered);
    builder
}

/// The value as it is kept; ammonia asks for attributes that are on the list.
fn filtered<'v>(_element: &str, attribute: &str, value: &'v str) -> Option<Cow<'v, str>> {
    let as_it_is = |good: bool| good.then_some(Cow::Borrowed(value));
    match attribute {
        "href" => as_it_is(matches!(scheme(value).as_str(), "http" | "https" | "mailto" | "tel" | "cid")),
        "cite" => as_it_is(matches!(scheme(value).as_str(), "http" | "https" | "mailto" | "cid")),
        "src" => as_it_is(matches!(scheme(value).as_str(), "http" | "https" | "cid") || is_raster(value)),
        // A picture of another server may be shown, but not as a wallpaper.
        "background" => as_it_is(scheme(value) == "cid" || is_raster(value)),
        "style" => Some(style::kept(value)).filter(|style| !style.is_empty()),
        "alt" | "title" | "summary" | "abbr" | "rel" | "target" | "role" => as_it_is(true),
        "face" => as_it_is(!value.contains(['<', '>', '\\', '{', '}', ';', '(', ')'])),
        _ => as_it_is(value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" #%*+,-.:_".contains(&byte))),
    }
}

/// The scheme as a browser finds it: blanks and control characters before it and line ends inside do not count (URL
/// Standard §4.4). Empty when there is none.
fn scheme(url: &str) -> String {
    let seen = seen(url);
    let (scheme, _) = seen.split_once(':').unwrap_or_default();
    let good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if good { scheme.to_owned() } else { String::new() }
}

/// The beginning of an address in small letters, as a browser sees it.
fn seen(url: &str) -> String {
    let begin = url.trim_start_matches(|c: char| c <= ' ');
    begin.chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')).take(32).collect::<String>().to_ascii_lowercase()
}

fn is_raster(url: &str) -> bool {
    let seen = seen(url);
    let kind = seen.strip_prefix("data:image/").and_then(|rest| rest.split([';', ',']).next());
    kind.is_some_and(|kind| RASTER.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_seen_as_browsers_see_them() {
        for url in ["javascript:x", " \u{1}JavaScript:x", "java\nscript:x", "j\ta\rvascript:x"] {
            assert_eq!(scheme(url), "javascript", "{url}");
        }
        for url in ["//a/b", "a/b:c", "#a:b", ":x", "", "java script:x", "1a:x", "&#106;:x"] {
            assert_eq!(scheme(url), "", "{url}");
        }
    }

    #[test]
    fn pictures_in_the_mail_are_raster_pictures() {
        assert!(is_raster("data:image/png;base64,AA") && is_raster(" DATA:image/GIF,AA"));
        assert!(!is_raster("data:image/svg+xml,<svg>") && !is_raster("data:text/html,png;"));
        assert!(!is_raster("data:image/pngx;base64,AA") && !is_raster("data:,image/png;"));
    }
}
