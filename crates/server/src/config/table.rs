//! The table of options in the README, and the test that keeps it true.

use std::fmt::Write as _;
use std::path::Path;

use super::{is_list, name, option_arguments, variable};

const BEGIN: &str = "<!-- options:begin -->";
const END: &str = "<!-- options:end -->";

/// All options with their defaults as Markdown.
fn markdown() -> String {
    let mut table = String::new();
    let mut heading = None;
    for arg in option_arguments() {
        if heading.as_deref() != arg.get_help_heading() {
            heading = arg.get_help_heading().map(str::to_owned);
            let title = heading.as_deref().unwrap_or_default();
            let _ = writeln!(
                table,
                "\n**{title}**\n\n| option | environment | default | meaning |\n|---|---|---|---|"
            );
        }
        let value = arg.get_value_names().and_then(|names| names.first()).map(|name| name.to_string());
        let repeatable = if is_list(&arg) { " …" } else { "" };
        let option = format!("`--{} {}`{repeatable}", name(&arg), value.unwrap_or_default());
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let (help, computed) = match help.split_once(" [default: ") {
            Some((help, computed)) => (help.to_owned(), computed.strip_suffix(']').map(str::to_owned)),
            None => (help, None),
        };
        let constants: Vec<String> =
            arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
        let default = computed.unwrap_or_else(|| constants.join(", "));
        let values = arg.get_possible_values();
        let words: Vec<String> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
        let choice = if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) };
        let cells = [option, format!("`{}`", variable(&arg)), default, format!("{help}{choice}")];
        let _ = writeln!(table, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | "));
    }
    table
}

/// The README holds the table between two markers. `UPDATE_DOCS=1 cargo test -p columba-server`
/// writes it there.
#[test]
fn the_readme_lists_every_option() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(&path).expect("the README is at the root");
    let (before, rest) = readme.split_once(BEGIN).expect("the README has the first marker");
    let (present, after) = rest.split_once(END).expect("the README has the second marker");
    let wanted = format!("\n{}\n", markdown());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}"))
            .expect("the README is writable");
    } else {
        assert_eq!(present, wanted, "run UPDATE_DOCS=1 cargo test -p columba-server");
    }
}
