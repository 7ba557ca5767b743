//! CODEOWNERS as GitHub reads it: the last line that fits decides, and one without an owner takes ownership away. Never
//! finds the folder of a service: the registry says it.

use super::paths::PathPattern;
use crate::rules::SourceFile;
use crate::rules::diagnostic::{At, Faults};

/// <https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners>
#[derive(Debug)]
pub(in crate::rules) struct Codeowners {
    pub(in crate::rules) file: String,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    number: u32,
    pattern: PathPattern,
    /// `docs/*` means the files of `docs` and nothing below its folders.
    is_shallow: bool,
    is_folder: bool,
    owners: Vec<String>,
}

/// Stands for a file of which nothing is known but its folder: no pattern knows its name.
const ANY_FILE: &str = "\u{1}";

impl Codeowners {
    pub(in crate::rules) fn read(file: &SourceFile, faults: &mut Faults<'_>) -> Codeowners {
        let lines = (1..).zip(file.text.lines()).filter_map(|(number, text)| read_line(number, text, faults));
        Codeowners { file: file.name.clone(), lines: lines.collect() }
    }

    /// The owners of what lies directly in a folder, and the line that says so.
    pub(in crate::rules) fn owners_of(&self, folder: &str) -> Option<(&[String], u32)> {
        let mut path: Vec<&str> = folder.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        path.push(ANY_FILE);
        let line = self.lines.iter().rev().find(|line| line.fits(&path))?;
        (!line.owners.is_empty()).then_some((line.owners.as_slice(), line.number))
    }
}

impl Line {
    fn fits(&self, path: &[&str]) -> bool {
        let is_file = !self.is_folder && self.pattern.matches(path);
        is_file || !self.is_shallow && (1..path.len()).any(|end| self.pattern.matches(&path[..end]))
    }
}

fn read_line(number: u32, text: &str, faults: &mut Faults<'_>) -> Option<Line> {
    let words = words(text);
    let (pattern, owners) = words.split_first()?;
    let at = At { line: number, column: 1 };
    if pattern.starts_with('!') || pattern.contains(['[', ']']) {
        let hint = "GitHub does not read such lines either; this one is left out".to_owned();
        faults.warning(at, "`!` and `[ ]` have no meaning in CODEOWNERS", Some(hint));
        return None;
    }
    let is_folder = pattern.ends_with('/');
    let body = pattern.trim_end_matches('/');
    let parts = PathPattern::new(body);
    let pattern = if body.contains('/') { parts } else { parts.anywhere() };
    let is_shallow = body.rsplit('/').next() == Some("*");
    Some(Line { number, pattern, is_shallow, is_folder, owners: owners.iter().map(|owner| name_of(owner)).collect() })
}

/// `@company/payments` and `@payments` are `payments`; an address of mail stays as it is.
fn name_of(owner: &str) -> String {
    match owner.strip_prefix('@') {
        Some(handle) => handle.rsplit('/').next().unwrap_or(handle).to_owned(),
        None => owner.to_owned(),
    }
}

/// Divided at blanks that no `\` stands before; `#` begins a comment.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let (mut word, mut characters) = (String::new(), text.chars());
    while let Some(character) = characters.next() {
        match character {
            '\\' => word.extend(characters.next()),
            '#' if word.is_empty() => break,
            _ if character.is_whitespace() => {
                words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()))
            }
            _ => word.push(character),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Everything, unless a later line knows better.
*                    @company/platform
*.js                 @web
/services/           @company/backend     # inline
/services/owl/       @company/owl owl@example.com
services/gone/
docs/*               @writers
apps/                @apps
!services/owl/       @nobody
/odd[1]/             @nobody
/with\\ blank/        @blank
/deep/**/leaf/       @leaf
";

    #[test]
    fn the_last_line_that_fits_decides_and_an_empty_owner_takes_ownership_away() {
        let file = SourceFile { name: "CODEOWNERS".into(), text: TEXT.into() };
        let mut faults = Faults::new(&file);
        let owners = Codeowners::read(&file, &mut faults);
        for (folder, owner) in [
            ("services/owl/", Some(("owl", 5))),
            ("services/owl/src", Some(("owl", 5))),
            ("/services/duo", Some(("backend", 4))),
            ("services/gone", None),
            ("docs", Some(("writers", 7))),
            ("docs/build", Some(("platform", 2))),
            ("packages/apps/one", Some(("apps", 8))),
            ("with blank", Some(("blank", 11))),
            ("deep/a/b/leaf", Some(("leaf", 12))),
            ("elsewhere", Some(("platform", 2))),
        ] {
            let seen = owners.owners_of(folder).map(|(owners, line)| (owners[0].as_str(), line));
            assert_eq!(seen, owner, "{folder}");
        }
        let warned: Vec<u32> = faults.into_found().iter().map(|fault| fault.line).collect();
        assert_eq!(warned, [9, 10]);
    }
}
