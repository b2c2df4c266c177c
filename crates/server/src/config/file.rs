//! The TOML file: the same options under the same names.

use std::collections::BTreeMap;
use std::path::Path;

use clap::Arg;
use toml::Value;

use super::{Failure, is_list, name, reason_against};

/// Reads a file into the text of each option that it sets. A complaint names the file and the key.
pub(super) fn read(path: &Path, options: &[Arg]) -> Result<BTreeMap<String, Vec<String>>, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("The configuration file {shown} cannot be read: {error}.")))?;
    let table = text.parse::<toml::Table>().map_err(|error| {
        let line =
            error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        let reason = error.message().lines().collect::<Vec<_>>().join(", ");
        Failure::new(format!("{shown}, line {line}, is not TOML: {reason}."))
    })?;
    table.iter().map(|(key, value)| entry(key, value, options, &shown.to_string())).collect()
}

fn entry(key: &str, value: &Value, options: &[Arg], file: &str) -> Result<(String, Vec<String>), Failure> {
    let Some(option) = options.iter().find(|arg| name(arg) == key) else {
        let hint = similar(key, options).map(|name| format!(", perhaps {name} is meant")).unwrap_or_default();
        return Err(Failure::new(format!("{file}: there is no option \"{key}\"{hint}.")));
    };
    let texts = match value {
        Value::Array(values) if is_list(option) => values.iter().map(scalar).collect::<Option<Vec<_>>>(),
        single => scalar(single).map(|text| vec![text]),
    };
    let Some(texts) = texts else {
        let kind = if is_list(option) { "a list of texts" } else { "a single text or number" };
        return Err(Failure::new(format!("{file}: the value of \"{key}\" must be {kind}.")));
    };
    match texts.iter().find_map(|text| reason_against(option, text)) {
        Some(reason) => Err(Failure::new(format!("{file}: the value of \"{key}\" does not fit: {reason}."))),
        None => Ok((key.to_owned(), texts)),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The option whose name is the most like a word that is none: the same letters but for one or two.
pub(super) fn similar<'a>(word: &str, options: &'a [Arg]) -> Option<&'a str> {
    let distance = |name: &str| {
        let mut row: Vec<usize> = (0..=name.len()).collect();
        for (i, a) in word.bytes().enumerate() {
            let mut diagonal = std::mem::replace(&mut row[0], i + 1);
            for (j, b) in name.bytes().enumerate() {
                let changed = diagonal + usize::from(a != b && !(a == b'_' && b == b'-'));
                diagonal = row[j + 1];
                row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
            }
        }
        row[name.len()]
    };
    options.iter().map(name).min_by_key(|name| distance(name)).filter(|name| distance(name) <= 2)
}
