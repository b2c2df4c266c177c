//! The command line: which command is meant, and how complaints are shown.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args as _, ColorChoice, Command, FromArgMatches as _};

use crate::chat::ChatOptions;
use crate::config::{self, Config, Environment};
use crate::failure::Failure;
use crate::terminal::one_line;

/// The exit code for a command line that cannot be followed, and for anything that keeps the server
/// from starting.
const EXIT_REFUSED: u8 = 2;

/// Runs the program with the arguments that follow its name.
pub(crate) fn run(mut arguments: Vec<OsString>) -> ExitCode {
    let environment: Environment = std::env::vars().collect();
    if means_serve(&arguments) {
        let rest =
            arguments.split_off(usize::from(arguments.first().is_some_and(|argument| argument == "serve")));
        return serve(&rest, &environment);
    }
    let begins_with_chat = arguments.first().is_some_and(|argument| argument == "chat");
    let arguments = std::iter::once(OsString::from("columba")).chain(arguments);
    match program(&environment).try_get_matches_from(arguments) {
        Ok(matches) => match matches.subcommand() {
            Some(("chat", matches)) => chat(matches),
            _ => ExitCode::SUCCESS,
        },
        Err(error) if begins_with_chat => complain(&error, "columba chat"),
        Err(error) => complain(&error, "columba"),
    }
}

/// `columba` alone and `columba --some-option` are `columba serve`.
fn means_serve(arguments: &[OsString]) -> bool {
    let Some(first) = arguments.first().and_then(|argument| argument.to_str()) else {
        return arguments.is_empty();
    };
    first == "serve" || (first.starts_with('-') && !["-h", "--help", "-V", "--version"].contains(&first))
}

/// The program as `columba --help` describes it.
fn program(environment: &Environment) -> Command {
    Command::new("columba")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Two machines that have never met find each other and talk directly. Without a command: serve")
        .subcommand_required(true)
        .subcommand(config::command(environment).name("serve"))
        .subcommand(ChatOptions::augment_args(Command::new("chat")))
        .color(ColorChoice::Never)
}

fn serve(arguments: &[OsString], environment: &Environment) -> ExitCode {
    let config = match Config::load(arguments, environment) {
        Ok(config) => config,
        Err(error) => return complain(&error, "columba serve"),
    };
    if config.print {
        // A reader that has seen enough, such as head, is no error.
        let _ = std::io::stdout().write_all(config.to_toml().as_bytes());
        return ExitCode::SUCCESS;
    }
    match crate::serve::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => refuse(&failure),
    }
}

fn chat(matches: &ArgMatches) -> ExitCode {
    match ChatOptions::from_arg_matches(matches) {
        Ok(options) => match crate::chat::run(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => refuse(&failure),
        },
        Err(error) => complain(&error, "columba chat"),
    }
}

/// Shows the output of clap: help and version as they are, anything else as one sentence.
fn complain(error: &clap::Error, command: &str) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    // Ours come as they should be shown; clap's have too many paragraphs.
    if error.kind() == ErrorKind::Io {
        return refuse(&Failure::new(error.to_string().trim().trim_start_matches("error: ")));
    }
    let text = error.to_string();
    let paragraph = text.split("\n\n").next().unwrap_or_default();
    let sentence: Vec<&str> = paragraph.trim_start_matches("error: ").split_whitespace().collect();
    refuse(&Failure::new(format!("{}. See {command} --help.", sentence.join(" ").trim_end_matches('.'))))
}

fn refuse(failure: &Failure) -> ExitCode {
    // A sentence may quote a server.
    eprintln!("columba: {}", one_line(&failure.to_string()));
    ExitCode::from(EXIT_REFUSED)
}
