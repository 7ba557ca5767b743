//! The table as the reference that people read. Only the words of the table, in the order of the files.

use super::files::{
    ALIAS, ARN, CELL, CELLS_FILE, CLASS, IMPORT, INTERVAL, LIMIT, MATCHER, PLATFORM_FILE, ROUTE, ROUTES_FILE, RULE,
    SERVICE, SERVICES_FILE, SILENCE, SILENCES_FILE, STRIP, TABLE, TEAM, WHEN,
};
use super::stories::{ALERT, CASE, EXPECT, EXPECT_NOTICE, EXPECT_TAG, GIVEN, SPAN, STEP, STORIES};
use super::{Need, Section, Shape};

/// All sections, in the order of the reference.
pub static SECTIONS: [&Section; 30] = [
    &PLATFORM_FILE,
    &CELLS_FILE,
    &SERVICES_FILE,
    &ROUTES_FILE,
    &SILENCES_FILE,
    &RULE,
    &WHEN,
    &MATCHER,
    &ARN,
    &ROUTE,
    &INTERVAL,
    &LIMIT,
    &SILENCE,
    &TABLE,
    &CELL,
    &IMPORT,
    &TEAM,
    &SERVICE,
    &ALIAS,
    &STRIP,
    &CLASS,
    &STORIES,
    &CASE,
    &STEP,
    &GIVEN,
    &ALERT,
    &SPAN,
    &EXPECT,
    &EXPECT_TAG,
    &EXPECT_NOTICE,
];

/// One heading and one table per section.
pub fn markdown() -> String {
    let mut text = String::new();
    for section in SECTIONS {
        text.push_str(&format!(
            "### {}\n\n{}\n\n| key | holds | default | means |\n| --- | --- | --- | --- |\n",
            section.name, section.about
        ));
        for key in section.keys {
            let need = match key.need {
                Need::Required => "required".to_owned(),
                Need::Optional => String::new(),
                Need::Default(default) if default.contains([' ', '`']) => default.to_owned(),
                Need::Default(default) => format!("`{default}`"),
            };
            text.push_str(&format!("| `{}` | {} | {need} | {} |\n", key.name, holds(key.shape), key.about));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn holds(shape: Shape) -> String {
    let words = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    match shape {
        Shape::Text => "text".to_owned(),
        Shape::Texts => "text or list of texts".to_owned(),
        Shape::OneOf(known) => words(known),
        Shape::Bool => "`true` or `false`".to_owned(),
        Shape::Number => "number".to_owned(),
        Shape::Whole => "whole number".to_owned(),
        Shape::Duration => "duration, such as `1h30m`".to_owned(),
        Shape::Date => "date, such as `2027-06-30`".to_owned(),
        Shape::Time => "time in UTC".to_owned(),
        Shape::Map(section) => format!("[{0}](#{0})", section.name),
        Shape::List(section) => format!("list of [{0}](#{0})", section.name),
        Shape::MapOf(section) => format!("names with [{0}](#{0})", section.name),
        Shape::TextMap => "names with texts".to_owned(),
        Shape::TextsMap => "names with texts or lists".to_owned(),
        Shape::TextsPer(names) => format!("{} with texts or lists", words(names)),
        Shape::Counts => "names with whole numbers".to_owned(),
        Shape::Rows => "list of maps of texts".to_owned(),
        Shape::TextOr(section) => format!("text or [{0}](#{0})", section.name),
        Shape::ListOfTextOr(section) => format!("list of texts or [{0}](#{0})", section.name),
        Shape::CountOrListOf(section) => {
            format!("number, numbers per kind, or list of texts or [{0}](#{0})", section.name)
        }
        Shape::ListOfExpect => "list of [expect](#expect)".to_owned(),
        Shape::Matcher => "[matcher](#matcher)".to_owned(),
        Shape::When => "[when](#when)".to_owned(),
        Shape::Whens => "list of [when](#when)".to_owned(),
        Shape::Set => "tags with texts".to_owned(),
        Shape::Any => "anything".to_owned(),
    }
}
