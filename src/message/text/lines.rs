//! The lines of a text that is made from HTML: blanks run together, never two empty lines in a row, the marks of quotes and
//! lists in front of each line, the cells of a table row beside each other. What comes out grows with what is written.

use std::borrow::Cow;

/// Levels of quotes and lists that are drawn; deeper ones look like the last.
const MAX_LEVELS: usize = 12;
/// The text, written line by line.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// What is written.
    pub(crate) out: String,
    /// Line ends that are due before the next text.
    ends: u8,
    /// A blank is due before the next text.
    blank: bool,
    /// Nothing stands yet in a cell or an item, so nothing is put apart in it.
    fresh: bool,
    /// The open quotes.
    pub(crate) quotes: usize,
    /// The quotes around the last line.
    drawn: usize,
    /// The open lists: the next number, or none where bullets stand.
    lists: Vec<Option<u32>>,
    /// Lists beyond [`MAX_LEVELS`].
    deeper: usize,
    /// The mark of an item that has no text yet.
    mark: Option<String>,
    cells: usize,
    /// Whether the open row has text, and whether it has more than one line.
    filled: bool,
    broken: bool,
    /// The next text is in another cell of the same line.
    beside: bool,
}

impl Lines {
    /// Writes text whose blanks and line ends mean nothing.
    pub(crate) fn flow(&mut self, text: &str) {
        let mut words = text.split(is_blank);
        self.word(words.next().unwrap_or_default());
        for word in words {
            self.blank = true;
            self.word(word);
        }
    }

    fn word(&mut self, word: &str) {
        let word = seen(word);
        if !word.is_empty() {
            self.begin();
            self.out.push_str(&word);
        }
    }

    /// Writes text whose blanks and line ends count.
    pub(crate) fn keep(&mut self, text: &str) {
        for (place, line) in text.split('\n').enumerate() {
            if place > 0 {
                self.end_line();
            }
            let shown = line.trim_end();
            if !shown.is_empty() {
                self.begin();
                self.out.push_str(&shown.replace('\u{a0}', " "));
            }
            self.blank = shown.len() < line.trim_end_matches('\r').len();
        }
    }

    /// Writes what is due before a text.
    fn begin(&mut self) {
        let blank = std::mem::take(&mut self.blank);
        let beside = std::mem::take(&mut self.beside);
        let ends = std::mem::take(&mut self.ends);
        if self.out.is_empty() {
            self.margin();
        } else if ends > 0 {
            self.out.push('\n');
            if ends > 1 {
                let quotes = "> ".repeat(self.quotes.min(self.drawn).min(MAX_LEVELS));
                self.out.push_str(quotes.trim_end());
                self.out.push('\n');
            }
            self.broken |= self.filled;
            self.margin();
        } else if beside {
            self.out.push_str(" | ");
        } else if blank {
            self.out.push(' ');
        }
        (self.fresh, self.filled, self.drawn) = (false, true, self.quotes);
    }

    /// Writes the marks of quotes and the place in lists.
    fn margin(&mut self) {
        for _ in 0..self.quotes.min(MAX_LEVELS) {
            self.out.push_str("> ");
        }
        let levels = self.lists.len();
        let mark = self.mark.take();
        for _ in 0..if mark.is_some() { levels.saturating_sub(1) } else { levels } {
            self.out.push_str("  ");
        }
        self.out.push_str(mark.as_deref().unwrap_or_default());
    }

    /// Ends the line; twice leaves one empty, more often does no more.
    pub(crate) fn end_line(&mut self) {
        self.ends = self.ends.saturating_add(1).min(2);
    }

    /// Puts what follows that far from what was before.
    pub(crate) fn apart(&mut self, ends: u8) {
        if !self.fresh {
            self.ends = self.ends.max(ends);
        }
    }

    /// Begins a list: with the first number, or none where bullets stand.
    pub(crate) fn open_list(&mut self, first: Option<u32>) {
        self.apart(if self.lists.is_empty() { 2 } else { 1 });
        if self.lists.len() < MAX_LEVELS {
            self.lists.push(first);
        } else {
            self.deeper = self.deeper.saturating_add(1);
        }
    }

    /// Ends a list.
    pub(crate) fn close_list(&mut self) {
        self.close_item();
        if self.deeper > 0 {
            self.deeper = self.deeper.saturating_sub(1);
        } else {
            self.lists.pop();
        }
        self.apart(if self.lists.is_empty() { 2 } else { 1 });
    }

    /// Begins an item of a list.
    pub(crate) fn item(&mut self, number: Option<u32>) {
        self.ends = self.ends.max(1);
        self.fresh = true;
        self.mark = match self.lists.last_mut() {
            Some(Some(next)) => {
                let this = number.unwrap_or(*next);
                *next = this.saturating_add(1);
                Some(format!("{this}. "))
            }
            _ => Some("- ".to_owned()),
        };
    }

    /// Ends an item.
    pub(crate) fn close_item(&mut self) {
        (self.fresh, self.mark) = (false, None);
        self.ends = self.ends.max(1);
    }

    /// Begins a row of a table.
    pub(crate) fn row(&mut self) {
        self.ends = self.ends.max(1);
        (self.cells, self.filled, self.broken, self.beside) = (0, false, false, false);
    }

    /// Ends a row.
    pub(crate) fn close_row(&mut self) {
        // The cells of a row stand closer than paragraphs.
        self.ends = if self.cells > 1 { 1 } else { self.ends.max(1) };
        (self.filled, self.fresh, self.beside) = (false, false, false);
    }

    /// Cells stand beside each other as long as each is one line.
    pub(crate) fn cell(&mut self) {
        if self.cells > 0 && self.filled {
            self.beside = !self.broken;
            self.ends = u8::from(self.broken);
        }
        self.cells = self.cells.saturating_add(1);
        self.fresh = true;
    }
}

/// Blanks of every width; only the one that belongs to Chinese and Japanese text stays as it is.
fn is_blank(c: char) -> bool {
    c.is_whitespace() && c != '\u{3000}'
}

/// A word without what nobody sees: soft hyphens, blanks without a width, joiners that join nothing.
fn seen(word: &str) -> Cow<'_, str> {
    let invisible = |c: char| matches!(c, '\u{ad}' | '\u{34f}' | '\u{200b}' | '\u{2060}' | '\u{feff}');
    let joins = |c: char| matches!(c, '\u{200c}' | '\u{200d}' | '\u{200e}' | '\u{200f}');
    if word.is_ascii() || !word.contains(|c| invisible(c) || joins(c)) {
        return word.into();
    }
    let visible: String = word.chars().filter(|c| !invisible(*c)).collect();
    visible.trim_matches(joins).to_owned().into()
}
