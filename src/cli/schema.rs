//! `tawny schema`: JSON Schemas, so that an editor completes keys and marks mistakes while somebody types.

mod settings;

use clap::{Args, ValueEnum};

use super::say;
use crate::rules::schema::json_schema;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Of {
    /// Rule files, and the files of their tests.
    Rules,
    /// `tawny.yaml`.
    Settings,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tawny schema rules > rules.schema.json\n  tawny schema settings > tawny.schema.json\n\nEditors with the YAML language server read the first line of a file:\n  # yaml-language-server: $schema=rules.schema.json"
)]
pub(super) struct SchemaArgs {
    /// What is described
    #[arg(value_enum)]
    of: Of,
}

pub(super) fn schema(args: &SchemaArgs) {
    let schema = match args.of {
        Of::Rules => json_schema(),
        Of::Settings => settings::json_schema(),
    };
    say(&format!("{schema:#}"));
}
