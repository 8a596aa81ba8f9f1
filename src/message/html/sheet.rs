//! The style sheets that stand in a mail, as far as they can be written into its elements: rules for all elements, an
//! element, a class, or an element with a class (Selectors 4 §5, §6.6). Word processors and newsletters set fonts and margins
//! in this way. Selectors with more to them, conditions (`@media`) that a window of some width does not
//! meet, and everything else are left out. Never recurses; time is
//! linear.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::message::html::style;

/// More than an honest sheet has.
const MAX_BYTES: usize = 256 << 10;
/// What one selector may say.
const MAX_STYLE: usize = 2 << 10;
/// More classes than an honest element has.
const MAX_CLASSES: usize = 12;

/// A window that a ticket has at least, in pixels.
const WIDE: u32 = 640;

/// What the sheets say.
#[derive(Debug, Default)]
pub(crate) struct Sheet {
    /// By `p`, `.class` or `p.class`, in small letters.
    rules: HashMap<String, Rule>,
    /// How many rules were read.
    count: usize,
    /// How many bytes were read.
    read: usize,
}

#[derive(Debug)]
struct Rule {
    /// The number of the last rule that said something.
    order: usize,
    style: String,
}

impl Sheet {
    /// Adds the content of a `<style>`.
    pub(crate) fn add(&mut self, css: &str) {
        if self.read.saturating_add(css.len()) > MAX_BYTES {
            return;
        }
        self.read = self.read.saturating_add(css.len());
        let css = css.replace("<!--", " ").replace("-->", " ");
        let css = style::without_comments(&css);
        let mut rest = css.as_ref();
        while let Some((selectors, block, after)) = next_rule(rest) {
            rest = after;
            let style = style::kept(block);
            if !style.is_empty() && !selectors.contains('@') {
                selectors.split(',').for_each(|selector| self.set(selector.trim(), &style));
            }
        }
    }

    /// Whether it says nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What the sheets say of an element with these classes, the stronger after the weaker (CSS Cascade 4 §6.1).
    pub(crate) fn style(&self, element: &str, classes: &str) -> String {
        let element = element.to_ascii_lowercase();
        let classes = || classes.split_ascii_whitespace().take(MAX_CLASSES).map(str::to_ascii_lowercase);
        let mut found: Vec<(u8, &Rule)> = Vec::new();
        let mut look = |strength: u8, key: &str| found.extend(self.rules.get(key).map(|rule| (strength, rule)));
        look(0, "*");
        look(1, &element);
        classes().for_each(|class| look(2, &format!(".{class}")));
        classes().for_each(|class| look(3, &format!("{element}.{class}")));
        found.sort_by_key(|(strength, rule)| (*strength, rule.order));
        found.iter().map(|(_, rule)| rule.style.as_str()).collect::<Vec<_>>().join(";")
    }

    fn set(&mut self, selector: &str, style: &str) {
        // A link of a mail is one that nobody has followed yet.
        let selector = selector.strip_suffix(":link").unwrap_or(selector);
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let (element, class) =
            selector.split_once('.').map_or((selector, None), |(element, class)| (element, Some(class)));
        let plain = element.chars().all(name) && class.is_none_or(|class| !class.is_empty() && class.chars().all(name));
        if selector.is_empty() || !(plain || selector == "*") {
            return;
        }
        self.count = self.count.saturating_add(1);
        let order = self.count;
        let rule = self.rules.entry(selector.to_ascii_lowercase()).or_insert(Rule { order, style: String::new() });
        rule.order = order;
        if rule.style.len().saturating_add(style.len()) < MAX_STYLE {
            rule.style.push_str(if rule.style.is_empty() { "" } else { ";" });
            rule.style.push_str(style.trim_ascii().trim_end_matches(';'));
        }
    }
}

/// Selectors, what is between the brackets, and what follows. The rules of a condition that is met come as if it were not
/// there; one that is not met comes as one rule.
fn next_rule(css: &str) -> Option<(&str, &str, &str)> {
    let (before, block) = css.split_once('{')?;
    let selectors = before.rsplit([';', '}']).next().unwrap_or_default();
    if is_met(selectors) {
        return Some(("", "", block));
    }
    let mut depth = 1_usize;
    for (at, byte) in block.bytes().enumerate() {
        match byte {
            b'{' => depth = depth.saturating_add(1),
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return Some((selectors, block.get(..at)?, block.get(at.saturating_add(1)..)?));
        }
    }
    None
}

/// Whether it is a condition that a page of at least [`WIDE`] meets: newsletters are narrow unless they are told better.
fn is_met(condition: &str) -> bool {
    let small = condition.trim().to_ascii_lowercase();
    let Some(condition) = small.strip_prefix("@media") else { return false };
    let words = || condition.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').filter(|word| !word.is_empty());
    words().all(|word| match word.strip_suffix("px") {
        Some(width) => width.parse::<u32>().is_ok_and(|width| width <= WIDE),
        None => matches!(word, "screen" | "all" | "only" | "and" | "min-width"),
    })
}

/// A style as the value of an attribute in double quotes.
pub(crate) fn encoded(style: &str) -> Cow<'_, str> {
    if style.contains(['&', '"']) {
        Cow::Owned(style.replace('&', "&amp;").replace('"', "&quot;"))
    } else {
        Cow::Borrowed(style)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(css: &str, element: &str, classes: &str, expected: &str) {
        let mut sheet = Sheet::default();
        sheet.add(css);
        assert_eq!(sheet.style(element, classes), expected);
    }

    #[test]
    fn plain_rules_are_found_by_element_and_class() {
        check("p{margin:0}", "P", "", "margin:0");
        check("p.a, .b {color:red;} p{margin:0}", "p", "a b", "margin:0;color:red;color:red");
        check(".b{color:red}.a{color:blue}", "p", "a b", "color:red;color:blue");
        check(
            "<!-- /* x */ p.MsoNormal, li.MsoNormal\n\t{mso-x:y;\n\tmargin:0cm;} -->",
            "li",
            "MsoNormal",
            "margin:0cm",
        );
        check("@import url(x); p{margin:0}", "p", "", "margin:0");
        check("p{margin:0}p{color:red}", "p", "", "margin:0;color:red");
        let css = "@media only screen and (min-width:480px) { .a { width:37%!important } p{margin:0} } p{color:red}";
        check(css, "p", "a", "margin:0;color:red;width:37%!important");
        check("@media screen{p{color:red}}", "p", "", "color:red");
        check("p{margin:0}*{color:red}", "p", "", "color:red;margin:0");
        check("a:link, x{color:red} a:visited{color:blue}", "a", "", "color:red");
    }

    #[test]
    fn other_rules_are_left_out() {
        for css in [
            "@media print{p{color:red}}",
            "@media (max-width:480px){p{color:red}}",
            "@media (min-width:900px){p{color:red}}",
            "@media (prefers-color-scheme:dark){p{color:red}}",
            "div p{color:red}",
            "p:hover{color:red}",
            "#p{color:red}",
            "p[a]{color:red}",
            "p>b{color:red}",
            "p{position:fixed}",
            "p{color:red",
            "p.a.b{color:red}",
            "p.{color:red}",
            "@font-face{src:url(x)}",
            "@page{margin:0}",
        ] {
            check(css, "p", "a b", "");
        }
    }
}
