//! HTML to plain text, for mails without any and for those who search: paragraphs, lists, links, tables, quotes and headings
//! stay readable. One pass over the tags, no tree; never fails, and what comes out is bounded.
//!
//! What nobody sees is left out: scripts, styles, comments, hidden preheaders and their invisible filling. When nothing else
//! is there, it is shown all the same: a text too much is better than none.

use crate::message::text::lines::Lines;
use crate::message::text::markup::{Tag, Token, Tokens, dereferenced};

/// A longer link is left out: nobody types it, and it hides the text.
const MAX_LINK: usize = 2_000;
/// Elements that hold nothing.
const EMPTY: &[&str] =
    &["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"];

/// Text made from HTML, at most about `max` characters.
pub(crate) fn to_text(html: &str, max: usize) -> String {
    let seen = convert(html, max, false);
    if seen.is_empty() { convert(html, max, true) } else { seen }
}

fn convert(html: &str, max: usize, everything: bool) -> String {
    let mut page = Page { everything, ..Page::default() };
    let room = max.saturating_mul(4);
    for token in Tokens::new(html, everything) {
        match token {
            Token::Text(text) if page.hidden.is_none() => page.text(&dereferenced(text, false)),
            Token::Text(_) => {}
            Token::Tag(tag) => page.tag(&tag),
        }
        if page.lines.out.len() >= room {
            break;
        }
    }
    page.close_link();
    page.lines.out
}

/// An element that does something to all it holds, and how many of its name are open.
#[derive(Debug)]
struct Spell {
    name: String,
    open: usize,
}

impl Spell {
    /// Whether the tag is the end of it.
    fn ends(&mut self, tag: &Tag<'_>) -> bool {
        if tag.closes && (tag.name.eq_ignore_ascii_case("body") || tag.name.eq_ignore_ascii_case("html")) {
            return true;
        }
        if !tag.name.eq_ignore_ascii_case(&self.name) {
            return false;
        }
        // A paragraph ends where the next begins.
        self.open = match tag.closes || self.name == "p" {
            true => self.open.saturating_sub(1),
            false => self.open.saturating_add(1),
        };
        self.open == 0
    }
}

/// What its attributes say about an element, as far as text goes.
#[derive(Debug, Default)]
struct Said<'a> {
    href: &'a str,
    alt: &'a str,
    number: Option<u32>,
    hidden: bool,
    keeps_blanks: bool,
    tiny: bool,
}

impl<'a> Said<'a> {
    fn by(tag: &Tag<'a>) -> Self {
        let mut said = Self::default();
        for (name, value) in tag.attributes() {
            let is = |word: &str| name.eq_ignore_ascii_case(word);
            if is("style") {
                said.styled(value);
            } else if is("href") {
                said.href = value;
            } else if is("alt") {
                said.alt = value;
            } else if is("start") || is("value") {
                said.number = value.trim().parse().ok();
            } else if is("hidden") {
                said.hidden = true;
            } else if is("width") || is("height") {
                said.tiny |= matches!(value.trim(), "0" | "1");
            }
        }
        said
    }

    fn styled(&mut self, style: &str) {
        for (name, value) in style.split(';').filter_map(|declaration| declaration.split_once(':')) {
            let (name, value) = (name.trim(), value.trim());
            let begins = |word: &str| value.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
            let is = |word: &str| name.eq_ignore_ascii_case(word);
            self.hidden |= is("display") && begins("none") || is("visibility") && begins("hidden");
            self.keeps_blanks |= is("white-space") && begins("pre");
        }
    }
}

/// The page while it is read.
#[derive(Debug, Default)]
struct Page {
    lines: Lines,
    /// Whether hidden text is shown too.
    everything: bool,
    hidden: Option<Spell>,
    /// Within it blanks and line ends count.
    kept: Option<Spell>,
    /// Where the open link leads, and where its text begins.
    link: Option<(String, usize)>,
}

impl Page {
    fn text(&mut self, text: &str) {
        if self.kept.is_some() { self.lines.keep(text) } else { self.lines.flow(text) }
    }

    fn tag(&mut self, tag: &Tag<'_>) {
        if let Some(spell) = &mut self.hidden {
            if !spell.ends(tag) {
                return;
            }
            self.hidden = None;
            if tag.closes {
                return;
            }
        }
        if self.kept.as_mut().is_some_and(|spell| spell.ends(tag)) {
            self.kept = None;
        }
        let name = tag.name.to_ascii_lowercase();
        if tag.closes {
            return self.close(&name);
        }
        let said = Said::by(tag);
        let holds = !EMPTY.contains(&name.as_str());
        if said.hidden && !self.everything {
            if holds {
                self.hidden = Some(Spell { name, open: 1 });
            }
            return;
        }
        self.open(&name, &said);
        if holds
            && self.kept.is_none()
            && (said.keeps_blanks || matches!(name.as_str(), "pre" | "listing" | "textarea"))
        {
            self.kept = Some(Spell { name, open: 1 });
        }
    }

    fn open(&mut self, name: &str, said: &Said<'_>) {
        match name {
            "br" => self.lines.end_line(),
            "hr" => {
                self.lines.apart(1);
                self.lines.flow("---");
                self.lines.apart(1);
            }
            "a" => {
                self.close_link();
                self.link = Some((dereferenced(said.href.trim(), true).into_owned(), self.lines.out.len()));
            }
            "img" if !said.alt.trim().is_empty() && !said.tiny => {
                let alt = dereferenced(said.alt, true);
                self.lines.flow(&format!("[{}]", alt.trim()));
            }
            "ul" | "menu" | "dir" => self.lines.open_list(None),
            "ol" => self.lines.open_list(Some(said.number.unwrap_or(1))),
            "li" => self.lines.item(said.number),
            "blockquote" => {
                self.lines.apart(2);
                self.lines.quotes = self.lines.quotes.saturating_add(1);
            }
            "tr" => self.lines.row(),
            "td" | "th" => self.lines.cell(),
            _ => self.lines.apart(distance(name)),
        }
    }

    fn close(&mut self, name: &str) {
        match name {
            "a" => self.close_link(),
            "ul" | "menu" | "dir" | "ol" => self.lines.close_list(),
            "li" => self.lines.close_item(),
            "blockquote" => {
                self.lines.apart(2);
                self.lines.quotes = self.lines.quotes.saturating_sub(1);
            }
            "tr" => self.lines.close_row(),
            "br" | "hr" | "td" | "th" => {}
            "p" => self.lines.apart(2),
            _ => self.lines.apart(distance(name)),
        }
    }

    /// Writes where a link leads, unless its text says so.
    fn close_link(&mut self) {
        let Some((href, begin)) = self.link.take() else {
            return;
        };
        let text = self.lines.out.get(begin..).unwrap_or_default();
        let link: String = href.chars().filter(|c| !c.is_control() && !c.is_whitespace()).take(MAX_LINK + 1).collect();
        if !text.is_empty() && leads_somewhere(&link) && !says_the_same(text, &link) {
            self.lines.out.push_str(&format!(" <{link}>"));
        }
    }
}

/// How far from the text before it an element begins: not at all, on the next line, behind an empty line.
fn distance(name: &str) -> u8 {
    match name {
        "p" | "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "pre" | "listing" | "dl" => 2,
        "div" | "table" | "caption" | "thead" | "tbody" | "tfoot" | "dt" | "dd" | "form" | "fieldset" | "legend"
        | "address" | "center" | "article" | "section" | "header" | "footer" | "aside" | "nav" | "main" | "figure"
        | "figcaption" | "option" | "optgroup" | "details" | "summary" | "hgroup" | "body" => 1,
        _ => 0,
    }
}

/// Whether somebody who reads the text can go there.
fn leads_somewhere(link: &str) -> bool {
    let schemes = ["http://", "https://", "mailto:", "tel:", "ftp://"];
    let begins = |scheme: &&str| {
        link.len() > scheme.len() && link.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme))
    };
    link.len() <= MAX_LINK && schemes.iter().any(begins)
}

/// Whether the text of a link is where it leads.
fn says_the_same(text: &str, link: &str) -> bool {
    let bare = |url: &str| {
        let url = url.trim().trim_start_matches(['<', '|', '>', ' ']).to_lowercase();
        let url = url.trim_end_matches(['>', '/', '.']);
        let url = ["mailto:", "tel:", "https://", "http://"]
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme))
            .unwrap_or(url);
        let url = url.strip_prefix("www.").unwrap_or(url);
        url.split_once("?subject=").map_or(url, |(address, _)| address).to_owned()
    };
    bare(text) == bare(link)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(html: &str, expected: &str) {
        assert_eq!(to_text(html, 1_000), expected, "{html}");
    }

    #[test]
    fn paragraphs_and_lines() {
        check("<p>a</p><p>b</p>", "a\n\nb");
        check("a<br>b<br/>c", "a\nb\nc");
        check("a<br><br><br><br>b", "a\n\nb");
        check("<div>a</div><div>b</div>", "a\nb");
        check("<div>a</div><div><br></div><div>b</div>", "a\n\nb");
        check("<p>a<p>b", "a\n\nb");
        check("<p>a</p>\n<p>&nbsp;</p>\n<p>b</p>", "a\n\nb");
        check("<h1>Title</h1>text<h2>Next</h2>", "Title\n\ntext\n\nNext");
        check("a<hr>b", "a\n---\nb");
        check("  a \n\t b  ", "a b");
        check("a<b> b</b><i>c</i> d", "a bc d");
        check("", "");
        check("just text", "just text");
        check("1 < 2 &amp; 3 > 2", "1 < 2 & 3 > 2");
    }

    #[test]
    fn lists() {
        check("x<ul><li>a</li><li>b</li></ul>y", "x\n\n- a\n- b\n\ny");
        check("<ol><li>a<li>b</ol>", "1. a\n2. b");
        check("<ol start=9><li>a</li><li value=20>b</li><li>c</li></ol>", "9. a\n20. b\n21. c");
        check("<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>", "- a\n  - b\n- c");
        check("<ul><li><p>a</p><p>b</p></li></ul>", "- a\n\n  b");
        check("<ul><li></li><li>a</li></ul>", "- a");
        check("<dl><dt>a</dt><dd>b</dd></dl>", "a\nb");
    }

    #[test]
    fn links_and_pictures() {
        check("<a href=\"https://x.example/a?b=1&amp;c=2\">here</a>.", "here <https://x.example/a?b=1&c=2>.");
        check("<a href=\"https://x.example/\">x.example</a>", "x.example");
        check("<a href=\"http://www.x.example\">https://x.example</a>", "https://x.example");
        check("<a href=mailto:a@b.example>a@b.example</a>", "a@b.example");
        check("<a href=mailto:a@b.example>Ann</a>", "Ann <mailto:a@b.example>");
        check("<a href=#top>top</a> <a href=javascript:x>x</a>", "top x");
        check("<a href=http://x.example><img src=y></a>z", "z");
        check("<a href=http://x.example><img src=y alt=Logo></a>", "[Logo] <http://x.example>");
        check("<img alt=dot width=1 height=1>a<img alt=''>", "a");
        check("<a href=http://x.example>open", "open <http://x.example>");
    }

    #[test]
    fn tables() {
        check("<table><tr><th>a<th>b<tr><td>c<td>d</table>", "a | b\nc | d");
        check("<table><tr><td><p>a</p></td><td><p>b</p></td></tr><tr><td>c</td></tr></table>x", "a | b\nc\nx");
        check("<table><tr><td>a<br>b</td><td>c</td></tr></table>", "a\nb\nc");
        check("<table><tr><td></td><td>a</td><td>&nbsp;</td><td>b</td></tr></table>", "a | b");
        check("<table><tr><td><table><tr><td>a</td></tr></table></td><td>b</td></tr></table>", "a\nb");
        check("<table><tr><td><p>a</p></td></tr><tr><td><p>b</p></td></tr></table>", "a\n\nb");
    }

    #[test]
    fn quotes_and_kept_blanks() {
        check("a<blockquote>b<br>c</blockquote>d", "a\n\n> b\n> c\n\nd");
        check("<blockquote>a<blockquote>b</blockquote></blockquote>", "> a\n>\n> > b");
        check("<blockquote><p>a</p><p>b</p></blockquote>", "> a\n>\n> b");
        check("<blockquote><ul><li>a</ul></blockquote>", "> - a");
        check("x<pre>a\n  b   c\n\n\nd</pre>e", "x\n\na\n  b   c\n\nd\n\ne");
        check("<div style=\"white-space: pre-wrap\">a\n b</div>c", "a\n b\nc");
        check("<pre>a <b>b</b></pre>", "a b");
    }

    #[test]
    fn what_nobody_sees() {
        check("<head><title>t</title><style>p{}</style></head><body>a</body>", "a");
        check("a<script>b</script><!-- c --><!--[if mso]>d<![endif]-->e", "ae");
        check("<div style=\"display:none;max-height:0\">pre<div>x</div>header</div>a", "a");
        check("<span hidden>x</span><p style='visibility: hidden'>y<p>a", "a");
        check("<div style=\"display:none\">only</div>", "only");
        check("<style>x", "x");
        check("a&zwnj;&nbsp;&#847;&zwnj;&nbsp;&shy;&#8203; b", "a b");
        check("Do&shy;nau&#65279; می\u{200c}خواهم", "Donau می\u{200c}خواهم");
        check("a<template>b</template><svg><text>c</text></svg>d", "ad");
    }

    #[test]
    fn damaged_html_keeps_its_text() {
        check("<p>a</b></div></ul></li></td></tr></table></blockquote></a>b", "a\n\nb");
        check("<<p>>a", "<\n\n>a");
        check("a <unknown>b</unknown> <o:p></o:p>c", "a b c");
        check("a<b", "a");
        check("</p>a", "a");
    }

    #[test]
    fn deep_levels_are_drawn_within_bounds() {
        let deep = to_text(&("<blockquote><ul><li>".repeat(5_000) + "x"), 100_000);
        assert!(deep.ends_with('x') && deep.len() < 200, "{}", deep.len());
        assert!(to_text(&"<blockquote>a<br>b".repeat(10_000), 1_000).len() < 5_000);
    }
}
