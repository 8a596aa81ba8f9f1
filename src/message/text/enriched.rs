//! Enriched text (RFC 1896) and its forerunner `text/richtext` (RFC 1341 §7.1.3) without their formatting, for the rare mail
//! that has nothing else. Never fails; what is no command is text.

/// The longest name of a command (RFC 1896 §2).
const MAX_COMMAND: usize = 60;

/// The text without commands: one line end is a blank, of several the first goes.
pub(crate) fn to_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut pieces = text.split('<');
    flow(pieces.next().unwrap_or_default(), &mut out);
    let (mut doubled, mut hidden) = (false, false);
    for piece in pieces {
        // `<<` is the sign itself.
        if std::mem::take(&mut doubled) {
            out.push('<');
            flow(piece, &mut out);
            continue;
        }
        if piece.is_empty() {
            doubled = true;
            continue;
        }
        let end = piece.find('>').filter(|end| *end <= MAX_COMMAND);
        let Some((name, rest)) = end.and_then(|end| Some((piece.get(..end)?, piece.get(end.saturating_add(1)..)?)))
        else {
            out.push('<');
            flow(piece, &mut out);
            continue;
        };
        match name.trim().to_ascii_lowercase().as_str() {
            "param" | "comment" => hidden = true,
            "/param" | "/comment" => hidden = false,
            "nl" | "paragraph" | "/paragraph" => out.push('\n'),
            "lt" => out.push('<'),
            _ => {}
        }
        if !hidden {
            flow(rest, &mut out);
        }
    }
    out
}

fn flow(text: &str, out: &mut String) {
    let mut ends = 0_usize;
    for c in text.chars().filter(|c| *c != '\r') {
        if c == '\n' {
            ends = ends.saturating_add(1);
            continue;
        }
        close(&mut ends, out);
        out.push(c);
    }
    close(&mut ends, out);
}

/// Writes the line ends that were counted.
fn close(ends: &mut usize, out: &mut String) {
    match std::mem::take(ends) {
        0 => {}
        1 => out.push(' '),
        more => out.extend(std::iter::repeat_n('\n', more.saturating_sub(1))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_go_and_text_stays() {
        for (text, expected) in [
            ("<bold>Now</bold> is\nthe time", "Now is the time"),
            ("a\r\n\r\nb\n\n\nc", "a\nb\n\nc"),
            ("<color><param>red</param>x</color>", "x"),
            ("1 << 2 <<b>", "1 < 2 <b>"),
            ("a<nl>b<lt>c", "a\nb<c"),
            ("a < b", "a < b"),
            ("", ""),
        ] {
            assert_eq!(to_text(text), expected, "{text}");
        }
    }
}
