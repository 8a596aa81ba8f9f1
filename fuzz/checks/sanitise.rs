use mailbridge::message::{Depth, Rules, parse};

/// Elements that are never in a copy.
const ELEMENTS: &[&str] = &[
    "applet",
    "area",
    "audio",
    "base",
    "body",
    "button",
    "embed",
    "form",
    "frame",
    "frameset",
    "html",
    "iframe",
    "input",
    "link",
    "map",
    "marquee",
    "math",
    "meta",
    "noscript",
    "object",
    "param",
    "plaintext",
    "script",
    "select",
    "source",
    "style",
    "svg",
    "template",
    "textarea",
    "title",
    "track",
    "video",
    "xmp",
];
/// Attributes that are never in a copy, beside those that begin with `on`.
const ATTRIBUTES: &[&str] = &[
    "action",
    "autofocus",
    "class",
    "contenteditable",
    "data",
    "formaction",
    "http-equiv",
    "id",
    "is",
    "name",
    "ping",
    "popover",
    "poster",
    "slot",
    "srcdoc",
    "srcset",
    "usemap",
    "xlink:href",
    "xmlns",
];
/// What no style of a copy says.
const STYLES: &[&str] = &[
    "url",
    "expression",
    "\\",
    "@",
    "/*",
    "position",
    "var(",
    "behavior",
    "binding",
    "image-set",
    "attr(",
    "<",
    "{",
    "env(",
    "--",
    "animation",
    "transition",
    "filter",
    "content:",
    "z-index",
    "calc(",
];

/// The copy of any HTML has nothing that is not allowed, and is its own copy.
pub(crate) fn check(html: &[u8]) {
    let Some(copy) = copy(html) else { return };
    holds(&copy);
    // A mark of the byte order at the beginning of a mail's text is not part of it.
    if !copy.starts_with('\u{feff}') {
        assert_eq!(self::copy(copy.as_bytes()).as_deref(), Some(copy.as_str()), "a copy of the copy");
    }
}

/// As it would be posted; `None` when there is nothing, or it is too much.
fn copy(html: &[u8]) -> Option<String> {
    let head =
        b"Message-ID: <a@b>\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n";
    parse(&[head, html].concat(), &Rules::default(), Depth::Full).html
}

/// Reads the copy in the only form that it may have: `<name attribute="value">`.
fn holds(copy: &str) {
    for tag in copy.split('<').skip(1) {
        let (tag, _text) = tag.split_once('>').expect("a tag ends");
        let tag = tag.strip_prefix('/').unwrap_or(tag);
        let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()),
            "<{tag}>"
        );
        assert!(!ELEMENTS.contains(&name), "<{tag}>");
        while let Some((attribute, after)) = rest.split_once("=\"") {
            let (value, after) = after.split_once('"').expect("a value ends");
            rest = after.strip_prefix(' ').unwrap_or(after);
            assert!(attribute.bytes().all(|byte| byte.is_ascii_lowercase()), "<{tag}>");
            assert!(!attribute.starts_with("on") && !ATTRIBUTES.contains(&attribute), "<{tag}>");
            harmless(name, attribute, value, tag);
        }
        assert!(rest.is_empty(), "<{tag}>");
    }
}

fn harmless(name: &str, attribute: &str, value: &str, tag: &str) {
    let small: String = value.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
    let small = small.to_ascii_lowercase();
    let begins = |schemes: &[&str]| schemes.iter().any(|scheme| small.starts_with(scheme));
    let picture = begins(&["data:image/"]) && !begins(&["data:image/svg"]);
    match attribute {
        "href" | "cite" => assert!(begins(&["http:", "https:", "mailto:", "tel:", "cid:"]), "<{tag}>"),
        "src" => assert!(name == "img" && (begins(&["http:", "https:", "cid:"]) || picture), "<{tag}>"),
        "background" => assert!(begins(&["cid:"]) || picture, "<{tag}>"),
        "style" => assert!(!STYLES.iter().any(|bad| small.contains(bad)), "<{tag}>"),
        "target" => assert_eq!(small, "_blank", "<{tag}>"),
        _ => {}
    }
}
