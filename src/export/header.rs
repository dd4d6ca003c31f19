//! The header row, and how the names in the config find their columns in it.

use unicode_normalization::UnicodeNormalization;

/// What the header must hold, as the config spells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The headers of the columns that the person's key is read from; at least one must be there. They also tell rows of
    /// people from totals and notes.
    pub id_headers: Vec<String>,
    /// Of each inner list at least one header must be there.
    pub required: Vec<Vec<String>>,
    /// Headers that may be absent, but not twice.
    pub optional: Vec<String>,
}

impl Wanted {
    /// Every list of which one header must be there.
    fn lists(&self) -> impl Iterator<Item = &[String]> {
        std::iter::once(self.id_headers.as_slice())
            .chain(self.required.iter().map(Vec::as_slice))
            .filter(|list| !list.is_empty())
    }

    /// Every header named anywhere.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.lists().flatten().chain(&self.optional).map(String::as_str)
    }

    /// The lists of which the header holds nothing.
    pub(super) fn missing_in(&self, header: &Header) -> Vec<Vec<String>> {
        let mut missing: Vec<Vec<String>> = Vec::new();
        for list in self.lists() {
            let is_there = list.iter().any(|name| header.find(name) != Found::Nowhere);
            if !is_there && !missing.iter().any(|known| known == list) {
                missing.push(list.to_vec());
            }
        }
        missing
    }

    /// The first header that stands for two columns, with their numbers from 1.
    pub(super) fn twice_in(&self, header: &Header) -> Option<(String, usize, usize)> {
        self.names().find_map(|name| match header.find(name) {
            Found::Twice(first, second) => Some((name.to_owned(), first + 1, second + 1)),
            Found::Nowhere | Found::Once(_) => None,
        })
    }
}

/// Where a name stands in a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Nowhere,
    Once(usize),
    Twice(usize, usize),
}

/// The header row of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    names: Vec<String>,
    /// The names as they are compared.
    keys: Vec<String>,
    line: u64,
}

impl Header {
    /// A header with these names on this line. Blanks and line breaks within names become single blanks.
    pub fn new(names: Vec<String>, line: u64) -> Self {
        let names: Vec<String> = names.into_iter().map(|name| collapse(&name)).collect();
        let keys = names.iter().map(|name| key(name)).collect();
        Self { names, keys, line }
    }

    /// The headers from left to right, as the file spells them.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The line on which the header begins, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The column that `name` means, from 0. Case, width and blanks do not matter; a suffix such as `(Personal Profile)` in the
    /// file does not either, unless a column without it is there.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        match self.find(name) {
            Found::Nowhere => None,
            Found::Once(index) | Found::Twice(index, _) => Some(index),
        }
    }

    pub(super) fn find(&self, name: &str) -> Found {
        let wanted = key(name);
        if wanted.is_empty() {
            return Found::Nowhere;
        }
        match self.first_two(|key| key == wanted) {
            Found::Nowhere => self.first_two(|key| without_profile(key) == Some(wanted.as_str())),
            found @ (Found::Once(_) | Found::Twice(..)) => found,
        }
    }

    fn first_two(&self, is_it: impl Fn(&str) -> bool) -> Found {
        let mut hits = self.keys.iter().enumerate().filter(|(_, key)| is_it(key)).map(|(index, _)| index);
        match (hits.next(), hits.next()) {
            (None, _) => Found::Nowhere,
            (Some(index), None) => Found::Once(index),
            (Some(first), Some(second)) => Found::Twice(first, second),
        }
    }

    /// Columns up to the last one with a name: trailing delimiters make nameless ones.
    pub(super) fn n_named(&self) -> usize {
        self.keys.iter().rposition(|key| !key.is_empty()).map_or(0, |last| last + 1)
    }

    /// How many of the wanted headers are here, each as itself or nearly.
    pub(super) fn resemblance(&self, wanted: &Wanted) -> Resemblance {
        let mut resemblance = Resemblance::default();
        for name in wanted.names() {
            if self.find(name) != Found::Nowhere {
                resemblance.exact += 1;
            } else if self.nearest(name, wanted).is_some() {
                resemblance.near += 1;
            }
        }
        resemblance
    }

    /// The header that is spelled most like `name`, if one is close and no other wanted header.
    pub(super) fn nearest(&self, name: &str, wanted: &Wanted) -> Option<&str> {
        /// Below this, words have more letters apart than in common places.
        const CLOSE: f64 = 0.6;
        let taken: Vec<usize> = wanted.names().filter_map(|name| self.index_of(name)).collect();
        let name = key(name);
        let columns = self.keys.iter().zip(&self.names).enumerate();
        columns
            .filter(|(index, _)| !taken.contains(index))
            .map(|(_, (key, spelled))| (strsim::normalized_damerau_levenshtein(key, &name), spelled))
            .filter(|(likeness, _)| *likeness >= CLOSE)
            .max_by(|(one, _), (other, _)| one.total_cmp(other))
            .map(|(_, spelled)| spelled.as_str())
    }
}

/// How much a row looks like the wanted header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Resemblance {
    pub(super) exact: usize,
    pub(super) near: usize,
}

impl Resemblance {
    /// Whether the row can only be a header, so that its cells may be quoted without telling of a person.
    pub(super) fn is_header(self) -> bool {
        self.exact >= 1 || self.near >= 3
    }
}

/// A name as it is compared: NFKC, lower case, blanks of every kind and line breaks as one blank, no invisible marks.
fn key(name: &str) -> String {
    // Most names, at a tenth of the price: ASCII is its own normal form. Every cell of the first rows is looked at so.
    if name.is_ascii() {
        return collapse(&name.to_ascii_lowercase());
    }
    let folded: String = name.nfkc().filter(|c| !is_invisible(*c)).flat_map(char::to_lowercase).collect();
    collapse(&folded)
}

fn collapse(name: &str) -> String {
    let mut collapsed = String::with_capacity(name.len());
    for word in
        name.split(|c: char| c.is_whitespace() || c.is_control() || c == '\u{FEFF}').filter(|word| !word.is_empty())
    {
        if !collapsed.is_empty() {
            collapsed.push(' ');
        }
        collapsed.push_str(word);
    }
    collapsed
}

/// Zero-width characters and soft hyphens, which come along when a header is pasted from a web page.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200D}' | '\u{2060}' | '\u{00AD}')
}

/// ADP appends the folder that a field is from: `birth date (personal profile)` is `birth date`. Only profiles are dropped,
/// for `phone (emergency contact)` is not `phone`.
fn without_profile(key: &str) -> Option<&str> {
    let (name, suffix) = key.strip_suffix(')')?.rsplit_once('(')?;
    suffix.split(' ').any(|word| word == "profile").then(|| name.trim_end())
}
