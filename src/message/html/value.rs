//! Values of CSS declarations, as far as they are plain (CSS Values 4): numbers with a unit, colours, words, texts. Anything
//! else is recognised as such, or makes the whole value unreadable. Never recurses; time is linear.

/// A part of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'v> {
    /// A keyword, a colour's name, part of a font's name.
    Word(&'v str),
    /// `#fff`, `rgb(…)`.
    Colour(&'v str),
    /// `12px`, `1.5`, `50%`.
    Number,
    /// A number below zero.
    Negative,
    /// `,` or `/`.
    Between,
    /// `"…"`: a font's name.
    Text(&'v str),
    /// `!important`.
    Important,
    /// `linear-gradient(…)`: colours that run into each other.
    Gradient,
    /// A function that is no colour: it may load or refer to something.
    Other(&'v str),
}

impl Value<'_> {
    /// Whether its word has no letters but those of ASCII.
    pub(crate) fn is_ascii(&self) -> bool {
        !matches!(self, Self::Word(word) if !word.is_ascii())
    }
}

/// Units of lengths, percentages and nothing else.
const UNITS: &[&str] = &["", "%", "px", "pt", "em", "ex", "rem", "in", "cm", "mm", "pc", "ch", "q", "vw", "vh"];
/// Functions that are colours.
const COLOURS: &[&str] = &["rgb", "rgba", "hsl", "hsla"];

/// Functions that are pictures made of colours.
const GRADIENTS: &[&str] =
    &["linear-gradient", "radial-gradient", "repeating-linear-gradient", "repeating-radial-gradient"];

/// The parts of a value, or `None` when it is empty or something in it is not understood.
pub(crate) fn read(value: &str) -> Option<Vec<Value<'_>>> {
    let mut parts = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace());
        let Some(first) = rest.chars().next() else { break };
        let (part, length) = match first {
            ',' | '/' => (Value::Between, 1),
            '#' => hash(rest)?,
            '"' | '\'' => text(rest, first)?,
            '!' => {
                let word = rest.get(1..)?.trim_matches(|c: char| c.is_ascii_whitespace());
                word.eq_ignore_ascii_case("important").then_some((Value::Important, rest.len()))?
            }
            '0'..='9' | '.' | '+' => number(rest)?,
            '-' if rest.as_bytes().get(1).is_some_and(|next| next.is_ascii_digit() || *next == b'.') => number(rest)?,
            _ => word(rest)?,
        };
        parts.push(part);
        rest = rest.get(length..)?;
    }
    (!parts.is_empty()).then_some(parts)
}

fn hash(rest: &str) -> Option<(Value<'_>, usize)> {
    let digits = span(rest.get(1..)?, is_of_word);
    let colour = rest.get(..digits.checked_add(1)?)?;
    let good = matches!(digits, 3 | 4 | 6 | 8) && colour.bytes().skip(1).all(|byte| byte.is_ascii_hexdigit());
    good.then_some((Value::Colour(colour), colour.len()))
}

fn text(rest: &str, quote: char) -> Option<(Value<'_>, usize)> {
    let inner = rest.get(1..)?;
    let inner = inner.get(..inner.find(quote)?)?;
    let plain = |c: char| !c.is_control() && !matches!(c, '\\' | '"' | '\'' | '<' | '>' | '{' | '}' | ';');
    inner.chars().all(plain).then_some((Value::Text(inner), inner.len().checked_add(2)?))
}

fn number(rest: &str) -> Option<(Value<'_>, usize)> {
    let sign = usize::from(rest.starts_with(['+', '-']));
    let digits = span(rest.get(sign..)?, |c| c.is_ascii_digit() || c == '.');
    let number = rest.get(sign..sign.checked_add(digits)?)?;
    let after = rest.get(sign.checked_add(digits)?..)?;
    let unit = if after.starts_with('%') { 1 } else { span(after, is_of_word) };
    let known = UNITS.iter().any(|known| after.get(..unit).is_some_and(|unit| unit.eq_ignore_ascii_case(known)));
    let good = known && number.matches('.').count() <= 1 && number.contains(|c: char| c.is_ascii_digit());
    let below = rest.starts_with('-') && number.contains(|c: char| matches!(c, '1'..='9'));
    let part = if below { Value::Negative } else { Value::Number };
    good.then_some((part, sign.checked_add(digits)?.checked_add(unit)?))
}

fn word(rest: &str) -> Option<(Value<'_>, usize)> {
    let length = span(rest, is_of_word);
    let word = rest.get(..length).filter(|word| !word.is_empty())?;
    let Some(arguments) = rest.get(length..)?.strip_prefix('(') else {
        return Some((Value::Word(word), length));
    };
    let inner = closing(arguments)?;
    let whole = length.checked_add(inner)?.checked_add(2)?;
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || matches!(c, '.' | ',' | '%' | '/' | '+' | '-')
    };
    let colour = COLOURS.iter().any(|name| word.eq_ignore_ascii_case(name));
    let inside = arguments.get(..inner)?;
    if GRADIENTS.iter().any(|name| word.eq_ignore_ascii_case(name)) && is_of_colours(inside) {
        return Some((Value::Gradient, whole));
    }
    if colour && inside.chars().all(plain) {
        return Some((Value::Colour(rest.get(..whole)?), whole));
    }
    Some((Value::Other(rest.get(..whole)?), whole))
}

/// Whether nothing but numbers, words and colours is in a gradient.
fn is_of_colours(inside: &str) -> bool {
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || matches!(c, '.' | ',' | '%' | '#' | '-' | '(' | ')')
    };
    let functions = inside.rmatch_indices('(').filter_map(|(at, _)| inside.get(..at));
    let is_colour = |before: &str| {
        COLOURS.iter().any(|name| {
            before
                .rsplit(|c: char| c.is_ascii_whitespace() || c == ',')
                .next()
                .is_some_and(|word| word.eq_ignore_ascii_case(name))
        })
    };
    inside.chars().all(plain) && functions.into_iter().all(is_colour)
}

/// Where the bracket closes that was opened before; texts inside are stepped over.
fn closing(arguments: &str) -> Option<usize> {
    let (mut quote, mut depth) = (None, 0_usize);
    for (at, byte) in arguments.bytes().enumerate() {
        match (byte, quote) {
            (b'\\', _) => return None,
            (_, Some(open)) if byte == open => quote = None,
            (_, Some(_)) => {}
            (b'"' | b'\'', None) => quote = Some(byte),
            (b'(', None) => depth = depth.saturating_add(1),
            (b')', None) if depth == 0 => return Some(at),
            (b')', None) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_')
}

/// How many bytes at the beginning are such letters.
fn span(text: &str, is_such: impl Fn(char) -> bool) -> usize {
    text.find(|c| !is_such(c)).unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_in_parts() {
        let parts = [Value::Number, Value::Word("solid"), Value::Colour("rgb(1, 2,3)"), Value::Important];
        assert_eq!(read("1px solid rgb(1, 2,3) ! Important").as_deref(), Some(&parts[..]));
        let parts = [Value::Text("a b"), Value::Between, Value::Word("x-y"), Value::Negative];
        assert_eq!(read("'a b',x-y -.5em").as_deref(), Some(&parts[..]));
        assert_eq!(read("url(a'(')").as_deref(), Some(&[Value::Other("url(a'(')")][..]));
        assert_eq!(read("rgb(url(x))").as_deref(), Some(&[Value::Other("rgb(url(x))")][..]));
        assert_eq!(read("linear-gradient(to left, rgb(1,2,3) 5%,#fff)").as_deref(), Some(&[Value::Gradient][..]));
        let value = "linear-gradient(red, url(x))";
        assert_eq!(read(value).as_deref(), Some(&[Value::Other(value)][..]));
        assert_eq!(read("-0px").as_deref(), Some(&[Value::Number][..]));
    }

    #[test]
    fn what_is_not_understood_makes_the_value_unreadable() {
        for value in ["", " ", "a\\b", "#12345", "#ggg", "1..2", "1x", "'a", "a(b", "{", "a;b", "!x", "<", "1px)", "."]
        {
            assert_eq!(read(value), None, "{value}");
        }
    }
}
