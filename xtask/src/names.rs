//! Types in public fields and signatures of `columba` and of what it exports: each has a name in
//! `columba` itself, so that an application needs no other crate of this workspace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::{api, step};

/// The library for applications, and the one below it whose names it passes on.
const TOP: &str = "columba";
const BELOW: &str = "columba_peer";

/// The names that the text of a crate exports: crate and type, with the name that they get.
type Exports = BTreeMap<(String, String), String>;

/// Checks the snapshots.
pub(crate) fn check() -> Result<(), String> {
    let unnamed = unnamed(&Snapshots::read()?);
    if unnamed.is_empty() {
        return Ok(());
    }
    Err(format!("these types have no name in {TOP}:\n{}", unnamed.join("\n")))
}

/// The public APIs, and the texts in which names are exported.
#[derive(Debug, Default)]
struct Snapshots {
    /// The lines of the API of each crate, by its name in Rust.
    apis: BTreeMap<String, String>,
    top: Exports,
    below: Exports,
}

impl Snapshots {
    fn read() -> Result<Self, String> {
        let read =
            |path: &str| fs::read_to_string(step::top().join(path)).map_err(|e| format!("{path}: {e}"));
        let folder = fs::read_dir(step::top().join(api::SNAPSHOTS)).map_err(|error| error.to_string())?;
        let mut apis = BTreeMap::new();
        for file in folder.flatten() {
            let name = file.file_name().to_string_lossy().into_owned();
            let Some(library) = name.strip_suffix(".txt") else { continue };
            apis.insert(library.replace('-', "_"), read(&format!("{}/{name}", api::SNAPSHOTS))?);
        }
        let top = ["crates/columba/src/lib.rs", "crates/columba/src/signaling/mod.rs"];
        let top = top.into_iter().map(read).collect::<Result<String, _>>()?;
        Ok(Self { apis, top: exports(&top), below: exports(&read("crates/peer/src/lib.rs")?) })
    }

    /// Returns whether a type has a name in the library on top.
    fn is_named(&self, library: &str, name: &str) -> bool {
        let on_top = |name: &str| self.top.contains_key(&(BELOW.to_owned(), name.to_owned()));
        library == TOP
            || self.top.contains_key(&(library.to_owned(), name.to_owned()))
            || self.below.iter().any(|((from, original), given)| {
                let is_it = from == library || (!from.starts_with(TOP) && self.passes_on(given));
                original == name && is_it && on_top(given)
            })
    }

    /// Returns whether a name that the library below exports from a module of its own is that of
    /// another crate's type.
    fn passes_on(&self, name: &str) -> bool {
        let line = format!("pub use {BELOW}::{name}");
        self.apis.get(BELOW).is_some_and(|api| api.lines().any(|known| known == line))
    }

    /// Returns whether a type stands in a module that is exported as a whole.
    fn is_in_named_module(&self, path: &[&str]) -> bool {
        let exported = |name: &str| self.is_named(BELOW, name);
        path.iter().any(|name| name.starts_with(char::is_lowercase) && exported(name))
    }
}

/// The types without a name, each with a line of an API in which it stands.
fn unnamed(snapshots: &Snapshots) -> Vec<String> {
    let mut known = BTreeSet::new();
    let mut waiting: Vec<(String, String)> = Vec::new();
    let mut missing = Vec::new();
    let mut note = |line: &str, text: &str, waiting: &mut Vec<(String, String)>| {
        for path in types(text) {
            let [library, .., name] = path.as_slice() else { continue };
            let found = ((*library).to_owned(), (*name).to_owned());
            if !known.insert(found.clone()) {
                continue;
            }
            if !snapshots.is_named(library, name) && !snapshots.is_in_named_module(&path) {
                missing.push(format!("{} in: {line}", path.join("::")));
            }
            waiting.push(found);
        }
    };
    let own = |library: &str| items(snapshots.apis.get(library).map_or("", String::as_str));
    for line in own(TOP) {
        note(line, line, &mut waiting);
    }
    while let Some((library, name)) = waiting.pop() {
        for line in own(&library).filter(|_| library != TOP) {
            // A field, a variant or a method of the type: what follows its name.
            if let Some((path, rest)) = subject(line)
                && path.rsplit("::").nth(1) == Some(name.as_str())
            {
                note(line, rest, &mut waiting);
            }
        }
    }
    missing
}

/// The lines of an API but for the methods of traits that are implemented.
fn items(api: &str) -> impl Iterator<Item = &str> {
    let mut is_trait = false;
    api.lines().filter(move |line| {
        if line.starts_with("impl") {
            is_trait = line.contains(" for ");
            return false;
        }
        is_trait &= ["fn ", "const ", "type "].iter().any(|word| line.contains(&format!(" {word}")));
        !is_trait
    })
}

/// The path that a line is about, and what stands behind it.
fn subject(line: &str) -> Option<(&str, &str)> {
    let start = line.find(TOP)?;
    let text = &line[start..];
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let end = text.find(|c| !is_path(c)).unwrap_or(text.len());
    Some((text[..end].trim_end_matches(':'), &text[end..]))
}

/// The types of this workspace that a text names: paths up to the first name that is no module's.
fn types(text: &str) -> Vec<Vec<&str>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((path, behind)) = subject(rest) {
        let path: Vec<&str> = path.split("::").collect();
        if let Some(at) = path.iter().position(|word| word.starts_with(char::is_uppercase)) {
            found.push(path[..=at].to_vec());
        }
        rest = behind;
    }
    found
}

/// The names that the `pub use` lines of a source text export from crates of this workspace.
fn exports(source: &str) -> Exports {
    let mut exports = Exports::new();
    for line in source.split("pub use ").skip(1) {
        let Some((tree, _)) = line.split_once(';') else { continue };
        let Some((path, names)) = tree.split_once("::{").or_else(|| tree.rsplit_once("::")) else { continue };
        let library = path.split("::").next().unwrap_or_default();
        for name in names.trim_end_matches('}').split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let (name, given) = name.split_once(" as ").unwrap_or((name, name));
            exports.insert((library.to_owned(), name.to_owned()), given.to_owned());
        }
    }
    exports
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_in_a_public_field_has_a_name_in_the_library() {
        check().unwrap();
    }

    #[test]
    fn types_without_a_name_are_found_through_fields_and_methods() {
        let api = |text: &str| text.to_owned();
        let mut snapshots = Snapshots::default();
        snapshots.apis.insert(
            TOP.to_owned(),
            api("pub fn columba::Own::stats(&self) -> columba_peer::stats::Stats\n\
                 impl core::fmt::Debug for columba::Own\n\
                 pub fn columba::Own::fmt(&self, columba_peer::Skipped)\n\
                 pub columba::Own::path: columba_ice::path::Path\n"),
        );
        snapshots.apis.insert(
            BELOW.to_owned(),
            api("pub columba_peer::Stats::sctp: columba_sctp::stats::Stats\n\
                 pub columba_peer::Stats::table: columba_peer::report::Table\n\
                 pub columba_peer::Other::x: columba_sctp::Unreachable\n"),
        );
        snapshots.top =
            exports("pub use columba_peer::report;\npub use columba_peer::{\n    Stats, WholePath,\n};");
        snapshots.below = exports("pub use columba_ice::{Path as WholePath};");
        let missing = unnamed(&snapshots);
        assert_eq!(
            missing,
            ["columba_sctp::stats::Stats in: pub columba_peer::Stats::sctp: columba_sctp::stats::Stats"]
        );
        snapshots.top.insert((BELOW.to_owned(), "SctpStats".to_owned()), "SctpStats".to_owned());
        snapshots.below.extend(exports("pub use columba_sctp::Stats as SctpStats;"));
        assert_eq!(unnamed(&snapshots), Vec::<String>::new());
    }
}
