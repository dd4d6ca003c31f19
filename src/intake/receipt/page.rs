//! A page of text, 78 columns wide, for whatever editor an office has.

/// Mail programs and terminals of 80 columns show this without breaking lines of their own.
const WIDTH: usize = 78;

/// Where values of the facts begin.
const PAIR_INDENT: usize = 10;

/// Room for a count in front of its words.
const NUMBER_WIDTH: usize = 8;

/// Text under construction.
#[derive(Debug, Default)]
pub(super) struct Page(String);

impl Page {
    pub(super) fn into_text(self) -> String {
        self.0
    }

    pub(super) fn gap(&mut self) {
        self.0.push('\n');
    }

    pub(super) fn heading(&mut self, text: &str) {
        self.gap();
        self.wrapped("", "", text);
        self.0.push_str(&"-".repeat(text.chars().count().min(WIDTH)));
        self.0.push('\n');
    }

    pub(super) fn text(&mut self, text: &str) {
        self.wrapped("", "", text);
    }

    pub(super) fn item(&mut self, text: &str) {
        self.wrapped("- ", "  ", text);
    }

    /// A further line of the item above.
    pub(super) fn below_item(&mut self, text: &str) {
        self.wrapped("  ", "  ", text);
    }

    pub(super) fn pair(&mut self, name: &str, value: &str) {
        let first = format!("{:PAIR_INDENT$}", format!("{name}:"));
        self.wrapped(&first, &" ".repeat(PAIR_INDENT), value);
    }

    pub(super) fn number(&mut self, count: u64, one: &str, many: &str) {
        let first = format!("{count:>NUMBER_WIDTH$}  ");
        self.wrapped(&first, &" ".repeat(NUMBER_WIDTH + 2), if count == 1 { one } else { many });
    }

    /// Says how many entries of a list are not shown.
    pub(super) fn rest(&mut self, all: usize, shown: usize, where_to: &str) {
        if shown < all {
            self.item(&format!("and {} more{where_to}.", all - shown));
        }
    }

    fn wrapped(&mut self, first: &str, others: &str, text: &str) {
        let mut line = first.to_owned();
        let mut begun = line.chars().count();
        let mut used = begun;
        for word in text.split_whitespace() {
            // A word that no line can hold (a long file name) is cut into pieces.
            for piece in pieces(word, WIDTH - PAIR_INDENT) {
                let length = piece.chars().count();
                let blank = usize::from(begun < used);
                if begun < used && WIDTH < used + blank + length {
                    self.line(&line);
                    others.clone_into(&mut line);
                    begun = others.chars().count();
                    used = begun;
                } else if blank == 1 {
                    line.push(' ');
                    used += 1;
                }
                line.push_str(&piece);
                used += length;
            }
        }
        self.line(&line);
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }
}

fn pieces(word: &str, width: usize) -> Vec<String> {
    let letters: Vec<char> = word.chars().collect();
    letters.chunks(width).map(|piece| piece.iter().collect()).collect()
}

/// Text from outside on one line: control characters and blanks in a row become one blank, at most `limit` characters.
pub(super) fn clean(text: &str, limit: usize) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let joined = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    if joined.chars().count() <= limit {
        return joined;
    }
    joined.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// `1 person`, `12 people`.
pub(super) fn people(count: u64) -> String {
    if count == 1 { "1 person".to_owned() } else { format!("{count} people") }
}
