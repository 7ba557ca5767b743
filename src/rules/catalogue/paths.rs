//! Patterns of paths, in `/`-separated parts: `*` and `?` stay within a part, `**` is any number of parts. Never looks
//! at a disk.

use crate::rules::glob::Glob;

#[derive(Clone, Debug)]
pub(super) struct PathPattern(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Any,
    Glob(Glob),
}

impl PathPattern {
    pub(super) fn new(pattern: &str) -> PathPattern {
        let part = |part: &str| if part == "**" { Part::Any } else { Part::Glob(Glob::new(part)) };
        PathPattern(pattern.split('/').filter(|part| !part.is_empty() && *part != ".").map(part).collect())
    }

    /// The same, in any folder.
    pub(super) fn anywhere(mut self) -> PathPattern {
        self.0.insert(0, Part::Any);
        self
    }

    pub(super) fn matches(&self, path: &[&str]) -> bool {
        // Which beginnings of the path the parts so far can be: `**` cannot make it slow.
        let mut reached = vec![false; path.len() + 1];
        reached[0] = true;
        for part in &self.0 {
            match part {
                Part::Any => {
                    let first = reached.iter().position(|held| *held).unwrap_or(reached.len());
                    reached[first..].fill(true);
                }
                Part::Glob(glob) => {
                    for at in (0..path.len()).rev() {
                        reached[at + 1] = reached[at] && glob.matches(path[at]);
                    }
                    reached[0] = false;
                }
            }
        }
        reached[path.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_stars_are_any_number_of_folders_and_one_stays_within_its_part() {
        for (pattern, path, fits) in [
            ("catalog/**/catalog-info.yaml", "catalog/catalog-info.yaml", true),
            ("catalog/**/catalog-info.yaml", "catalog/a/b/catalog-info.yaml", true),
            ("catalog/**/catalog-info.yaml", "other/catalog-info.yaml", false),
            ("catalog/*.yaml", "catalog/owl.yaml", true),
            ("catalog/*.yaml", "catalog/a/owl.yaml", false),
            ("**/*.yml", "a.yml", true),
            ("**/a/**/b/**", "x/a/y/b/z", true),
            ("**/a/**/b/**", "x/a/y/z", false),
            ("./catalog/owl.yaml", "catalog/owl.yaml", true),
        ] {
            let path: Vec<&str> = path.split('/').collect();
            assert_eq!(PathPattern::new(pattern).matches(&path), fits, "{pattern} {path:?}");
        }
    }
}
