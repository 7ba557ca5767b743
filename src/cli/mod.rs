//! The command line: one file per command. Every command's help has an example.

mod check;
mod demo;
mod diff;
mod explain;
mod payload;
mod rules;
mod run;
mod schema;
mod send;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// A fault of the user's input; exit code 1. (Usage errors are clap's and exit with 2.)
pub const EXIT_FAULT: u8 = 1;

#[derive(Debug, Parser)]
#[command(name = "tawny", version, about = "Routes alerts: says where each ran, whose it is, and tells people once.")]
#[command(
    after_help = "Examples:\n  tawny run\n  tawny check rules\n  tawny explain alert.json --source alertmanager\n\nExit codes: 0 done, 1 a fault in what was given, 2 wrong usage."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the daemon.
    Run(run::RunArgs),
    /// Plays a story through a real daemon, with stand-ins for the services it speaks to.
    Demo(demo::DemoArgs),
    /// Compiles and lints rules and settings.
    Check(check::CheckArgs),
    /// Plays the tests that stand beside the rules.
    Test(test::TestArgs),
    /// Shows what would become of a payload, with no side effect.
    Explain(explain::ExplainArgs),
    /// Shows what another set of rules would change for recorded alerts.
    Diff(diff::DiffArgs),
    /// Posts a payload as its sender would.
    Send(send::SendArgs),
    /// Prints a JSON Schema for editors.
    Schema(schema::SchemaArgs),
    /// Prints shell completions.
    #[command(after_help = "Example:\n  tawny completions bash > /etc/bash_completion.d/tawny")]
    Completions { shell: clap_complete::Shell },
}

/// Where settings and rules come from: the same for all commands.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// Settings file [default: tawny.yaml, if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of rule files [default: `rules` of the settings, else ./rules, else the built-in rules]
    #[arg(long, value_name = "DIR")]
    pub rules: Option<PathBuf>,
}

pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Run(args) => run::run(args),
        Command::Demo(args) => demo::demo(&args),
        Command::Check(args) => return check::check(&args),
        Command::Test(args) => return test::test(&args),
        Command::Diff(args) => return diff::diff(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Send(args) => send::send(&args),
        Command::Schema(args) => {
            schema::schema(&args);
            Ok(())
        }
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut <Cli as clap::CommandFactory>::command(),
                "tawny",
                &mut std::io::stdout(),
            );
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            complain(&format!("{fault:#}"));
            ExitCode::from(EXIT_FAULT)
        }
    }
}

/// Standard output: what was asked for.
pub(crate) fn say(text: &str) {
    use std::io::Write;
    // Whoever closed the pipe has seen enough.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Standard error: what went wrong.
pub(crate) fn complain(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
