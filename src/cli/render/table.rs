//! Tables that fit: what costs most and says least goes first.

use comfy_table::{Cell, CellAlignment, Color, presets};

use super::words::{shorten, width};
use super::{Ink, Screen, Tone};

/// Blanks between two columns.
const BETWEEN: usize = 2;

/// A flexible column is shortened down to this width; narrower, names of files say nothing.
const FLEXIBLE_MIN: usize = 12;

/// A column of a table. All columns of a table have as many cells.
pub(super) struct Column {
    head: &'static str,
    short: &'static str,
    kind: Kind,
    pub(super) cells: Vec<(String, Option<Tone>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    /// Shortened in the middle where room is short. At most one of a table.
    Flexible,
}

/// What may be given up for room.
#[derive(Clone, Copy)]
pub(super) enum Concession {
    /// The long heads of all columns.
    LongHeads,
    /// In the column of this head, this start of each cell.
    Prefix(&'static str, &'static str),
    /// The column of this head.
    Column(&'static str),
}

impl Column {
    pub(super) fn text(head: &'static str, cells: impl Iterator<Item = String>) -> Self {
        Self { head, short: head, kind: Kind::Text, cells: cells.map(|cell| (cell, None)).collect() }
    }

    /// Words that tell a state, in its colour.
    pub(super) fn states(head: &'static str, states: impl Iterator<Item = (&'static str, Tone)>) -> Self {
        let cells = states.map(|(word, tone)| (word.to_owned(), Some(tone))).collect();
        Self { head, short: head, kind: Kind::Text, cells }
    }

    pub(super) fn flexible(head: &'static str, cells: impl Iterator<Item = String>) -> Self {
        Self { kind: Kind::Flexible, ..Self::text(head, cells) }
    }

    /// Counts. A dot stands for none, so that the eye finds the others.
    pub(super) fn counts(head: &'static str, short: &'static str, counts: impl Iterator<Item = u64>) -> Self {
        let say = |count: u64| if count == 0 { "·".to_owned() } else { count.to_string() };
        Self { short, ..Self::numbers(head, counts.map(say)) }
    }

    /// Numbers, flush right.
    pub(super) fn numbers(head: &'static str, cells: impl Iterator<Item = String>) -> Self {
        Self { kind: Kind::Number, ..Self::text(head, cells) }
    }

    fn width(&self) -> usize {
        let cells = self.cells.iter().map(|(cell, _)| width(cell));
        cells.chain([width(self.head)]).max().unwrap_or(0)
    }
}

/// Lays a table out, giving up one thing after the other until it fits.
pub(super) fn fit(screen: Screen, mut columns: Vec<Column>, concessions: &[Concession]) -> String {
    let mut concessions = concessions.iter();
    while screen.width < least_width(&columns)
        && let Some(concession) = concessions.next()
    {
        give_up(&mut columns, *concession);
    }
    let others = columns.iter().filter(|column| column.kind != Kind::Flexible).map(|column| column.width() + BETWEEN);
    let room = screen.width.saturating_sub(others.sum()).max(FLEXIBLE_MIN);
    for column in columns.iter_mut().filter(|column| column.kind == Kind::Flexible) {
        for (cell, _) in &mut column.cells {
            *cell = shorten(cell, room).into_owned();
        }
    }
    lay_out(screen, &columns)
}

fn least_width(columns: &[Column]) -> usize {
    let width = |column: &Column| match column.kind {
        Kind::Text | Kind::Number => column.width(),
        Kind::Flexible => column.width().min(FLEXIBLE_MIN),
    };
    columns.iter().map(|column| width(column) + BETWEEN).sum::<usize>().saturating_sub(BETWEEN)
}

fn give_up(columns: &mut Vec<Column>, concession: Concession) {
    match concession {
        Concession::LongHeads => columns.iter_mut().for_each(|column| column.head = column.short),
        Concession::Column(head) => columns.retain(|column| column.head != head),
        Concession::Prefix(head, prefix) => {
            let cells = columns.iter_mut().filter(|column| column.head == head).flat_map(|column| &mut column.cells);
            for (cell, _) in cells {
                if let Some(rest) = cell.strip_prefix(prefix) {
                    *cell = rest.to_owned();
                }
            }
        }
    }
}

fn lay_out(screen: Screen, columns: &[Column]) -> String {
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    if screen.ink == Ink::Colour {
        table.enforce_styling();
    }
    table.set_header(columns.iter().map(|column| column.head));
    let rows = columns.first().map_or(0, |column| column.cells.len());
    for row in 0..rows {
        table.add_row(columns.iter().filter_map(|column| column.cells.get(row)).map(|(text, tone)| {
            let cell = Cell::new(text);
            match tone {
                None => cell,
                Some(Tone::Good) => cell.fg(Color::DarkGreen),
                Some(Tone::Doubtful) => cell.fg(Color::DarkYellow),
                Some(Tone::Bad) => cell.fg(Color::DarkRed),
            }
        }));
    }
    let last = columns.len().saturating_sub(1);
    for (at, (column, laid)) in columns.iter().zip(table.column_iter_mut()).enumerate() {
        laid.set_padding((0, if at == last { 0 } else { 2 }));
        laid.set_cell_alignment(match column.kind {
            Kind::Number => CellAlignment::Right,
            Kind::Text | Kind::Flexible => CellAlignment::Left,
        });
    }
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}
