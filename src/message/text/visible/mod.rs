//! Where the new text of a mail ends and quoted history begins, found by the marks of mail programs on the plain text. Nothing
//! is ever cut there: a wrong guess costs nothing but a hint.
//!
//! The shortest beginning that still holds text of its own counts. History is what stands below a separator, an attribution
//! or a block of headers, or is quoted by `>` up to the end. Answers between quoted lines all belong to the new text, and so
//! does everything that is forwarded. One pass over the lines, each looked at a bounded number of times.

mod marks;

use crate::message::model::Visible;

use marks::{Attribution, Opener, Separator, role};

pub(crate) use marks::is_quoted;

/// Lines that an attribution may be wrapped over.
const WRAPPED: usize = 4;
/// Lines below a signature, or the rule above a list's footer, that are no answer.
const FOOTER: u8 = 12;
/// Lines of a header block that are wrapped values.
const WRAPPED_VALUES: u8 = 6;

/// Beside the roles of a block: its date has a time of day.
const TIMED: u8 = 128;

/// Prefixes of the subjects of forwarded mails.
pub(crate) const FORWARDS: &[&str] = &[
    "fw:",
    "fwd:",
    "wg:",
    "tr:",
    "rv:",
    "enc:",
    "vb:",
    "vs:",
    "vl:",
    "doorst:",
    "pd:",
    "i:",
    "ilt:",
    "yön:",
    "转发:",
    "转发：",
    "轉寄:",
    "továbbítás:",
    "přep:",
];

/// Finds it. `None` when nothing is quoted, or when nothing stands in front of it.
pub(crate) fn find(text: &str, subject: &str) -> Option<Visible> {
    let mut scan = Scan { forward: is_forward(subject), ..Scan::default() };
    let mut start = 0_usize;
    for line in text.split_inclusive('\n') {
        let end = start.saturating_add(line.len());
        let bare = line.trim_end();
        let at = Line { start, end: start.saturating_add(bare.len()), text: bare };
        match scan.take(text, &at) {
            Step::On => {}
            Step::Whole => return None,
            Step::Cut(reason) => return scan.state.told(text, reason),
        }
        start = end;
    }
    match (scan.attributed, scan.state.open) {
        // Nothing but the end follows the attribution.
        (Some((before, Attribution::Sure)), _) if before.real => before.told(text, "attribution"),
        (_, Some(reason)) if scan.state.real => scan.state.told(text, reason),
        _ => None,
    }
}

/// The text without what is quoted at its end.
pub(crate) fn part<'t>(text: &'t str, visible: Option<&Visible>) -> &'t str {
    let Some(chars) = visible.and_then(|visible| usize::try_from(visible.chars).ok()) else {
        return text;
    };
    text.char_indices().nth(chars).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

fn is_forward(subject: &str) -> bool {
    let lower = subject.trim_start().chars().take(16).collect::<String>().to_lowercase();
    FORWARDS.iter().any(|prefix| lower.starts_with(prefix))
}

/// One line, without its end and the blanks in front of that.
struct Line<'t> {
    start: usize,
    end: usize,
    text: &'t str,
}

/// What is known above a line.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// Where the last line of new text ends.
    own_end: usize,
    /// New text with a letter or digit was seen.
    real: bool,
    /// Only quoted lines came since [`Self::own_end`], and by which mark they were known.
    open: Option<&'static str>,
    /// Lines that still belong to a footer.
    footer: u8,
}

impl State {
    fn told(self, text: &str, reason: &str) -> Option<Visible> {
        let reason = self.open.unwrap_or(reason);
        let own = text.get(..self.own_end)?;
        let chars = u32::try_from(own.chars().count()).ok()?;
        Some(Visible { chars, reason: reason.to_owned() })
    }
}

enum Step {
    On,
    /// Everything is new.
    Whole,
    /// What the state holds is new; the mark that says so.
    Cut(&'static str),
}

/// A block of headers that may have begun.
#[derive(Debug, Clone, Copy)]
struct Block {
    before: State,
    roles: u8,
    /// Of the last line that was a header.
    last: u8,
    wrapped: u8,
}

#[derive(Debug, Default)]
struct Scan {
    forward: bool,
    state: State,
    block: Option<Block>,
    attributed: Option<(State, Attribution)>,
    /// The last lines without a blank or quoted one between: where they begin, and what was known above them.
    recent: [Option<(usize, State)>; WRAPPED],
    blanks: u8,
    /// What was known above the rule (`_____`) that the last line was.
    ruled: Option<State>,
}

impl Scan {
    fn take(&mut self, text: &str, line: &Line<'_>) -> Step {
        if line.text.trim_start().is_empty() {
            self.blanks = self.blanks.saturating_add(1);
            self.recent = [None; WRAPPED];
            return Step::On;
        }
        if is_quoted(line.text) {
            return self.quoted();
        }
        if let Some((before, Attribution::Sure)) = self.attributed.filter(|(before, _)| before.real) {
            self.state = before;
            return Step::Cut("attribution");
        }
        self.attributed = None;
        let before = self.state;
        let ruled = self.ruled.take();
        let step = match marks::separator(line.text) {
            Some(Separator::Forward) => return Step::Whole,
            Some(Separator::Original) if self.forward => return Step::Whole,
            Some(Separator::Original) if before.real => return Step::Cut("original-message"),
            Some(Separator::ReplyLine) if before.real => return Step::Cut("reply-line"),
            Some(Separator::Rule) => {
                self.ruled = Some(before);
                if before.open.is_some() {
                    self.state.footer = FOOTER;
                }
                Step::On
            }
            _ => self.text(text, line, ruled.unwrap_or(before)),
        };
        self.blanks = 0;
        step
    }

    fn quoted(&mut self) -> Step {
        let mark = match self.attributed.take() {
            Some((before, _)) => {
                self.state = before;
                "attribution"
            }
            None => "quote",
        };
        self.state.open.get_or_insert(mark);
        self.state.footer = 0;
        (self.block, self.ruled, self.blanks, self.recent) = (None, None, 0, [None; WRAPPED]);
        Step::On
    }

    /// A line that is neither blank, quoted nor a separator.
    fn text(&mut self, text: &str, line: &Line<'_>, above: State) -> Step {
        if self.headers(line.text, above) {
            let before = self.block.take().map_or(above, |block| block.before);
            if self.forward {
                return Step::Whole;
            }
            if before.real {
                self.state = before;
                return Step::Cut("header-block");
            }
        }
        self.recent.rotate_right(1);
        if let Some(newest) = self.recent.first_mut() {
            *newest = Some((line.start, self.state));
        }
        if line.text.ends_with([':', '：', '*', '-', '>']) {
            self.attributed = self.attribution(text, line.end);
        }
        self.own(line);
        Step::On
    }

    /// Counts the line as new text, unless it only ends a quotation.
    fn own(&mut self, line: &Line<'_>) {
        let state = &mut self.state;
        let bare = line.text.trim();
        if state.open.is_some() {
            if bare == "--" {
                state.footer = FOOTER;
                return;
            }
            if state.footer > 0 {
                state.footer = state.footer.saturating_sub(1);
                return;
            }
            let wrapped = self.blanks == 0 && marks::is_wrapped_link(bare);
            if wrapped || marks::is_mobile(bare) {
                return;
            }
        }
        state.open = None;
        state.own_end = line.end;
        state.real |= bare != "--" && bare.contains(char::is_alphanumeric);
    }

    /// Whether the line makes a block of headers complete.
    fn headers(&mut self, line: &str, above: State) -> bool {
        let role = marks::header_role(line);
        let Some(block) = self.block.as_mut().filter(|_| self.blanks <= 1) else {
            let begins = role.filter(|role| role & (role::FROM | role::DATE | role::SUBJECT) != 0);
            let timed = if role == Some(role::DATE) && marks::has_time(line) { TIMED } else { 0 };
            self.block = begins.map(|role| Block { before: above, roles: role | timed, last: role, wrapped: 0 });
            return false;
        };
        // Only lists of recipients are so long that they are wrapped.
        let goes_on = self.blanks == 0
            && block.wrapped < WRAPPED_VALUES
            && matches!(block.last, role::FROM | role::TO | role::OTHER);
        let timed = if role == Some(role::DATE) && marks::has_time(line) { TIMED } else { 0 };
        match role {
            Some(role) => (block.roles, block.last) = (block.roles | role | timed, role),
            None if goes_on => block.wrapped = block.wrapped.saturating_add(1),
            None => self.block = None,
        }
        // Forms for journeys have a From, a To and a Date; times of day and subjects are what programs write.
        let has = |roles: u8| self.block.is_some_and(|block| block.roles & roles == roles);
        has(role::FROM | role::SUBJECT | role::DATE)
            || has(role::FROM | role::SUBJECT | role::TO)
            || has(role::FROM | role::TO | role::DATE | TIMED)
    }

    /// An attribution that ends here: the most lines whose first begins like one, else the fewest.
    fn attribution(&self, text: &str, end: usize) -> Option<(State, Attribution)> {
        let mut found = None;
        for (start, before) in self.recent.iter().map_while(|recent| *recent) {
            let joined = text.get(start..end).filter(|joined| joined.len() <= marks::MAX_ATTRIBUTION)?;
            let Some(kind) = attribution(joined) else {
                continue;
            };
            if found.is_none() {
                found = Some((before, kind));
            }
            let first = joined.lines().next().unwrap_or_default();
            match marks::opens_attribution(first) {
                Some(Opener::Word) => return Some((before, kind)),
                // The date may go on from the line above.
                Some(Opener::Digit) => found = Some((before, kind)),
                None => {}
            }
        }
        found
    }
}

fn attribution(joined: &str) -> Option<Attribution> {
    if joined.contains('\n') { marks::attribution(&joined.replace('\n', " ")) } else { marks::attribution(joined) }
}

#[cfg(test)]
mod tests;
