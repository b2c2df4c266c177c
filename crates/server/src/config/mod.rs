//! The configuration of `columba serve`: flags before environment before file before defaults.
//!
//! clap already knows "flag, else environment, else default". The file fits in by *becoming* the
//! default: its values are checked one by one, so that a complaint can name the file and the key,
//! and then replace the defaults of the options that they belong to. The defaults that depend on
//! other options are filled in the same way.

mod defaults;
mod file;
mod join_key;
mod network;
mod options;
mod origin;
mod print;
mod reach;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;
mod units;

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

pub(crate) use self::options::{
    LogFormat, RelayOptions, ServeOptions, Switch, TlsMode, TurnCredentials, WebOptions,
};
pub(crate) use self::origin::AllowedOrigin;
pub(crate) use self::reach::is_public;
pub(crate) use self::units::{Host, Listen, Secret};
use crate::failure::Failure;

/// `columba serve` with everything that can follow it.
#[derive(Args, Debug)]
struct ServeArguments {
    /// TOML file with the same options, named as here without the dashes
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Print the configuration that results from flags, environment, file and defaults as TOML, and
    /// stop
    #[arg(long)]
    print_config: bool,

    #[command(flatten)]
    options: ServeOptions,
}

/// The configuration as it is in effect.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) options: ServeOptions,
    /// The names of the options that are set, and the place where they are.
    set: BTreeMap<String, &'static str>,
    /// The values of all options as text.
    text: BTreeMap<String, Vec<String>>,
    pub(crate) print: bool,
    /// Sentences about what may not be as the operator thinks it is.
    pub(crate) warnings: Vec<String>,
}

impl Config {
    /// Reads the arguments that follow `columba serve`; `environment` stands for the process's.
    pub(crate) fn load(arguments: &[OsString], environment: &Environment) -> Result<Self, clap::Error> {
        let warnings = strange_variables(environment).map_err(sentence)?;
        let command = command(environment);
        let first = parse(&command, arguments, environment)?;
        let file = match first.get_one::<PathBuf>("config") {
            Some(path) => file::read(path, &option_arguments()).map_err(sentence)?,
            None => BTreeMap::new(),
        };
        let from_file: BTreeSet<String> = file.keys().cloned().collect();
        let command = with_defaults(command, file);
        let second = ServeArguments::from_arg_matches(&parse(&command, arguments, environment)?)?;

        let computed = defaults::computed(&second.options, environment);
        let command = with_defaults(command, computed);
        let matches = parse(&command, arguments, environment)?;
        let parsed = ServeArguments::from_arg_matches(&matches)?;
        defaults::check(&parsed.options).map_err(sentence)?;
        Ok(Self {
            options: parsed.options,
            set: sources(&matches, &from_file),
            text: texts(&matches),
            print: parsed.print_config,
            warnings,
        })
    }

    /// Returns whether the option is set, rather than left to its default.
    pub(crate) fn is_set(&self, option: &str) -> bool {
        self.set.contains_key(option)
    }

    /// The configuration as TOML.
    pub(crate) fn to_toml(&self) -> String {
        print::to_toml(self)
    }
}

/// The variables that the configuration may depend on.
pub(crate) type Environment = BTreeMap<String, String>;

/// The command as clap's errors and help texts should show it.
pub(crate) fn command(environment: &Environment) -> Command {
    let command = Command::new("columba serve").about("Serve the call page, signaling, STUN and TURN");
    ServeArguments::augment_args(command).mut_args(|arg| with_environment(arg, environment))
}

/// Gives an option its variable; one that is set but empty counts as not set.
fn with_environment(arg: Arg, environment: &Environment) -> Arg {
    if arg.get_id() == "print_config" {
        return arg;
    }
    let arg = if is_list(&arg) && !is_secret(&arg) { arg.value_delimiter(',') } else { arg };
    let name = variable(&arg);
    match environment.get(&name) {
        Some(value) if !value.is_empty() => arg.env(name).hide_env_values(true),
        _ => arg,
    }
}

fn variable(arg: &Arg) -> String {
    format!("COLUMBA_{}", arg.get_id().as_str().to_ascii_uppercase())
}

/// Checks that variables which look like ours are ours: one that is nearly an option is an error,
/// since the option would silently not be set. Others get a warning, not an error: Kubernetes sets
/// some for a service of this name.
fn strange_variables(environment: &Environment) -> Result<Vec<String>, Failure> {
    let options = option_arguments();
    let mut warnings = Vec::new();
    for name in environment.keys().filter(|name| name.starts_with("COLUMBA_")) {
        if name == "COLUMBA_CONFIG" || options.iter().any(|arg| variable(arg) == *name) {
            continue;
        }
        let word = name["COLUMBA_".len()..].to_ascii_lowercase();
        let meant =
            file::similar(&word, &options).map(|option| option.replace('-', "_").to_ascii_uppercase());
        match meant {
            Some(meant) => {
                return Err(Failure::new(format!(
                    "There is no option for the environment variable {name}; perhaps COLUMBA_{meant} is meant."
                )));
            }
            None => warnings.push(format!("There is no option for the environment variable {name}.")),
        }
    }
    Ok(warnings)
}

/// The option's name on the command line and in the file.
fn name(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_default()
}

fn is_list(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

fn is_secret(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<Secret>()
}

/// The options proper, without `--config` and `--print-config`.
fn option_arguments() -> Vec<Arg> {
    ServeOptions::augment_args(Command::new("columba")).get_arguments().cloned().collect()
}

fn with_defaults(command: Command, values: BTreeMap<String, Vec<String>>) -> Command {
    values.into_iter().fold(command, |command, (name, values)| {
        command.mut_arg(name.replace('-', "_"), |arg| arg.default_values(values))
    })
}

/// Parses; where the environment is to blame, the error names it: clap would name a flag that was
/// not given.
fn parse(
    command: &Command,
    arguments: &[OsString],
    environment: &Environment,
) -> Result<ArgMatches, clap::Error> {
    let words = std::iter::once(OsString::from("columba serve")).chain(arguments.iter().cloned());
    command.clone().try_get_matches_from(words).map_err(|error| {
        let blamed = option_arguments().into_iter().find_map(|arg| {
            let value = environment.get(&variable(&arg)).filter(|value| !value.is_empty())?;
            let reason = reason_against(&arg, value)?;
            Some(Failure::new(format!("The environment variable {} does not fit: {reason}.", variable(&arg))))
        });
        blamed.map_or(error, sentence)
    })
}

/// Why a value does not fit an option, as the end of a sentence; None if it does.
fn reason_against(arg: &Arg, value: &str) -> Option<String> {
    let flag = format!("--{}={value}", name(arg));
    let error = Command::new("columba").arg(arg.clone()).try_get_matches_from(["columba", &flag]).err()?;
    let shown = if is_secret(arg) { "…" } else { value };
    Some(match std::error::Error::source(&error) {
        Some(source) => format!("\"{shown}\": {source}"),
        None => {
            let values = arg.get_possible_values();
            let words: Vec<&str> = values.iter().map(|value| value.get_name()).collect();
            format!("\"{shown}\": write one of: {}", words.join(", "))
        }
    })
}

fn sentence(failure: Failure) -> clap::Error {
    clap::Error::raw(clap::error::ErrorKind::Io, failure)
}

fn sources(matches: &ArgMatches, from_file: &BTreeSet<String>) -> BTreeMap<String, &'static str> {
    let source = |arg: Arg| {
        let name = name(&arg).to_owned();
        match matches.value_source(arg.get_id().as_str())? {
            ValueSource::CommandLine => Some((name, "flag")),
            ValueSource::EnvVariable => Some((name, "environment")),
            _ if from_file.contains(&name) => Some((name, "file")),
            _ => None,
        }
    };
    option_arguments().into_iter().filter_map(source).collect()
}

fn texts(matches: &ArgMatches) -> BTreeMap<String, Vec<String>> {
    let text = |arg: Arg| {
        let values = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
        (name(&arg).to_owned(), values.map(|value| value.to_string_lossy().into_owned()).collect())
    };
    option_arguments().into_iter().map(text).collect()
}
