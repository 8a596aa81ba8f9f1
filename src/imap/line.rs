//! One line of an answer (RFC 9051 §9) as it is handed on: what `imap-proto` reads wrongly, slowly or with a panic is mended or
//! refused here. Pure; never cuts lines, that is `frame`'s.

use bytes::BytesMut;

use super::error::{Violation, excerpt};

/// Lists within lists that a line may open.
const MAX_DEPTH: u32 = 32;
/// Ids of one `* SEARCH` line as it is handed on.
const IDS_A_LINE: usize = 500;

/// NUL stands for a literal in what is handed on, so none may come from outside.
pub(super) fn without_nul(line: &[u8]) -> impl Iterator<Item = u8> {
    line.iter().map(|b| if *b == 0 { b'?' } else { *b })
}

/// The line without NUL, and its end.
pub(super) fn end_line(line: &[u8], output: &mut BytesMut) {
    output.extend(without_nul(line));
    output.extend_from_slice(b"\r\n");
}

/// `imap-proto` 0.17 panics where a byte above 0x7F follows a response code without a blank, and refuses a CR in a text.
pub(super) fn status(line: &[u8], output: &mut BytesMut) {
    let mut mended = Vec::with_capacity(line.len().saturating_add(8));
    for (i, byte) in line.iter().enumerate() {
        let before = i.checked_sub(1).and_then(|at| line.get(at));
        if *byte >= 0x80 && before == Some(&b']') {
            mended.push(b' ');
        }
        mended.push(if *byte == b'\r' { b' ' } else { *byte });
    }
    end_line(&mended, output);
}

/// One line for each [`IDS_A_LINE`] ids: the parser's time is quadratic. The list ends at a parenthesis, as `(MODSEQ 7)`;
/// anything else that is no UID is an error, never a shorter list.
pub(super) fn search(line: &[u8], output: &mut BytesMut) -> Result<(), Violation> {
    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).skip(2);
    let ids: Vec<&[u8]> = words.take_while(|word| word.first() != Some(&b'(')).collect();
    for id in &ids {
        let digits = Some(*id).filter(|id| id.iter().all(u8::is_ascii_digit));
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        if digits.and_then(|digits| digits.parse::<u32>().ok()).is_none() {
            let start = String::from_utf8_lossy(id.get(..60).unwrap_or(id));
            let detail = format!("{} in a list of UIDs", excerpt(&start));
            return Err(Violation { rule: "not_a_uid", detail });
        }
    }
    for part in ids.chunks(IDS_A_LINE) {
        output.extend_from_slice(b"* SEARCH ");
        end_line(&part.join(&b' '), output);
    }
    Ok(())
}

/// `imap-proto` refuses a CAPABILITY line without `IMAP4rev1` or with a word that is no atom, and the connection with it.
pub(super) fn capability(line: &[u8], output: &mut BytesMut) {
    let legal = |b: &u8| b.is_ascii_alphanumeric() || b"=+-_./:$&".contains(b);
    let words = line.split(u8::is_ascii_whitespace).skip(2);
    let words = words.filter(|word| !word.is_empty() && !word.ends_with(b"=") && word.iter().all(legal));
    output.extend_from_slice(b"* CAPABILITY IMAP4rev1");
    for word in words {
        output.extend_from_slice(b" ");
        output.extend_from_slice(word);
    }
    output.extend_from_slice(b"\r\n");
}

/// The depth of lists after the line.
pub(super) fn deepen(line: &[u8], mut depth: u32) -> Result<u32, Violation> {
    let (mut quoted, mut escaped) = (false, false);
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'(' if !quoted => depth = depth.saturating_add(1),
            b')' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Violation { rule: "too_deep", detail: format!("lists more than {MAX_DEPTH} deep") });
        }
    }
    Ok(depth)
}

/// `imap-proto` 0.17 panics at `INTERNALDATE NIL`.
pub(super) fn without_nil_date(line: &[u8]) -> Vec<u8> {
    const NIL_DATE: &[u8] = b"INTERNALDATE NIL";
    let mut mended = Vec::with_capacity(line.len());
    for byte in line {
        mended.push(*byte);
        if mended.last_chunk().is_some_and(|end: &[u8; NIL_DATE.len()]| end.eq_ignore_ascii_case(NIL_DATE)) {
            mended.truncate(mended.len().saturating_sub(3));
            mended.extend_from_slice(b"\"\"");
        }
    }
    mended
}

/// `{n}`, `{n+}` or `~{n}` at the end of a line: where it begins, and the digits.
pub(super) fn announcement(line: &[u8]) -> Option<(usize, &str)> {
    let inner = line.strip_suffix(b"}")?;
    let inner = inner.strip_suffix(b"+").unwrap_or(inner);
    let brace = inner.iter().rposition(|b| *b == b'{')?;
    let digits = std::str::from_utf8(inner.get(brace.saturating_add(1)..)?).ok()?;
    let literal8 = brace.checked_sub(1).filter(|at| line.get(*at) == Some(&b'~'));
    let all_digits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    all_digits.then_some((literal8.unwrap_or(brace), digits))
}
