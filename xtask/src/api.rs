//! `cargo xtask api`: the public API of each published library, compared with its snapshot in
//! `docs/api/`.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use crate::packages::{self, Package};
use crate::{names, step};

/// The folder of the snapshots, one file a library.
pub(crate) const SNAPSHOTS: &str = "docs/api";

/// Set for the processes that stand in for rustdoc; see [`is_rustdoc`].
const RUSTDOC: &str = "XTASK_IS_RUSTDOC";

/// Compares the public APIs with their snapshots, or writes these anew with `--update`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let update = match arguments {
        [] => false,
        [word] if word == "--update" => true,
        _ => return Err("the only argument of this chore is --update".to_owned()),
    };
    let mut packages = packages::published()?;
    packages.retain(|package| package.is_library);
    document(&packages)?;
    let mut changed = Vec::new();
    for package in &packages {
        let current = public_api(&package.name)?;
        let path = step::top().join(SNAPSHOTS).join(format!("{}.txt", package.name));
        if update {
            write(&path, &current)?;
            continue;
        }
        let known = fs::read_to_string(&path).unwrap_or_default();
        let differences = differences(&known, &current);
        if !differences.is_empty() {
            println!("{}:\n{}", package.name, differences.join("\n"));
            changed.push(package.name.as_str());
        }
    }
    if changed.is_empty() {
        return names::check();
    }
    Err(format!("the public API changed: {}; 'cargo xtask api --update' accepts it", changed.join(" ")))
}

/// Writes rustdoc's JSON of all libraries.
fn document(packages: &[Package]) -> Result<(), String> {
    let names = packages.iter().flat_map(|package| ["--package", package.name.as_str()]);
    let words: Vec<&str> =
        ["doc", "--quiet", "--no-deps", "--lib", "--all-features"].into_iter().chain(names).collect();
    let own = env::current_exe().map_err(|error| format!("the path of this program is unknown: {error}"))?;
    let mut command = step::command("cargo", &words);
    // The flag keeps cargo from taking pages that were written before for up-to-date JSON.
    command.env("RUSTDOC", own).env(RUSTDOC, "1").env("RUSTDOCFLAGS", "--cfg=public_api");
    step::finish(command)
}

/// Returns whether this process was started in place of rustdoc: by cargo, for [`document`].
pub(crate) fn is_rustdoc() -> bool {
    env::var_os(RUSTDOC).is_some()
}

/// Runs rustdoc with JSON as its output, an option that a stable toolchain has only with this
/// variable. Were it set for cargo, build scripts would notice it, and everything would be built
/// anew.
pub(crate) fn rustdoc(arguments: &[String]) -> Result<(), String> {
    let mut command = Command::new("rustdoc");
    command.args(arguments).args(["-Zunstable-options", "--output-format=json"]).env("RUSTC_BOOTSTRAP", "1");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("rustdoc ended with {status}")),
        Err(error) => Err(format!("rustdoc could not be started: {error}")),
    }
}

/// The public API of a library, a line for each item.
fn public_api(name: &str) -> Result<String, String> {
    let json = step::top().join("target/doc").join(format!("{}.json", name.replace('-', "_")));
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build()
        .map_err(|error| format!("{name}: {error}; the crate public-api must fit the release of Rust"))?;
    Ok(api.items().map(|item| format!("{item}\n")).collect())
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(path, text))
        .map_err(|error| format!("{}: {error}", path.display()))
}

/// The lines that are only in the old text, and those that are only in the new one.
fn differences(old: &str, new: &str) -> Vec<String> {
    let only = |one: &str, other: &str, mark: char| -> Vec<String> {
        let known: std::collections::BTreeSet<&str> = other.lines().collect();
        one.lines().filter(|line| !known.contains(line)).map(|line| format!("{mark} {line}")).collect()
    };
    [only(old, new, '-'), only(new, old, '+')].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_lines_of_one_side_only() {
        assert!(differences("a\nb\n", "a\nb\n").is_empty());
        assert_eq!(differences("a\nb\n", "b\nc\n"), ["- a", "+ c"]);
    }
}
