//! Makes the table of the files that the server has in its belly: the call page at `/`, the modules
//! at `/columba/`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The files that browsers ask for; everything else in those folders (types, tests, notes) stays
/// out.
const SERVED: [&str; 10] = ["html", "js", "css", "svg", "png", "ico", "webmanifest", "json", "txt", "woff2"];

fn main() -> io::Result<()> {
    // A link to the folder at the top, whose files a package holds.
    let web = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("web");
    let mut table = String::from("static FILES: &[(&str, &[u8])] = &[\n");
    for (folder, prefix) in [("page", "/"), ("src", "/columba/")] {
        let root = web.join(folder);
        println!("cargo::rerun-if-changed={}", root.display());
        let mut files = Vec::new();
        if root.is_dir() {
            collect(&root, &mut files)?;
        }
        files.sort();
        for file in files {
            let relative = file.strip_prefix(&root).unwrap_or(&file).to_string_lossy().replace('\\', "/");
            let path =
                if relative == "index.html" { prefix.to_owned() } else { format!("{prefix}{relative}") };
            let _ = writeln!(table, "    ({path:?}, include_bytes!({:?})),", file.canonicalize()?);
        }
    }
    table.push_str("];\n");
    let out = PathBuf::from(env::var("OUT_DIR").unwrap_or_default());
    fs::write(out.join("static_files.rs"), table)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().and_then(|ext| ext.to_str()).is_some_and(|ext| SERVED.contains(&ext)) {
            files.push(path);
        }
    }
    Ok(())
}
