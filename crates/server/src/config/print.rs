//! `--print-config`: the configuration in effect as a file that could be given back with
//! `--config`.

use std::any::TypeId;
use std::fmt::Write as _;

use clap::Arg;
use toml::Value;

use super::{Config, is_list, is_secret, name, option_arguments};

pub(super) fn to_toml(config: &Config) -> String {
    let mut toml = String::new();
    let mut heading = None;
    for arg in option_arguments() {
        if heading.as_deref() != arg.get_help_heading() {
            heading = arg.get_help_heading().map(str::to_owned);
            let gap = if toml.is_empty() { "" } else { "\n" };
            let _ = writeln!(toml, "{gap}# {}", heading.as_deref().unwrap_or_default());
        }
        let _ = writeln!(toml, "{}", line(&arg, config));
    }
    toml
}

fn line(arg: &Arg, config: &Config) -> String {
    let name = name(arg);
    let texts = config.text.get(name).map(Vec::as_slice).unwrap_or_default();
    let source = config.set.get(name).copied().unwrap_or("default");
    let value = match texts {
        // Read back, a made-up secret would be a secret that everybody knows: it stays a comment.
        [_, ..] if is_secret(arg) && is_list(arg) => {
            return format!("# {name} = [\"(redacted)\"]  # {source}");
        }
        [_, ..] if is_secret(arg) => return format!("# {name} = \"(redacted)\"  # {source}"),
        [] if !is_list(arg) || is_secret(arg) => return format!("# {name} is not set"),
        texts if is_list(arg) => {
            Value::Array(texts.iter().map(|text| Value::String(text.clone())).collect()).to_string()
        }
        [text, ..] if is_number(arg) => text.clone(),
        [text, ..] => Value::String(text.clone()).to_string(),
        [] => return format!("# {name} is not set"),
    };
    format!("{name} = {value}  # {source}")
}

fn is_number(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<u32>()
}
