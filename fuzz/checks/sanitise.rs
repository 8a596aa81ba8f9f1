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
/// Properties that no style of a copy has, beside variables and those that begin with a minus.
const PROPERTIES: &[&str] = &[
    "animation",
    "behavior",
    "border-image",
    "box-shadow",
    "content",
    "cursor",
    "filter",
    "list-style-image",
    "position",
    "src",
    "transform",
    "transition",
    "z-index",
];
/// The only functions in a style of a copy.
const FUNCTIONS: &[&str] = &["rgb", "rgba", "hsl", "hsla", "linear-gradient", "radial-gradient"];

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
        "style" => plain(value, tag),
        "target" => assert_eq!(small, "_blank", "<{tag}>"),
        _ => {}
    }
}

/// Whether a style says nothing but looks.
fn plain(style: &str, tag: &str) {
    let style = style.replace("&quot;", "\"").replace("&amp;", "&").replace("&nbsp;", "\u{a0}").to_ascii_lowercase();
    assert!(!["\\", "/*", "&lt;", "&gt;", "{", "}"].iter().any(|bad| style.contains(bad)), "<{tag}>");
    for declaration in style.split(';').map(str::trim).filter(|declaration| !declaration.is_empty()) {
        let (name, value) = declaration.split_once(':').expect("a declaration");
        let name = name.trim();
        assert!(!name.starts_with('-') && !PROPERTIES.contains(&name), "<{tag}>");
        // Names of fonts may have brackets.
        let bare: String = value.split('"').step_by(2).flat_map(|outside| outside.split('\'').step_by(2)).collect();
        for (at, _) in bare.match_indices('(') {
            let is_known = |name: &&str| bare.get(..at).is_some_and(|before| before.ends_with(name));
            assert!(FUNCTIONS.iter().any(is_known), "<{tag}>");
        }
    }
}
