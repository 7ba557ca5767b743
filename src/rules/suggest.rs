//! Finds the word that a person probably meant. Never changes what was written.

/// The known word nearest to `written`, when it is near enough to be a slip of the finger.
pub(super) fn nearest<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // A third of the word may be wrong, but never more than three letters: beyond that it is a guess.
    let limit = (written.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter(|word| word.chars().count().abs_diff(written.chars().count()) <= limit)
        .map(|word| (distance(&written.to_lowercase(), &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// A hint: the nearest word, or else all that are known if they fit on a line.
pub(super) fn hint<'k>(written: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> Option<String> {
    if let Some(word) = nearest(written, known.clone()) {
        return Some(format!("did you mean `{word}`?"));
    }
    let known: Vec<&str> = known.into_iter().collect();
    (!known.is_empty() && known.len() <= 16).then(|| format!("known: {}", known.join(", ")))
}

/// Optimal string alignment: insert, delete, replace, and swap of two neighbours each cost one.
pub(super) fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    let mut last = None;
    for (row, from) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, to) in right.iter().enumerate() {
            let replaced = previous[column] + usize::from(from != *to);
            let mut best = replaced.min(previous[column + 1] + 1).min(current[column] + 1);
            if column > 0 && last == Some(*to) && from == right[column - 1] {
                best = best.min(before[column - 1] + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut previous, current);
        last = Some(from);
    }
    previous[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised_and_a_different_word_is_not() {
        let known = ["team_name", "owner", "aliases", "when"];
        for (written, meant) in [
            ("team_nmae", Some("team_name")),
            ("ownr", Some("owner")),
            ("whne", Some("when")),
            ("Aliases", Some("aliases")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written}");
        }
    }
}
