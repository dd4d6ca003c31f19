//! A TOML document as figment's values, with the line of everything in it.

use std::collections::BTreeMap;

use figment::value::{Dict, Value};
use toml_edit::{Document, Item, TableLike};

use super::finding::Finding;
use super::settings::join;

/// A document's values, and the line of each key and table by its path.
pub(super) struct Written {
    pub(super) values: Dict,
    pub(super) lines: BTreeMap<String, u64>,
}

/// Reads TOML.
///
/// # Errors
/// The first thing in it that is not TOML.
pub(super) fn parse(text: &str, file: &str) -> Result<Written, Box<Finding>> {
    let line_of = |offset: usize| {
        let newlines = text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
        u64::try_from(newlines).unwrap_or(u64::MAX).saturating_add(1)
    };
    let document = Document::parse(text).map_err(|error| {
        let offset = error.span().map(|span| span.start);
        let column = offset
            .and_then(|offset| text.get(..offset))
            .map(|before| before.chars().rev().take_while(|letter| *letter != '\n').count() + 1);
        // Not the error's Display, which quotes the line and what stands on it.
        let message = error.message().lines().collect::<Vec<_>>().join(", ");
        Box::new(Finding {
            file: file.to_owned(),
            line: offset.map(line_of),
            key: column.map_or_else(|| "the text".to_owned(), |column| format!("column {column}")),
            value: None,
            message: format!("is not TOML: {message}"),
            cure: "mend the line; texts stand in double quotes, lists in [ ]".to_owned(),
        })
    })?;
    let mut lines = BTreeMap::new();
    let values = dict(document.as_table(), "", &mut |path, offset| {
        lines.insert(path.to_owned(), line_of(offset));
    });
    Ok(Written { values, lines })
}

type Mark<'a> = &'a mut dyn FnMut(&str, usize);

fn dict(table: &dyn TableLike, path: &str, mark: Mark<'_>) -> Dict {
    table
        .iter()
        .map(|(key, item)| {
            let path = join(path, key);
            let span = table.key(key).and_then(toml_edit::Key::span).or_else(|| item.span());
            if let Some(span) = span {
                mark(&path, span.start);
            }
            (key.to_owned(), value(item, &path, mark))
        })
        .collect()
}

fn value(item: &Item, path: &str, mark: Mark<'_>) -> Value {
    if let Some(table) = item.as_table_like() {
        return Value::from(dict(table, path, mark));
    }
    if let Some(tables) = item.as_array_of_tables() {
        let tables = tables.iter().enumerate().map(|(index, table)| {
            let path = format!("{path}[{index}]");
            if let Some(span) = table.span() {
                mark(&path, span.start);
            }
            Value::from(dict(table, &path, mark))
        });
        return Value::from(tables.collect::<Vec<_>>());
    }
    match item.as_value() {
        Some(toml_edit::Value::String(text)) => Value::from(text.value().clone()),
        Some(toml_edit::Value::Integer(number)) => Value::from(*number.value()),
        Some(toml_edit::Value::Float(number)) => Value::from(*number.value()),
        Some(toml_edit::Value::Boolean(switch)) => Value::from(*switch.value()),
        // No key takes a date; as a text it is refused where texts must look like something.
        Some(toml_edit::Value::Datetime(date)) => Value::from(date.value().to_string()),
        Some(toml_edit::Value::Array(items)) => {
            let items = items.iter().enumerate().map(|(index, element)| {
                let path = format!("{path}[{index}]");
                if let Some(span) = element.span() {
                    mark(&path, span.start);
                }
                value(&Item::Value(element.clone()), &path, mark)
            });
            Value::from(items.collect::<Vec<_>>())
        }
        Some(toml_edit::Value::InlineTable(table)) => Value::from(dict(table, path, mark)),
        None => Value::from(Dict::new()),
    }
}
