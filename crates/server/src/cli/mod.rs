//! The command line: which command is meant, and how complaints are shown.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Arg, ArgMatches, Args as _, ColorChoice, Command, FromArgMatches as _, value_parser};
use clap_complete::Shell;

use crate::chat::ChatOptions;
use crate::config::{self, Config, Environment};
use crate::failure::Failure;
use crate::paste::{AnswerOptions, OfferOptions};
use crate::pipe::PipeOptions;
use crate::play::PlayOptions;
use crate::receive::ReceiveOptions;
use crate::record::RecordOptions;
use crate::send::SendOptions;
use crate::terminal::one_line;
use crate::transfer::end::Stop;

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
    let known = |name: &&str| program(&environment).find_subcommand(name).is_some();
    let command = arguments.first().and_then(|argument| argument.to_str()).filter(known).map(str::to_owned);
    let arguments = std::iter::once(OsString::from("columba")).chain(arguments);
    match program(&environment).try_get_matches_from(arguments) {
        Ok(matches) => match matches.subcommand() {
            Some(("chat", matches)) => {
                converse(ChatOptions::from_arg_matches(matches), crate::chat::run, "chat")
            }
            Some(("play", matches)) => {
                converse(PlayOptions::from_arg_matches(matches), crate::play::run, "play")
            }
            Some(("record", matches)) => {
                converse(RecordOptions::from_arg_matches(matches), crate::record::run, "record")
            }
            Some(("send", matches)) => {
                exchange(SendOptions::from_arg_matches(matches), crate::send::run, "send")
            }
            Some(("receive", matches)) => {
                exchange(ReceiveOptions::from_arg_matches(matches), crate::receive::run, "receive")
            }
            Some(("pipe", matches)) => {
                exchange(PipeOptions::from_arg_matches(matches), crate::pipe::run, "pipe")
            }
            Some(("offer", matches)) => {
                exchange(OfferOptions::from_arg_matches(matches), crate::paste::run_offer, "offer")
            }
            Some(("answer", matches)) => {
                exchange(AnswerOptions::from_arg_matches(matches), crate::paste::run_answer, "answer")
            }
            Some(("completions", matches)) => completions(matches, program(&environment)),
            Some(("man", _)) => manual(&program(&environment)),
            _ => ExitCode::SUCCESS,
        },
        Err(error) => match command {
            Some(command) => complain(&error, &format!("columba {command}")),
            None => complain(&error, "columba"),
        },
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
        .subcommand(
            config::command(environment)
                .name("serve")
                .about("Run the server: call page, signaling, STUN and TURN in one process"),
        )
        .subcommand(SendOptions::augment_args(Command::new("send")))
        .subcommand(ReceiveOptions::augment_args(Command::new("receive")))
        .subcommand(PipeOptions::augment_args(Command::new("pipe")))
        .subcommand(OfferOptions::augment_args(Command::new("offer")))
        .subcommand(AnswerOptions::augment_args(Command::new("answer")))
        .subcommand(ChatOptions::augment_args(Command::new("chat")))
        .subcommand(PlayOptions::augment_args(Command::new("play")))
        .subcommand(RecordOptions::augment_args(Command::new("record")))
        .subcommand(
            Command::new("completions")
                .about("Print completions for a shell, such as: columba completions bash")
                .arg(Arg::new("shell").required(true).value_parser(value_parser!(Shell))),
        )
        .subcommand(Command::new("man").about("Print the manual page of all commands"))
        .color(ColorChoice::Never)
}

fn completions(matches: &ArgMatches, mut program: Command) -> ExitCode {
    let Some(shell) = matches.get_one::<Shell>("shell") else { return ExitCode::from(EXIT_REFUSED) };
    let mut text = Vec::new();
    clap_complete::generate(*shell, &mut program, "columba", &mut text);
    print(&text)
}

/// Prints the page of the program, and behind it those of its commands.
fn manual(program: &Command) -> ExitCode {
    let mut text = Vec::new();
    // A vector takes everything.
    let _ = clap_mangen::Man::new(program.clone()).render(&mut text);
    for command in program.get_subcommands() {
        let name = format!("columba-{}", command.get_name());
        let _ = clap_mangen::Man::new(command.clone().name(name)).render(&mut text);
    }
    print(&text)
}

fn print(text: &[u8]) -> ExitCode {
    // A reader that has seen enough, such as head, is no error.
    let _ = std::io::stdout().write_all(text);
    ExitCode::SUCCESS
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

/// Runs a command that takes part in a session.
fn converse<T>(
    options: Result<T, clap::Error>,
    run: fn(&T) -> Result<(), Failure>,
    command: &str,
) -> ExitCode {
    match options.map(|options| run(&options)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => refuse(&failure),
        Err(error) => complain(&error, &format!("columba {command}")),
    }
}

/// Runs a command of two sides, whose ends have exit codes of their own.
fn exchange<T>(options: Result<T, clap::Error>, run: fn(&T) -> Result<(), Stop>, command: &str) -> ExitCode {
    match options.map(|options| run(&options)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(stop)) => {
            eprintln!("columba: {}", one_line(&stop.to_string()));
            ExitCode::from(stop.exit_code())
        }
        Err(error) => complain(&error, &format!("columba {command}")),
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
