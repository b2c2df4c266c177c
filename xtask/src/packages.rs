//! The packages that are published: their list, their archives, and all combinations of their
//! features.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

use crate::step;

/// The most features of one package of which all combinations are checked.
const MOST_FEATURES: usize = 6;

/// A package that is published.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) is_library: bool,
    /// Its features without `default`.
    features: Vec<String>,
}

/// The published packages of the workspace, by name.
pub(crate) fn published() -> Result<Vec<Package>, String> {
    let output = step::command("cargo", &["metadata", "--no-deps", "--format-version=1"])
        .output()
        .map_err(|error| format!("cargo could not be started: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata printed no JSON: {error}"))?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    // `publish = false` is an empty list of registries.
    let mut published: Vec<Package> =
        packages.filter(|package| package["publish"].is_null()).map(read).collect();
    published.sort_by(|one, other| one.name.cmp(&other.name));
    if published.is_empty() { Err("the workspace publishes no package".to_owned()) } else { Ok(published) }
}

fn read(package: &Value) -> Package {
    let targets = package["targets"].as_array().into_iter().flatten();
    let features = package["features"].as_object().into_iter().flatten();
    Package {
        name: package["name"].as_str().unwrap_or_default().to_owned(),
        is_library: targets.flat_map(|target| target["kind"].as_array()).flatten().any(|kind| kind == "lib"),
        features: features.map(|(name, _)| name.clone()).filter(|name| name != "default").collect(),
    }
}

/// Packs all published packages and builds each from its archive; further arguments go to cargo.
pub(crate) fn package(arguments: &[String]) -> Result<(), String> {
    let packages = published()?;
    let built = step::top().join("target/packages");
    forget(&built, &packages)?;
    let names = packages.iter().flat_map(|package| ["--package", package.name.as_str()]);
    let words: Vec<&str> = ["package", "--target-dir", "target/packages"]
        .into_iter()
        .chain(names)
        .chain(arguments.iter().map(String::as_str))
        .collect();
    step::run("cargo", &words)
}

/// Removes what cargo has unpacked and built of earlier archives: it would take that again, since
/// their versions are the same.
fn forget(built: &Path, packages: &[Package]) -> Result<(), String> {
    let remove = |path: &Path| match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(format!("{}: {error}", path.display())),
        _ => Ok(()),
    };
    remove(built)?;
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo"))).ok_or("there is no home directory")?;
    // Registries without a host are folders, as that of the archives.
    let registries = fs::read_dir(home.join("registry/src")).into_iter().flatten().flatten();
    let local = registries.filter(|entry| entry.file_name().to_string_lossy().starts_with('-'));
    for registry in local {
        for unpacked in fs::read_dir(registry.path()).into_iter().flatten().flatten() {
            let name = unpacked.file_name().to_string_lossy().into_owned();
            let package = name.rsplit_once('-').map_or("", |(package, _)| package);
            if packages.iter().any(|one| one.name == package) {
                remove(&unpacked.path())?;
            }
        }
    }
    Ok(())
}

/// Checks every combination of the features of each published package.
pub(crate) fn features() -> Result<(), String> {
    for package in published()? {
        for combination in combinations(&package.features)? {
            let features = format!("--features={combination}");
            let words: &[&str] =
                &["clippy", "--quiet", "--package", &package.name, "--no-default-features", &features];
            // Clippy's flags reach the package alone; its own lints are another part's.
            let lints = ["--", "--deny", "warnings", "--allow", "clippy::all"];
            step::run("cargo", &[words, lints.as_slice()].concat())?;
        }
    }
    Ok(())
}

/// All combinations, each joined with commas; none for a package without features.
fn combinations(features: &[String]) -> Result<Vec<String>, String> {
    if features.len() > MOST_FEATURES {
        return Err(format!("{} features have too many combinations", features.len()));
    }
    let count = if features.is_empty() { 0 } else { 1_usize << features.len() };
    let chosen = |bits: usize| -> Vec<&str> {
        let features = features.iter().enumerate();
        features.filter(|(index, _)| bits >> index & 1 == 1).map(|(_, name)| name.as_str()).collect()
    };
    Ok((0..count).map(|bits| chosen(bits).join(",")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn combines_features_in_every_way() {
        let of =
            |names: &[&str]| combinations(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&[]), Ok(vec![]));
        assert_eq!(of(&["a", "b"]), Ok(["", "a", "b", "a,b"].map(str::to_owned).to_vec()));
        assert!(of(&["a"; MOST_FEATURES + 1]).is_err());
    }

    #[test]
    fn published_packages_have_what_a_registry_shows() {
        let packages = published().unwrap();
        assert!(packages.iter().any(|package| package.name == "columba" && package.is_library));
        assert!(packages.iter().all(|package| package.name != "columba-netsim" && package.name != "xtask"));
    }
}
