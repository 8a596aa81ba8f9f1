//! The framing of a mail server's answers (RFC 9051 §7): lines and literals, cut, bounded and mended before any parser
//! sees them. Pure: bytes in, bytes out.
//!
//! Literals never go on to the parser: they are taken out and a short mark stands in their place, so that a mail is held
//! in memory once (a large one in pieces only), is never copied, and never appears in the error text or the log of a
//! library. Untagged data that nobody here reads is dropped. What is left is what `imap-proto` reads without panic, deep recursion or quadratic time.
//!
//! Never interprets anything: `answer` does.

use bytes::{Buf as _, Bytes, BytesMut};

use super::error::{Violation, excerpt};
use super::line::{announcement, capability, deepen, end_line, search, status, without_nil_date, without_nul};

/// Bytes outside literals that one command's answer may have: the UIDs of more than a million mails.
const MAX_TEXT: usize = 16 << 20;
/// Bytes of a diverted literal that are held at one time.
const PIECE: usize = 256 << 10;
/// What may still come in literals after the one that was diverted.
const AFTER_DIVERTED: u64 = 64 << 10;
/// Length of the mark that stands in place of a literal: NUL, which no line can hold, and 8 hexadecimal digits.
const MARK: usize = 9;

/// What one command's answer may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Bytes of one literal.
    pub(super) literal: u64,
    /// Bytes of all literals together.
    pub(super) literals: u64,
    /// Lines.
    pub(super) lines: u32,
    /// The first literal of a FETCH that has more bytes than this is diverted: held in pieces, never whole.
    pub(super) divert_above: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { literal: 64 << 10, literals: 1 << 20, lines: 50_000, divert_above: u64::MAX }
    }
}

/// What [`Framer::advance`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A line was read; there may be more.
    More,
    /// More bytes are needed.
    Need,
    /// A piece of a diverted literal is to be taken out of [`Framer::piece`].
    Piece,
    /// The command's answer is complete.
    Done,
}

/// What a line is, by its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Free text after a status word: no lists and no literals in it.
    Status,
    /// `* n FETCH`, the only data with structure that is handed on.
    Fetch,
    /// Other data that is handed on.
    Plain,
    Search,
    Capability,
    /// Nobody here reads it.
    Unknown,
    /// The tagged answer.
    Tagged,
}

/// A literal that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Literal {
    /// Its bytes.
    Bytes(Bytes),
    /// It was diverted; how many bytes it had.
    Diverted(u64),
}

/// A literal that is under way.
#[derive(Debug)]
struct Open {
    data: BytesMut,
    length: usize,
    /// How many of its bytes were taken out already, if it is diverted.
    diverted: Option<usize>,
}

impl Open {
    /// How many bytes are still to come.
    fn missing(&self) -> usize {
        let gone = self.diverted.unwrap_or(0);
        self.length.saturating_sub(gone).saturating_sub(self.data.len())
    }

    /// How many of them may come now.
    fn room(&self) -> usize {
        match self.diverted {
            Some(_) => self.missing().min(PIECE.saturating_sub(self.data.len())),
            None => self.missing(),
        }
    }

    fn whole(self) -> Literal {
        match self.diverted {
            Some(_) => Literal::Diverted(u64::try_from(self.length).unwrap_or(u64::MAX)),
            None => Literal::Bytes(self.data.freeze()),
        }
    }
}

/// The state between two reads.
#[derive(Debug)]
pub(super) struct Framer {
    max_line: usize,
    bounds: Bounds,
    tag: Option<String>,
    /// The response that a literal has interrupted.
    open: Option<Kind>,
    depth: u32,
    /// Bytes of the response so far, its literals aside.
    response: usize,
    /// Bytes outside literals that the answer may still have.
    text: usize,
    /// Bytes of the input that were searched for a line end before.
    scanned: usize,
    literal: Option<Open>,
    literals: Vec<Option<Literal>>,
    dropped: u64,
}

impl Framer {
    pub(super) const fn new(max_line: usize, bounds: Bounds) -> Self {
        Self {
            max_line,
            bounds,
            tag: None,
            open: None,
            depth: 0,
            response: 0,
            text: MAX_TEXT,
            scanned: 0,
            literal: None,
            literals: Vec::new(),
            dropped: 0,
        }
    }

    /// A command with this tag is about to be written.
    pub(super) fn begin(&mut self, tag: &str, bounds: Bounds) {
        self.tag = Some(tag.to_owned());
        self.bounds = bounds;
        self.text = MAX_TEXT;
        self.literals.clear();
    }

    /// The first line of a connection, when it is here. It is read before any command and any parser.
    pub(super) fn greeting(&mut self, input: &mut BytesMut) -> Result<Option<String>, Violation> {
        let line = self.cut_line(input)?;
        Ok(line.map(|line| String::from_utf8_lossy(&line).into_owned()))
    }

    /// Reads on in `input`; what the parser may see is added to `output`.
    pub(super) fn advance(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<Step, Violation> {
        if self.literal.is_some() {
            return Ok(self.fill_literal(input, output));
        }
        if self.tag.is_none() && self.open.is_none() {
            return Ok(Step::Done);
        }
        if input.len() > self.max_line && !input.iter().take(self.max_line).any(|b| *b == b'\n') {
            self.cut_search(input, output)?;
            return Ok(Step::More);
        }
        match self.cut_line(input)? {
            Some(line) => {
                self.line(&line, output)?;
                Ok(Step::More)
            }
            None => Ok(Step::Need),
        }
    }

    /// Where the rest of a literal goes, and how much of it is missing: a reader may fill it without a copy.
    pub(super) fn literal_room(&mut self) -> Option<(&mut BytesMut, usize)> {
        let literal = self.literal.as_mut()?;
        let room = literal.room();
        (room > 0).then_some((&mut literal.data, room))
    }

    /// The piece of a diverted literal that is here; empty when there is none.
    pub(super) fn piece(&self) -> &[u8] {
        self.literal.as_ref().filter(|literal| literal.diverted.is_some()).map_or(&[], |literal| &literal.data)
    }

    /// So many bytes of the piece were taken out.
    pub(super) fn took(&mut self, count: usize) {
        if let Some(literal) = &mut self.literal
            && let Some(gone) = &mut literal.diverted
        {
            *gone = gone.saturating_add(count);
            literal.data.advance(count);
            if literal.data.is_empty() {
                let next = literal.missing().min(PIECE);
                literal.data.reserve(next);
            }
        }
    }

    /// Whether what was handed on so far ends with a response.
    pub(super) const fn is_whole(&self) -> bool {
        self.open.is_none() && self.literal.is_none()
    }

    /// The literal that a mark stands for; each is given out once.
    pub(super) fn take_literal(&mut self, mark: &[u8]) -> Option<Literal> {
        let digits = std::str::from_utf8(mark.strip_prefix(b"\0")?).ok()?;
        let index = usize::from_str_radix(digits, 16).ok()?;
        self.literals.get_mut(index).and_then(Option::take)
    }

    /// How many untagged lines were dropped so far.
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The next whole line, without its end.
    fn cut_line(&mut self, input: &mut BytesMut) -> Result<Option<BytesMut>, Violation> {
        let unseen = input.get(self.scanned..).unwrap_or_default();
        let Some(at) = unseen.iter().position(|b| *b == b'\n') else {
            self.scanned = input.len();
            if input.len() > self.max_line && !is_search(input) {
                return Err(self.too_long(input));
            }
            return Ok(None);
        };
        let end = self.scanned.saturating_add(at);
        self.scanned = 0;
        let mut line = input.split_to(end.saturating_add(1));
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end.saturating_sub(1));
        }
        if line.len() > self.max_line && !is_search(&line) {
            return Err(self.too_long(&line));
        }
        Ok(Some(line))
    }

    fn too_long(&self, line: &[u8]) -> Violation {
        let start = String::from_utf8_lossy(line.get(..60).unwrap_or(line)).into_owned();
        let detail = format!("more than {} bytes, beginning with {}", self.max_line, excerpt(&start));
        Violation { rule: "line_too_long", detail }
    }

    /// Hands on the beginning of a SEARCH line that is longer than a line may be.
    fn cut_search(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Result<(), Violation> {
        let room = input.get(..self.max_line).unwrap_or_default();
        let last_blank = room.iter().rposition(|b| *b == b' ').filter(|at| *at > b"* SEARCH".len());
        let (Some(at), true) = (last_blank, is_search(input) && self.open.is_none()) else {
            return Err(self.too_long(input));
        };
        let piece = input.split_to(at);
        self.charge(piece.len())?;
        let rest = input.split();
        input.extend_from_slice(b"* SEARCH");
        input.extend_from_slice(&rest);
        self.scanned = 0;
        search(&piece, output)
    }

    /// What comes costs from what the answer may have: each line, whatever it is, and each byte.
    fn charge(&mut self, bytes: usize) -> Result<(), Violation> {
        let Some(text) = self.text.checked_sub(bytes) else {
            return Err(Violation { rule: "too_many_bytes", detail: "the answer does not end".to_owned() });
        };
        self.text = text;
        Ok(())
    }

    fn line(&mut self, line: &[u8], output: &mut BytesMut) -> Result<(), Violation> {
        let Some(lines) = self.bounds.lines.checked_sub(1) else {
            return Err(Violation { rule: "too_many_lines", detail: "the answer does not end".to_owned() });
        };
        self.bounds.lines = lines;
        self.charge(line.len())?;
        let kind = match self.open.take() {
            Some(kind) => kind,
            None => {
                (self.depth, self.response) = (0, 0);
                self.classify(line)?
            }
        };
        // Whoever puts a response together again reads all of it anew with each of its lines.
        self.response = self.response.saturating_add(line.len());
        if self.response > self.max_line && kind != Kind::Search {
            return Err(self.too_long(line));
        }
        match kind {
            Kind::Search => search(line, output)?,
            Kind::Capability => capability(line, output),
            Kind::Status | Kind::Tagged => status(line, output),
            Kind::Plain => end_line(line, output),
            Kind::Fetch => self.fetch(line, output)?,
            Kind::Unknown => {
                self.dropped = self.dropped.saturating_add(1);
                self.open_literal(line, kind)?;
            }
        }
        if kind == Kind::Tagged {
            self.tag = None;
        }
        Ok(())
    }

    fn classify(&self, line: &[u8]) -> Result<Kind, Violation> {
        if let Some(data) = line.strip_prefix(b"* ") {
            return Ok(untagged(data));
        }
        if line.starts_with(b"+") {
            return Ok(Kind::Status);
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            return Ok(Kind::Unknown);
        }
        let tagged = |tag: &String| line.strip_prefix(tag.as_bytes()).is_some_and(|rest| rest.first() == Some(&b' '));
        if self.tag.as_ref().is_some_and(tagged) {
            return Ok(Kind::Tagged);
        }
        let start = String::from_utf8_lossy(line.get(..60).unwrap_or(line)).into_owned();
        Err(Violation { rule: "unexpected_tag", detail: format!("a line beginning with {}", excerpt(&start)) })
    }

    fn fetch(&mut self, line: &[u8], output: &mut BytesMut) -> Result<(), Violation> {
        self.depth = deepen(line, self.depth)?;
        let line = without_nil_date(line);
        match self.open_literal(&line, Kind::Fetch)? {
            Some(before) => {
                output.extend(without_nul(line.get(..before).unwrap_or_default()));
                output.extend_from_slice(format!("{{{MARK}}}\r\n").as_bytes());
            }
            // `imap-proto` 0.17 reads on behind the end of the line for the end of the list, into the next answer.
            None if self.depth > 0 => {
                return Err(Violation { rule: "list_not_closed", detail: "a FETCH answer without its end".to_owned() });
            }
            None => end_line(&line, output),
        }
        Ok(())
    }

    /// Whether the line ends by announcing a literal; if so where the announcement begins.
    fn open_literal(&mut self, line: &[u8], kind: Kind) -> Result<Option<usize>, Violation> {
        let Some((before, digits)) = announcement(line) else { return Ok(None) };
        let length: u64 = digits.parse().unwrap_or(u64::MAX);
        if length > self.bounds.literal || length > self.bounds.literals {
            let detail = format!("{digits} bytes were announced where at most {} are expected", self.bounds.literal);
            return Err(Violation { rule: "literal_too_big", detail: excerpt(&detail) });
        }
        self.bounds.literals = self.bounds.literals.saturating_sub(length);
        let diverted = kind == Kind::Fetch && length > self.bounds.divert_above;
        if diverted {
            // There is one place for one of them.
            self.bounds.divert_above = u64::MAX;
            self.bounds.literals = self.bounds.literals.min(AFTER_DIVERTED);
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.open = Some(kind);
        let room = if diverted { length.min(PIECE) } else { length };
        let data = BytesMut::with_capacity(room);
        self.literal = Some(Open { data, length, diverted: diverted.then_some(0) });
        Ok(Some(before))
    }

    fn fill_literal(&mut self, input: &mut BytesMut, output: &mut BytesMut) -> Step {
        let Some(mut literal) = self.literal.take() else { return Step::More };
        literal.data.extend_from_slice(&input.split_to(literal.room().min(input.len())));
        let piece = literal.diverted.is_some() && literal.room() == 0 && !literal.data.is_empty();
        if piece || literal.missing() > 0 {
            self.literal = Some(literal);
            return if piece { Step::Piece } else { Step::Need };
        }
        if self.open == Some(Kind::Fetch) {
            output.extend_from_slice(format!("\0{:08x}", self.literals.len()).as_bytes());
            self.literals.push(Some(literal.whole()));
        }
        Step::More
    }
}

fn is_search(line: &[u8]) -> bool {
    line.get(..9).is_some_and(|start| start.eq_ignore_ascii_case(b"* SEARCH "))
}

/// What untagged data is, by its keyword. Only what somebody here reads goes on.
fn untagged(data: &[u8]) -> Kind {
    let mut words = data.split(|b| *b == b' ').filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default().to_ascii_uppercase();
    match first.as_slice() {
        b"OK" | b"NO" | b"BAD" | b"BYE" => Kind::Status,
        b"CAPABILITY" => Kind::Capability,
        b"SEARCH" => Kind::Search,
        number if number.iter().all(u8::is_ascii_digit) => {
            match words.next().unwrap_or_default().to_ascii_uppercase().as_slice() {
                b"FETCH" => Kind::Fetch,
                b"EXISTS" => Kind::Plain,
                _ => Kind::Unknown,
            }
        }
        _ => Kind::Unknown,
    }
}
