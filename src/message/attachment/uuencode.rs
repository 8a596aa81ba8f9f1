//! Files written into the text of old mails (POSIX uuencode, its historical form): `begin 644 name`, lines that begin with
//! their length, `end`. Also the transfer encoding `x-uuencode`.
//!
//! Never takes away text: what was found stays where it stands. A line that is none ends the file.

use memchr::memmem;

use crate::message::text::charset;

/// One file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct File {
    /// Its name as the sender gave it; may be empty.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) bytes: Vec<u8>,
    /// Whether its `end` is there.
    pub(crate) whole: bool,
}

/// Whether it is worth to look closer.
pub(crate) fn may_hold(text: &[u8]) -> bool {
    memmem::find(text, b"begin ").is_some()
}

/// The files in a text, at most `max`. One without any line of content is none.
pub(crate) fn files(text: &[u8], max: usize) -> Vec<File> {
    let mut found = Vec::new();
    let mut open: Option<File> = None;
    for line in lines(text) {
        if found.len() >= max {
            return found;
        }
        if let Some(file) = &mut open {
            match content(line) {
                Content::Bytes => {
                    append(&mut file.bytes, line);
                    continue;
                }
                Content::Empty => continue,
                Content::End => file.whole = true,
                Content::Foreign => {}
            }
            found.extend(open.take().filter(|file| !file.bytes.is_empty()));
        }
        open = beginning(line).map(|name| File { name, ..File::default() });
    }
    found.extend(open.filter(|file| !file.bytes.is_empty()));
    found.truncate(max);
    found
}

/// The content of a part that says it is encoded so; its `begin` may be missing.
pub(crate) fn decode(text: &[u8]) -> Vec<u8> {
    let skip = lines(text).position(|line| beginning(line).is_some()).map_or(0, |at| at.saturating_add(1));
    let mut bytes = Vec::with_capacity(text.len().saturating_mul(3) / 4);
    for line in lines(text).skip(skip) {
        match content(line) {
            Content::Bytes => append(&mut bytes, line),
            Content::Empty | Content::Foreign => {}
            Content::End => break,
        }
    }
    bytes
}

/// The name that a part encoded so begins with; empty when there is none.
pub(crate) fn name(text: &[u8]) -> String {
    lines(text).take(50).find_map(beginning).unwrap_or_default()
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line))
}

/// The name in a line `begin 644 name`.
fn beginning(line: &[u8]) -> Option<String> {
    let rest = line.strip_prefix(b"begin ")?;
    let (mode, name) = rest.split_at_checked(rest.iter().position(|byte| *byte == b' ')?)?;
    let is_mode = (3..=4).contains(&mode.len()) && mode.iter().all(|digit| (b'0'..=b'7').contains(digit));
    is_mode.then(|| charset::guess(name.trim_ascii()).into_owned())
}

/// What a line within a file is.
enum Content {
    Bytes,
    Empty,
    End,
    Foreign,
}

fn content(line: &[u8]) -> Content {
    if line == b"end" {
        return Content::End;
    }
    let Some((&first, letters)) = line.split_first() else { return Content::Empty };
    let length = value(first);
    let wanted = length.div_ceil(3).saturating_mul(4);
    let is_letter = |byte: &u8| (b' '..=b'`').contains(byte);
    // Blanks at the end are easily lost; some programs add a checksum.
    let fits = letters.is_empty() || (wanted.div_ceil(2)..=wanted.saturating_add(2)).contains(&letters.len());
    match is_letter(&first) && letters.iter().all(is_letter) && fits {
        true if length == 0 => Content::Empty,
        true => Content::Bytes,
        false => Content::Foreign,
    }
}

/// Six bits of a letter; a blank is the same as a grave accent.
fn value(letter: u8) -> usize {
    usize::from(letter.wrapping_sub(b' ') & 63)
}

/// Decodes a line; what is missing at its end are blanks.
fn append(bytes: &mut Vec<u8>, line: &[u8]) {
    let (&first, letters) = line.split_first().unwrap_or((&b' ', &[]));
    let length = value(first);
    let end = bytes.len().saturating_add(length);
    let letter = |place: usize| letters.get(place).map_or(0, |letter| value(*letter));
    for at in (0..length.div_ceil(3).saturating_mul(4)).step_by(4) {
        let four = [0, 1, 2, 3].map(|next| letter(at.saturating_add(next)));
        let bits = four.into_iter().fold(0_usize, |bits, six| bits << 6 | six);
        bytes.extend([bits >> 16, bits >> 8, bits].map(|byte| u8::try_from(byte & 0xff).unwrap_or_default()));
    }
    bytes.truncate(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str, bool)]) {
        let found = files(text.as_bytes(), 10);
        let found: Vec<_> =
            found.iter().map(|f| (f.name.as_str(), str::from_utf8(&f.bytes).unwrap_or("?"), f.whole)).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn files_are_found_between_begin_and_end() {
        check("Hi\nbegin 644 a b.txt\n#86)C\n`\nend\nbye\n", &[("a b.txt", "abc", true)]);
        check("begin 0755 x\r\n\"86(\r\n \r\nend\r\n", &[("x", "ab", true)]);
        check("begin 644 x\n#86)C\n`\nend\nbegin 644 y\n#86)C\nend", &[("x", "abc", true), ("y", "abc", true)]);
    }

    #[test]
    fn a_file_without_its_end_ends_where_the_text_goes_on() {
        check("begin 644 x\n#86)C\nand so on\n#86)C", &[("x", "abc", false)]);
        check("begin 644 x\n#86)C\nbegin 644 y\n#86)C\n", &[("x", "abc", false), ("y", "abc", false)]);
        check("begin 644 x\n#86)C", &[("x", "abc", false)]);
    }

    #[test]
    fn what_only_looks_like_a_file_is_text() {
        for text in
            ["begin 644 x\nend\n", "> begin 644 x\n#86)C\nend", "begin with me\n#86)C\nend", "begin 999 x\n#86)C\n"]
        {
            check(text, &[]);
        }
        check("begin 644 report\nis what I typed.\nend\n", &[]);
    }

    #[test]
    fn a_transfer_encoding_needs_no_beginning() {
        assert_eq!(decode(b"\nbegin 600 a\n#86)C\n`\nend\nx"), b"abc");
        assert_eq!(decode(b"#86)C\n"), b"abc");
        assert_eq!(name(b"\nbegin 600 a.png\n"), "a.png");
    }

    #[test]
    fn blanks_that_were_lost_are_put_back() {
        check("begin 644 x\n$86)C\nend", &[("x", "abc\0", true)]);
    }
}
