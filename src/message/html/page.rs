//! What a page says outside of its body's content, written into the content: the look of `<body>` becomes a box around it,
//! style sheets become styles of elements. Comes before the sanitiser, which checks all of it; so a mistake here is a matter
//! of looks. Never recurses; time is linear.

use std::borrow::Cow;

use crate::message::html::sheet::{self, Sheet};
use crate::message::html::style;
use crate::message::html::tags::{self, Tag};

/// What style sheets may add to all elements together.
const MAX_GROWTH: usize = 512 << 10;

/// The HTML with the looks of its page in its elements.
pub(crate) fn prepared(html: &str) -> Cow<'_, str> {
    let is_page = |at: usize| {
        let name = html.as_bytes().get(at..at.saturating_add(6)).unwrap_or_default();
        name.eq_ignore_ascii_case(b"<style") || name.trim_ascii_end().eq_ignore_ascii_case(b"<body")
    };
    if !memchr::memchr_iter(b'<', html.as_bytes()).any(is_page) {
        return Cow::Borrowed(html);
    }
    let mut page = Page { html, out: String::with_capacity(html.len()), ..Page::default() };
    for tag in tags::tags(html).filter(|tag| tag.name.eq_ignore_ascii_case("style") && !tag.closes) {
        if matches!(value(&tag, "media").trim().to_ascii_lowercase().as_str(), "" | "all" | "screen") {
            page.sheet.add(tag.raw);
        }
    }
    tags::tags(html).for_each(|tag| page.take(&tag));
    page.out.push_str(html.get(page.written..).unwrap_or_default());
    Cow::Owned(page.out)
}

#[derive(Debug, Default)]
struct Page<'h> {
    html: &'h str,
    out: String,
    /// Up to here the HTML is in `out`.
    written: usize,
    sheet: Sheet,
    grown: usize,
    /// Boxes that stand for an open `<body>`.
    bodies: usize,
}

impl Page<'_> {
    fn take(&mut self, tag: &Tag<'_>) {
        let instead = match (tag.name.eq_ignore_ascii_case("body"), tag.closes) {
            (true, false) => self.body(tag),
            (true, true) if self.bodies > 0 => {
                self.bodies = self.bodies.saturating_sub(1);
                Some("</div>".to_owned())
            }
            (false, false) if !self.sheet.is_empty() => self.element(tag),
            _ => None,
        };
        if let Some(instead) = instead {
            self.out.push_str(self.html.get(self.written..tag.place.start).unwrap_or_default());
            self.out.push_str(&instead);
            self.written = tag.place.end;
        }
    }

    /// A box that looks like the body.
    fn body(&mut self, tag: &Tag<'_>) -> Option<String> {
        let mut look = self.sheet.style("body", value(tag, "class"));
        for (attribute, property) in [("text", "color"), ("bgcolor", "background-color")] {
            if let Some(colour) = colour(value(tag, attribute)) {
                look = format!("{property}:{colour};{look}");
            }
        }
        let own = value(tag, "style").replace('"', "&quot;");
        let right_to_left = value(tag, "dir").eq_ignore_ascii_case("rtl");
        if look.is_empty() && style::kept(&own).is_empty() && !right_to_left {
            return None;
        }
        self.bodies = self.bodies.saturating_add(1);
        let dir = if right_to_left { " dir=\"rtl\"" } else { "" };
        Some(format!("<div{dir} style=\"{};{own}\">", sheet::encoded(look.trim_end_matches(';'))))
    }

    /// The tag with what the sheets say of it before what it says itself.
    fn element(&mut self, tag: &Tag<'_>) -> Option<String> {
        if self.grown > MAX_GROWTH {
            return None;
        }
        let look = self.sheet.style(tag.name, value(tag, "class"));
        if look.is_empty() {
            return None;
        }
        self.grown = self.grown.saturating_add(look.len());
        let own = value(tag, "style").replace('"', "&quot;");
        let between = if own.is_empty() { "" } else { ";" };
        // Of two attributes with a name the first one counts.
        Some(format!("<{} style=\"{}{between}{own}\"{}>", tag.name, sheet::encoded(&look), tag.rest))
    }
}

/// The attribute's value as written, or nothing.
fn value<'h>(tag: &Tag<'h>, name: &str) -> &'h str {
    tags::attributes(tag.rest)
        .find(|attribute| attribute.name.eq_ignore_ascii_case(name))
        .map_or("", |found| found.value)
}

/// A colour of an attribute as one of CSS.
fn colour(value: &str) -> Option<String> {
    let value = value.trim();
    let plain = !value.is_empty() && value.len() <= 30 && value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'#');
    let bare = value.len() == 6 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    plain.then(|| if bare { format!("#{value}") } else { value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(html: &str, expected: &str) {
        assert_eq!(prepared(html), expected);
    }

    #[test]
    fn the_look_of_the_body_becomes_a_box() {
        check("<p>Hi</p>", "<p>Hi</p>");
        check("<html><body><p>Hi</p></body>", "<html><body><p>Hi</p></body>");
        check(
            "<body bgcolor=ffffff text='red'>a</body>b",
            "<div style=\"background-color:#ffffff;color:red;\">a</div>b",
        );
        check(
            "<BODY style='font-family:\"A B\"' dir=RTL>a",
            "<div dir=\"rtl\" style=\";font-family:&quot;A B&quot;\">a",
        );
        check("<body onload=x>a</body>", "<body onload=x>a</body>");
        check("<!-- <body bgcolor=red> -->a<style></style>", "<!-- <body bgcolor=red> -->a<style></style>");
    }

    #[test]
    fn style_sheets_become_styles() {
        let sheet = "<style>p.a{margin:0} body{color:red}</style>";
        check(
            &format!("{sheet}<body><p class=a>x<p class='b a' style='color:blue'>y"),
            &format!(
                "{sheet}<div style=\"color:red;\"><p style=\"margin:0\" class=a>x\
             <p style=\"margin:0;color:blue\" class='b a' style='color:blue'>y"
            ),
        );
        check("<style media=print>p{margin:0}</style><p>", "<style media=print>p{margin:0}</style><p>");
    }
}
