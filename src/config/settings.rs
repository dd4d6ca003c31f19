//! What was written, as written: the layers and where each value stands. Nothing is judged here but the shape: names
//! that do not exist, and tables where there should be none.

use std::collections::BTreeMap;

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::document::{self, Written};
use super::environment::Environment;
use super::finding::{Fault, Finding};
use super::keys::{self, Takes};

const DEFAULTS: &str = include_str!("defaults.toml");
const PREFIX: &str = "ROSTERD_";
/// Variables that the command line reads.
const NOT_SETTINGS: [&str; 2] = ["ROSTERD_CONFIG", "ROSTERD_LOG"];
/// Longest text of a value that a finding repeats, in characters.
const SHOWN_CHARS: usize = 80;

/// One of figment's layers.
struct Layer {
    name: &'static str,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// Everything that was written, defaults below, and where it stands.
#[derive(Debug)]
pub(super) struct Settings {
    file: String,
    values: Value,
    /// Each with its defaults and the common guards below.
    sources: Vec<Value>,
    /// Line of each key and table of the file. Paths count the sources: `source[0].columns.city`.
    lines: BTreeMap<String, u64>,
    /// Variable of each key that the environment sets.
    variables: BTreeMap<String, String>,
}

impl Settings {
    /// Lays environment over file over defaults. Names that do not exist and misplaced tables are left out and reported
    /// in `findings`.
    ///
    /// # Errors
    /// The finding that no further check makes sense after: the text is not TOML.
    pub(super) fn read(
        text: &str,
        file: &str,
        environment: &Environment,
        findings: &mut Vec<Finding>,
    ) -> Result<Self, Box<Finding>> {
        let Written { values: mut written, lines } = document::parse(text, file)?;
        let mut defaults = document::parse(DEFAULTS, "default")?.values;
        let source_defaults = defaults.remove("source").and_then(Value::into_dict).unwrap_or_default();

        let mut settings = Self {
            file: file.to_owned(),
            values: Value::from(Dict::new()),
            sources: Vec::new(),
            lines,
            variables: BTreeMap::new(),
        };
        let misshapen = drop_misshapen(&mut written, "");
        findings.extend(misshapen.into_iter().map(|(path, fault)| settings.without_value(&path, fault)));
        let sources = written.remove("source").and_then(Value::into_array).unwrap_or_default();
        let (overrides, variables) = overrides(environment, findings);
        settings.variables = variables;

        let values: Dict = Figment::from(Layer { name: "default", values: defaults })
            .merge(Layer { name: "file", values: written })
            .merge(Layer { name: "environment", values: overrides })
            .extract()
            .map_err(|_| settings.unjoined())?;
        let guards: Dict =
            values.get("guards").map(|guards| ("guards".to_owned(), guards.clone())).into_iter().collect();
        for source in sources.into_iter().filter_map(Value::into_dict) {
            let source: Dict = Figment::from(Layer { name: "default", values: source_defaults.clone() })
                .merge(Layer { name: "guards", values: guards.clone() })
                .merge(Layer { name: "file", values: source })
                .extract()
                .map_err(|_| settings.unjoined())?;
            settings.sources.push(Value::from(source));
        }
        settings.values = Value::from(values);
        Ok(settings)
    }

    /// How many sources there are.
    pub(super) fn n_sources(&self) -> usize {
        self.sources.len()
    }

    /// The value in force.
    pub(super) fn value(&self, path: &str) -> Option<&Value> {
        match split_source(path) {
            Some((index, rest)) => self.sources.get(index)?.find_ref(rest),
            None => self.values.find_ref(path),
        }
    }

    /// Whether the operator wrote it, in the file or in the environment.
    pub(super) fn is_written(&self, path: &str) -> bool {
        self.lines.contains_key(path) || self.variables.contains_key(path)
    }
    /// A fault with the place and, where it is not secret, the value.
    pub(super) fn finding(&self, path: &str, fault: Fault) -> Finding {
        // A source without a guard of its own has the common one.
        let common = split_source(path).map(|(_, rest)| rest).filter(|rest| rest.starts_with("guards."));
        if let Some(common) = common.filter(|_| !self.is_written(path)) {
            return self.finding(common, fault);
        }
        let value = self.value(path).filter(|value| may_show(path, value)).map(show);
        Finding { value, ..self.without_value(path, fault) }
    }

    fn without_value(&self, path: &str, fault: Fault) -> Finding {
        let (file, line) = if let Some(variable) = self.variables.get(path) {
            (format!("environment variable {variable}"), None)
        } else if self.value(path).is_some() && !self.is_written(path) {
            ("default".to_owned(), None)
        } else {
            // What is missing is missing from its table.
            let mut place = Some(path);
            while place.is_some_and(|place| !self.lines.contains_key(place)) {
                place = place.and_then(|place| place.rsplit_once('.')).map(|(table, _)| table);
            }
            (self.file.clone(), place.and_then(|place| self.lines.get(place)).copied())
        };
        Finding { file, line, key: plain(path), value: None, message: fault.message, cure: fault.cure }
    }

    fn unjoined(&self) -> Box<Finding> {
        Box::new(
            self.without_value("", Fault::new("cannot be laid over the defaults", "report this as a bug of rosterd")),
        )
    }
}

/// `source[0].columns.city` as `source.columns.city`.
pub(super) fn plain(path: &str) -> String {
    match split_source(path) {
        Some((_, "")) => "source".to_owned(),
        Some((_, rest)) => format!("source.{rest}"),
        None => path.to_owned(),
    }
}

fn split_source(path: &str) -> Option<(usize, &str)> {
    let (index, rest) = path.strip_prefix("source[")?.split_once(']')?;
    Some((index.parse().ok()?, rest.strip_prefix('.').unwrap_or(rest)))
}

/// Key files and URLs are shown when they look like what they should be: a key put there by mistake does not.
fn may_show(path: &str, value: &Value) -> bool {
    match path {
        "api.proxy" => false,
        "api.api_key_file" => value.as_str().is_some_and(|text| text.starts_with('/')),
        "api.base_url" => {
            value.as_str().is_some_and(|text| text.starts_with("http") && !text.contains(['@', '?', '#']))
        }
        _ => true,
    }
}

fn show(value: &Value) -> String {
    let shown = match value {
        Value::String(_, text) => format!("\"{}\"", text.escape_debug()),
        Value::Char(_, letter) => format!("\"{letter}\""),
        Value::Bool(_, switch) => switch.to_string(),
        Value::Num(..) => match (value.to_i128(), value.to_u128(), value.to_f64()) {
            (Some(number), _, _) => number.to_string(),
            (_, Some(number), _) => number.to_string(),
            (_, _, number) => format!("{:?}", number.unwrap_or(f64::NAN)),
        },
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(..) => "{…}".to_owned(),
        Value::Array(_, items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
    };
    match shown.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}…", shown.get(..end).unwrap_or_default()),
        None => shown,
    }
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Takes out what no key of that name and shape exists for.
fn drop_misshapen(values: &mut Dict, path: &str) -> Vec<(String, Fault)> {
    let mut faults = Vec::new();
    values.retain(|key, value| {
        let path = join(path, key);
        let known = plain(&path);
        if known == "source" {
            let fits = value.as_array().is_some_and(|sources| sources.iter().all(|source| source.as_dict().is_some()));
            if !fits {
                faults.push((path, Fault::new("is not a list of tables", "write [[source]] with double brackets")));
            } else if let Value::Array(_, sources) = value {
                for (index, source) in sources.iter_mut().enumerate() {
                    if let Value::Dict(_, source) = source {
                        faults.extend(drop_misshapen(source, &format!("source[{index}]")));
                    }
                }
            }
            return fits;
        }
        let (is_key, is_table) = (keys::takes(&known).is_some(), keys::is_table(&known));
        if let Value::Dict(_, inner) = value
            && is_table
        {
            faults.extend(drop_misshapen(inner, &path));
        } else if is_table && !is_key {
            faults.push((path, Fault::new("is a table of keys", format!("write [{known}] and the keys below it"))));
            return false;
        } else if !is_key {
            faults.push((path, Fault::new("is not a known key", keys::nearest(&known))));
            return false;
        }
        true
    });
    faults
}

/// The settings among the environment's variables, and the variable of each.
fn overrides(environment: &Environment, findings: &mut Vec<Finding>) -> (Dict, BTreeMap<String, String>) {
    let mut values = Dict::new();
    let mut variables = BTreeMap::new();
    for (variable, text) in environment.iter().filter(|(variable, _)| !NOT_SETTINGS.contains(variable)) {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        let path = name.to_ascii_lowercase().replace("__", ".");
        let value = match keys::takes(&path) {
            _ if text.contains('\u{FFFD}') => Err(Fault::new("is not UTF-8", "write it in UTF-8")),
            Some(Takes::Text) => Ok(Value::from(text)),
            Some(Takes::Plain) => Ok(plain_value(text)),
            Some(Takes::File | Takes::Entries) => Err(not_from_environment()),
            None if path == "source" || path.starts_with("source.") => Err(not_from_environment()),
            None => Err(Fault::new("is not a known key", nearest_variable(&path))),
        };
        match value {
            Ok(value) => {
                insert(&mut values, &path, value);
                variables.insert(path, variable.to_owned());
            }
            Err(Fault { message, cure }) => findings.push(Finding {
                file: format!("environment variable {variable}"),
                line: None,
                key: path,
                value: None,
                message,
                cure,
            }),
        }
    }
    (values, variables)
}

fn not_from_environment() -> Fault {
    Fault::new("cannot come from the environment, since there may be several sources", "write it into the file")
}

/// A single underscore where two belong is the usual slip.
fn nearest_variable(path: &str) -> String {
    let flat = |path: &str| path.replace('.', "_");
    keys::known_keys().find(|known| !known.starts_with("source.") && flat(known) == flat(path)).map_or_else(
        || keys::nearest(path),
        |known| {
            format!("write {PREFIX}{}, with two underscores after the table", known.replace('.', "__").to_uppercase())
        },
    )
}

/// figment's own reading of variables is not used: it makes lists of brackets and loses half the digits of `0.1`.
fn plain_value(text: &str) -> Value {
    let trimmed = text.trim();
    if let Ok(number) = trimmed.parse::<i64>() {
        Value::from(number)
    } else if let Ok(number) = trimmed.parse::<f64>() {
        Value::from(number)
    } else if let Ok(switch) = trimmed.parse::<bool>() {
        Value::from(switch)
    } else {
        Value::from(text)
    }
}

fn insert(values: &mut Dict, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            values.insert(path.to_owned(), value);
        }
        Some((table, rest)) => {
            let table = values.entry(table.to_owned()).or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, inner) = table {
                insert(inner, rest, value);
            }
        }
    }
}
