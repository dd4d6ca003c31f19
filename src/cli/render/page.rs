//! A text under construction: lines that wrap, with the marker in front of each entry standing alone.

use super::words::width;
use super::{Screen, Tone};

/// Columns of the labels of facts (`received`, `scheduled`).
const LABEL: usize = 10;

/// A text under construction.
pub(super) struct Page {
    screen: Screen,
    text: String,
}

impl Page {
    pub(super) fn new(screen: Screen) -> Self {
        Self { screen, text: String::new() }
    }

    /// One line as it is, never wrapped.
    pub(super) fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    /// A blank line, unless there is one or nothing yet.
    pub(super) fn gap(&mut self) {
        if !self.text.is_empty() && !self.text.ends_with("\n\n") {
            self.text.push('\n');
        }
    }

    /// A heading with a blank line before it.
    pub(super) fn heading(&mut self, text: &str) {
        self.gap();
        self.line(text);
    }

    /// A paragraph.
    pub(super) fn say(&mut self, text: &str) {
        self.entry(0, "", None, text);
    }

    /// A paragraph in the colour of its tone.
    pub(super) fn say_in(&mut self, tone: Tone, text: &str) {
        for line in wrap(text, self.screen.width) {
            let line = self.screen.paint(tone, &line);
            self.line(&line);
        }
    }

    /// An indented entry.
    pub(super) fn item(&mut self, indent: usize, text: &str) {
        self.entry(indent, "", None, text);
    }

    /// A labelled fact. The tone colours the label.
    pub(super) fn fact(&mut self, indent: usize, label: &str, tone: Option<Tone>, text: &str) {
        self.entry(indent, &format!("{label:LABEL$}"), tone, text);
    }

    /// A command on a line of its own, never wrapped: it must survive copying.
    pub(super) fn command(&mut self, indent: usize, command: &str) {
        self.line(&format!("{:indent$}{command}", ""));
    }

    /// A marker, and a text that wraps beside it. The tone colours the marker.
    pub(super) fn entry(&mut self, indent: usize, marker: &str, tone: Option<Tone>, text: &str) {
        let hang = if marker.is_empty() { indent } else { indent + width(marker) + 1 };
        let lines = wrap(text, self.screen.width.saturating_sub(hang));
        for (at, line) in lines.iter().enumerate() {
            if at == 0 && !marker.is_empty() {
                let marker = tone.map_or_else(|| marker.to_owned(), |tone| self.screen.paint(tone, marker));
                self.line(&format!("{:indent$}{marker} {line}", ""));
            } else {
                self.line(&format!("{:hang$}{line}", ""));
            }
        }
    }

    /// Lines so far.
    pub(super) fn lines(&self) -> usize {
        self.text.lines().count()
    }

    /// Another text, whole.
    pub(super) fn append(&mut self, page: &Page) {
        self.text.push_str(&page.text);
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// Breaks a text between words. A word wider than the room stands alone and sticks out.
fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let wide = width(word);
        if !line.is_empty() && room < used + 1 + wide {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        if !line.is_empty() {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += wide;
    }
    lines.push(line);
    lines
}
