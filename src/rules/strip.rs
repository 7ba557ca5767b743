//! What may be cut off an unknown name, one piece at a time, until a known one remains. Never knows which names are
//! known.

use super::cell::Cells;
use super::diagnostic::Faults;
use super::suggest;
use super::walk::Fields;

#[derive(Debug, Default)]
pub(super) struct Strip {
    prefixes: Vec<Box<str>>,
    suffixes: Vec<Box<str>>,
    words: Vec<Box<str>>,
    parts: Vec<Box<str>>,
}

const PARTS: [&str; 4] = ["env", "cell", "region", "pod"];

impl Strip {
    /// `None` when nothing can be cut.
    pub(super) fn cut<'t>(&self, text: &'t str) -> Option<&'t str> {
        let rest = self
            .words
            .iter()
            .find_map(|word| cut_word(text, word))
            .or_else(|| self.parts.iter().find_map(|_| cut_pod_hash(text)))
            .or_else(|| self.suffixes.iter().find_map(|suffix| text.strip_suffix(&**suffix)))
            .or_else(|| self.prefixes.iter().find_map(|prefix| text.strip_prefix(&**prefix)))?;
        (!rest.is_empty()).then_some(rest)
    }

    pub(super) fn read(&mut self, fields: &Fields<'_>, faults: &mut Faults<'_>) {
        let mut read =
            |key: &str| -> Vec<Box<str>> { fields.words(key, faults).iter().map(|word| word.text.into()).collect() };
        self.prefixes.extend(read("prefixes"));
        self.suffixes.extend(read("suffixes"));
        self.words.extend(read("words"));
        for part in fields.words("parts", faults) {
            if PARTS.contains(&part.text) {
                self.parts.push(part.text.into());
            } else {
                let hint = suggest::hint(part.text, PARTS);
                faults.error(part.at, format!("unknown part `{}`", part.text), hint);
            }
        }
    }

    /// The words of cells, environments and regions are known only when all files are read.
    pub(super) fn finish(&mut self, cells: &Cells) {
        for part in std::mem::take(&mut self.parts) {
            self.words.extend(cells.words(&part));
            if part.as_ref() == "pod" {
                self.parts.push(part);
            }
        }
        self.words.iter_mut().for_each(|word| *word = plain(word).into());
        // The longest first, so that `prod-use1-c2` goes as one word and not piece by piece.
        self.words.sort_by(|left, right| right.len().cmp(&left.len()).then_with(|| left.cmp(right)));
        self.words.dedup();
    }
}

/// As names are compared: without case, `-` for `_`.
pub(super) fn plain(name: &str) -> String {
    name.to_lowercase().replace('_', "-")
}

/// A word at either end, set off by a dash or a dot.
fn cut_word<'t>(text: &'t str, word: &str) -> Option<&'t str> {
    let set_off = ['-', '.', '/'];
    text.strip_suffix(word)
        .and_then(|rest| rest.strip_suffix(set_off))
        .or_else(|| text.strip_prefix(word).and_then(|rest| rest.strip_prefix(set_off)))
}

/// `-7d4b9c8f6d-x2x9z` at the end of a Deployment's pod: Kubernetes' alphabet has no vowels, so that no word is cut.
fn cut_pod_hash(text: &str) -> Option<&str> {
    let is_safe = |part: &str| part.bytes().all(|byte| b"bcdfghjklmnpqrstvwxz2456789".contains(&byte));
    let (rest, pod) = text.rsplit_once('-')?;
    let (name, template) = rest.rsplit_once('-')?;
    // The hash of the template is a number in that alphabet; before Kubernetes 1.8 it was a plain number.
    let is_template =
        (8..=10).contains(&template.len()) && (is_safe(template) || template.bytes().all(|byte| byte.is_ascii_digit()));
    (pod.len() == 5 && is_safe(pod) && is_template).then_some(name)
}
