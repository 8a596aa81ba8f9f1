//! Flowed text (RFC 3676): lines that end in a blank go on in the next, so paragraphs fit whatever they are shown in. Quoted
//! lines keep their ends, so each keeps its mark: who looks for quoted history finds it, and no other reader joins them.

use crate::message::mime::part::Flow;

/// Joins what flows.
pub(crate) fn join(text: &str, flow: Flow) -> String {
    let mut out = String::with_capacity(text.len());
    let mut open = false;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\r', '\n']);
        let quoted = bare.starts_with('>');
        let signature = bare == "-- ";
        if open && (quoted || signature) {
            out.push('\n');
        }
        // A line may be stuffed with one blank in front, so that it begins like no mark (RFC 3676 §4.4).
        let bare = if quoted { bare } else { bare.strip_prefix(' ').unwrap_or(bare) };
        open = !quoted && !signature && bare.ends_with(' ') && line.len() > bare.len();
        match flow {
            Flow::Delete if open => out.push_str(bare.strip_suffix(' ').unwrap_or(bare)),
            Flow::Keep | Flow::Delete => out.push_str(bare),
        }
        if !open && line.ends_with('\n') {
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, flow: Flow, expected: &str) {
        assert_eq!(join(text, flow), expected);
    }

    #[test]
    fn paragraphs_are_joined() {
        check("a \r\nb\r\nc\r\n", Flow::Keep, "a b\nc\n");
        check("a \nb", Flow::Delete, "ab");
        check("a\n\nb", Flow::Keep, "a\n\nb");
        check(" From here \n > there\n", Flow::Keep, "From here > there\n");
        check("ends ", Flow::Keep, "ends ");
        check("  two blanks\n", Flow::Keep, " two blanks\n");
        check("あい \nう\n", Flow::Delete, "あいう\n");
        check("a  \nb\n", Flow::Delete, "a b\n");
    }

    #[test]
    fn quotes_and_signatures_keep_their_lines() {
        check("> a \n> b\nc", Flow::Keep, "> a \n> b\nc");
        check("a \n> b", Flow::Keep, "a \n> b");
        check("a \n-- \nAnn \nB", Flow::Keep, "a \n-- \nAnn B");
        check("> a \n>> b \n> c \nd \ne", Flow::Keep, "> a \n>> b \n> c \nd e");
        check(">\n> a \n \n > no quote", Flow::Keep, ">\n> a \n\n> no quote");
        check("> a \n> b \n", Flow::Delete, "> a \n> b \n");
    }
}
