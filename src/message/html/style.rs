//! Inline styles (CSS Style Attributes): which declarations of a `style` attribute are kept. A declaration stays when its
//! property only changes how the mail's own box looks and its value is made of numbers, lengths, colours, words and, for
//! fonts, names. Nothing that loads, moves out of the mail's place or refers to anything is understood: no `url()`, no
//! function but colours, no escape, no at-rule, no variable. What is kept is so plain that nobody can read it differently.
//! Never recurses; time is linear.

use std::borrow::Cow;

use crate::message::html::value::{self, Value};

/// Properties with any plain value.
const PLAIN: &[&str] = &[
    "background-color",
    "border",
    "border-bottom",
    "border-bottom-color",
    "border-bottom-left-radius",
    "border-bottom-right-radius",
    "border-bottom-style",
    "border-bottom-width",
    "border-collapse",
    "border-color",
    "border-left",
    "border-left-color",
    "border-left-style",
    "border-left-width",
    "border-radius",
    "border-right",
    "border-right-color",
    "border-right-style",
    "border-right-width",
    "border-spacing",
    "border-style",
    "border-top",
    "border-top-color",
    "border-top-left-radius",
    "border-top-right-radius",
    "border-top-style",
    "border-top-width",
    "border-width",
    "box-sizing",
    "caption-side",
    "clear",
    "color",
    "direction",
    "empty-cells",
    "float",
    "font-size",
    "font-stretch",
    "font-style",
    "font-variant",
    "font-weight",
    "height",
    "hyphens",
    "line-break",
    "line-height",
    "list-style",
    "list-style-position",
    "list-style-type",
    "margin",
    "margin-bottom",
    "margin-left",
    "margin-right",
    "margin-top",
    "max-height",
    "max-width",
    "min-height",
    "min-width",
    "opacity",
    "overflow",
    "overflow-wrap",
    "overflow-x",
    "overflow-y",
    "padding",
    "padding-bottom",
    "padding-left",
    "padding-right",
    "padding-top",
    "tab-size",
    "table-layout",
    "text-align",
    "text-align-last",
    "text-decoration",
    "text-decoration-color",
    "text-decoration-line",
    "text-decoration-style",
    "text-overflow",
    "text-transform",
    "visibility",
    "white-space",
    "width",
    "word-break",
    "word-wrap",
];
/// Those that may be less than zero: elsewhere that would pull the mail over what is beside it.
const SIGNED: &[&str] = &["letter-spacing", "text-indent", "vertical-align", "word-spacing"];
/// Ways to lay out; others take an element out of its place.
const DISPLAYS: &[&str] = &[
    "block",
    "inline",
    "inline-block",
    "inline-table",
    "list-item",
    "none",
    "table",
    "table-caption",
    "table-cell",
    "table-column",
    "table-column-group",
    "table-footer-group",
    "table-header-group",
    "table-row",
    "table-row-group",
];
/// Words of `background` that are no colour.
const NO_COLOURS: &[&str] = &[
    "auto",
    "border-box",
    "bottom",
    "center",
    "contain",
    "content-box",
    "cover",
    "fixed",
    "inherit",
    "initial",
    "left",
    "local",
    "no-repeat",
    "none",
    "padding-box",
    "repeat",
    "repeat-x",
    "repeat-y",
    "right",
    "round",
    "scroll",
    "space",
    "top",
    "unset",
];
/// More than an honest element has.
const MAX_BYTES: usize = 16 << 10;

/// What is kept of a style; the style itself when all of it is, empty when nothing is.
pub(crate) fn kept(style: &str) -> Cow<'_, str> {
    if style.len() > MAX_BYTES {
        return Cow::Borrowed("");
    }
    let bare = without_comments(style);
    let mut kept = String::new();
    let mut changed = matches!(bare, Cow::Owned(_));
    for declaration in declarations(&bare) {
        let shown = shown(declaration);
        changed |= !matches!(shown, Some(Cow::Borrowed(_)));
        if let Some(shown) = shown {
            if !kept.is_empty() {
                kept.push(';');
            }
            kept.push_str(&shown);
        }
    }
    if changed { Cow::Owned(kept) } else { Cow::Borrowed(style) }
}

/// The declaration as it is kept.
fn shown(declaration: &str) -> Option<Cow<'_, str>> {
    let (name, value) = declaration.split_once(':')?;
    let (name, value) = (trimmed(name).to_ascii_lowercase(), trimmed(value));
    let parts = value::read(value)?;
    let among = |list: &[&str]| list.binary_search(&name.as_str()).is_ok();
    let plain =
        |part: &Value<'_>| !matches!(part, Value::Text(_) | Value::Gradient | Value::Other(_) | Value::Negative);
    let picture = |part: &Value<'_>| plain(part) || matches!(part, Value::Gradient);
    let whole = match name.as_str() {
        "background-image" => parts.iter().all(picture),
        "background" => {
            let whole = parts.iter().all(picture);
            return if whole { Some(Cow::Borrowed(declaration)) } else { colour(&parts).map(Cow::Owned) };
        }
        "display" => parts.iter().all(|part| match part {
            Value::Word(word) => DISPLAYS.iter().any(|display| word.eq_ignore_ascii_case(display)),
            Value::Important => true,
            _ => false,
        }),
        "font" | "font-family" => parts.iter().all(|part| plain(part) || matches!(part, Value::Text(_))),
        _ if among(SIGNED) => parts.iter().all(|part| plain(part) || matches!(part, Value::Negative)),
        _ => among(PLAIN) && parts.iter().all(|part| plain(part) && part.is_ascii()),
    };
    whole.then_some(Cow::Borrowed(declaration))
}

/// The colour of a background that has a picture too: text in front of it must stay readable.
fn colour(parts: &[Value<'_>]) -> Option<String> {
    parts.iter().find_map(|part| match part {
        Value::Colour(colour) => Some(format!("background:{colour}")),
        Value::Word(word) if !NO_COLOURS.contains(&word.to_ascii_lowercase().as_str()) && part.is_ascii() => {
            Some(format!("background:{word}"))
        }
        _ => None,
    })
}

/// Blanks of CSS (CSS Syntax 3 §4.2).
fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii_whitespace())
}

/// The declarations, trimmed; none is empty.
fn declarations(style: &str) -> impl Iterator<Item = &str> {
    let mut rest = style;
    let next = move || {
        if rest.is_empty() {
            return None;
        }
        let (one, others) = rest.split_at(end(rest));
        rest = others.get(1..).unwrap_or_default();
        Some(trimmed(one))
    };
    std::iter::from_fn(next).filter(|one| !one.is_empty())
}

/// Where the declaration ends: at a semicolon outside of texts and brackets.
fn end(style: &str) -> usize {
    let (mut quote, mut depth, mut escaped) = (None, 0_usize, false);
    for (at, byte) in style.bytes().enumerate() {
        match (byte, quote) {
            _ if std::mem::take(&mut escaped) => {}
            (b'\\', _) => escaped = true,
            (_, Some(open)) if byte == open => quote = None,
            (_, Some(_)) => {}
            (b'"' | b'\'', None) => quote = Some(byte),
            (b'(' | b'[' | b'{', None) => depth = depth.saturating_add(1),
            (b')' | b']' | b'}', None) => depth = depth.saturating_sub(1),
            (b';', None) if depth == 0 => return at,
            _ => {}
        }
    }
    style.len()
}

/// The CSS with a blank for each comment; one without an end goes to the end of the style.
pub(crate) fn without_comments(style: &str) -> Cow<'_, str> {
    if !style.contains("/*") {
        return Cow::Borrowed(style);
    }
    let mut bare = String::with_capacity(style.len());
    let mut rest = style;
    while let Some((before, after)) = rest.split_once("/*") {
        bare.push_str(before);
        bare.push(' ');
        rest = after.split_once("*/").map_or("", |(_, after)| after);
    }
    bare.push_str(rest);
    Cow::Owned(bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(style: &str, expected: &str) {
        assert_eq!(kept(style), expected);
        assert_eq!(kept(expected), expected, "twice is once");
    }

    #[test]
    fn lists_are_in_order() {
        assert!(PLAIN.is_sorted() && SIGNED.is_sorted());
    }

    #[test]
    fn harmless_styles_stay_byte_for_byte() {
        for style in [
            "color:red",
            "color: #FFF; background: rgb(1, 2, 3);",
            "COLOR:Red;;  margin:0 auto !important ;",
            "font-family: \"Segoe UI\", 'Trebuchet MS',Arial,sans-serif; font:bold 12px/1.5 Arial",
            "font-family:游ゴシック",
            "border: 1px solid rgba(0,0,0,.5); border-radius:4px 4px 0 0",
            "margin:0cm;margin-bottom:.0001pt;text-indent:-18.0pt;width:100%",
            "display:inline-block; vertical-align: -2px; white-space:pre-wrap",
            "background:transparent",
            "background-image:linear-gradient(90deg, #fff 10%, rgba(0,0,0,.5)); background:radial-gradient(red,blue)",
            "background:hsl(120deg 50% 50% / 0.5)",
            "",
            " ; ",
        ] {
            check(style, style);
        }
    }

    #[test]
    fn what_loads_moves_or_refers_goes() {
        for style in [
            "position:fixed",
            "z-index:9",
            "behavior:url(x)",
            "-moz-binding:url(x)",
            "width:expression(alert(1))",
            "background-image:url(http://a/b)",
            "color:var(--x)",
            "--x:red",
            "@import 'x'",
            "width:calc(1px)",
            "list-style:url(x)",
            "list-style-image:url(x)",
            "content:'x'",
            "cursor:url(x)",
            "filter:blur(1px)",
            "margin:-5px",
            "margin-left:-1em",
            "transform:scale(9)",
            "animation:x 1s",
            "transition:all 1s",
            "color:r\\65 d",
            "c\\6flor:red",
            "color:red}body{color:blue",
            "color:\"red\"",
            "width:1e9px",
            "color",
            "background:image-set('x' 1x)",
            "background:url(x",
            "font-family:\"a\\22\"",
            "font-family:'a\nb'",
            "font-family:url(x)",
            "display:flex",
            "box-shadow:0 0 0 9999px red",
            "color:red<",
            "src:url(x)",
            ":red",
            "width:1px 2px)",
            "font-family:<b>",
            "border-image:url(x)",
            "display:1px",
            "color: réd",
        ] {
            check(style, "");
        }
    }

    #[test]
    fn the_rest_of_a_style_stays() {
        check("color:red;position:fixed;margin:0", "color:red;margin:0");
        check("mso-line-height-rule:exactly; color:red ;", "color:red");
        check("color:/* x */red; /*;*/margin:0;", "color: red;margin:0");
        check("color:red;/* no end; margin:0", "color:red");
        check("background-image:url(data:image/png;base64,AA==);color:red", "color:red");
        check("background:url(\"a;b)c\") x;color:red", "background:x;color:red");
        check("content:';';color:red", "color:red");
        check("a{color:red;}b:c;color:blue", "color:blue");
    }

    #[test]
    fn a_background_with_a_picture_keeps_its_colour() {
        check("background:#003 url('http://a/b') no-repeat center/cover", "background:#003");
        check("background: url(x), linear-gradient(rgb(1,2,3), var(--x)) navy", "background:navy");
        check("background: no-repeat url(x)", "");
    }
}
